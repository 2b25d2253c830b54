//! context

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::swarm::CONNECTS_AT_ONCE;
use super::transport::Transports;
use crate::bench::ids::NodeIndex;
use crate::bench::load::balancer::Balancer;
use crate::bench::load::progress::Progress;
use crate::bench::metrics::clock::RunClock;
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::history::HistoryWriter;

/// What all clients of a run share.
#[derive(Debug)]
pub struct SwarmContext {
    /// The plan.
    pub plan: Arc<Plan>,
    /// For the connections.
    pub transports: Transports,
    /// Chooses nodes.
    pub balancer: Balancer,
    /// The time of the run.
    pub clock: RunClock,
    /// Cancelled when the clock starts.
    pub started: CancellationToken,
    /// For the progress line.
    pub progress: Arc<Progress>,
    /// How many are there and have what they need.
    pub board: Board,
    /// Connects under way during set-up.
    pub gate: Semaphore,
    /// Where every arrival is written down, if somebody wants it.
    pub writer: Option<HistoryWriter>,
}

/// How many clients are there, and how many of them have everything. Relaxed throughout: whoever waits for a number
/// looks again.
#[derive(Debug, Default)]
pub struct Board {
    alive: AtomicU32,
    satisfied: AtomicU32,
}

impl Board {
    /// Clients that have not left.
    #[must_use]
    pub fn alive(&self) -> u32 {
        self.alive.load(Ordering::Relaxed)
    }

    /// Of those, how many have their sentinels.
    #[must_use]
    pub fn satisfied(&self) -> u32 {
        self.satisfied.load(Ordering::Relaxed)
    }

    /// Puts the counts of another process, alive and satisfied, in the place of those that it told before.
    pub fn replace(&self, before: (u32, u32), now: (u32, u32)) {
        // The difference wraps around as the counter does, so it may also go down.
        self.alive.fetch_add(now.0.wrapping_sub(before.0), Ordering::Relaxed);
        self.satisfied.fetch_add(now.1.wrapping_sub(before.1), Ordering::Relaxed);
    }
}

/// A client's place on the [`Board`]; given up on drop.
#[derive(Debug)]
pub(crate) struct ClientSlot {
    context: Arc<SwarmContext>,
    is_satisfied: bool,
}

impl ClientSlot {
    pub(super) fn take(context: &Arc<SwarmContext>) -> Self {
        context.board.alive.fetch_add(1, Ordering::Relaxed);
        Self { context: Arc::clone(context), is_satisfied: false }
    }

    pub(super) fn satisfy(&mut self) {
        if !self.is_satisfied {
            self.is_satisfied = true;
            self.context.board.satisfied.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        self.context.board.alive.fetch_sub(1, Ordering::Relaxed);
        if self.is_satisfied {
            self.context.board.satisfied.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl SwarmContext {
    /// Ground for a plan.
    #[must_use]
    pub fn new(plan: Arc<Plan>, transports: Transports, balancer: Balancer, clock: RunClock) -> Self {
        let gate = Semaphore::new(CONNECTS_AT_ONCE);
        let (started, board) = (CancellationToken::new(), Board::default());
        let progress = Arc::default();
        Self { plan, transports, balancer, clock, started, progress, board, gate, writer: None }
    }

    /// The node of this name.
    #[must_use]
    pub fn node_named(&self, name: &str) -> Option<NodeIndex> {
        let found = self.plan.nodes.iter().position(|node| node.as_str() == name)?;
        u16::try_from(found).ok().map(NodeIndex)
    }

    /// Starts the clock, and with it the clients that join later.
    pub fn start(&self) {
        self.clock.start();
        self.started.cancel();
    }
}
