//! The state that all clients of a run share. Holds nothing of a single client. Read [`SwarmContext`] first.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::transport::Transports;
use crate::bench::ids::NodeIndex;
use crate::bench::load::adhoc::AdhocShared;
use crate::bench::load::balancer::Balancer;
use crate::bench::load::progress::Progress;
use crate::bench::metrics::clock::RunClock;
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::Sightings;
use crate::bench::verdict::diagnosis::Observations;
use crate::bench::verdict::history::HistoryWriter;

/// Concurrent connects during set-up, which must not overflow the backlog of a listening socket. Only faults cause storms.
pub(super) const CONNECTS_AT_ONCE: usize = 256;

/// The state that all clients of a run share.
#[derive(Debug)]
pub struct SwarmContext {
    pub plan: Arc<Plan>,
    /// HTTP clients, by group and source address.
    pub transports: Transports,
    pub balancer: Balancer,
    /// Stands at zero during set-up.
    pub clock: RunClock,
    /// Cancelled when the clock starts.
    pub started: CancellationToken,
    pub progress: Arc<Progress>,
    pub board: Board,
    /// What the clients of this process see beside the events.
    pub observations: Mutex<Observations>,
    /// Limits concurrent connects during set-up.
    pub gate: Semaphore,
    /// The state of an ad hoc swarm; `None`: the clients of a run.
    pub adhoc: Option<Arc<AdhocShared>>,
    sightings: Mutex<Sightings>,
    /// Records every arrival in the full history; `None`: there is none.
    pub writer: Option<HistoryWriter>,
}

/// The number of clients that have not left, and of those that have all their sentinels. Relaxed atomics: readers poll.
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

    /// Clients among [`Self::alive`] that have their sentinels.
    #[must_use]
    pub fn satisfied(&self) -> u32 {
        self.satisfied.load(Ordering::Relaxed)
    }

    /// Replaces the counts, alive and satisfied, that another process reported before.
    pub fn replace(&self, before: (u32, u32), now: (u32, u32)) {
        // The difference wraps around as the counter does, so it may also go down.
        self.alive.fetch_add(now.0.wrapping_sub(before.0), Ordering::Relaxed);
        self.satisfied.fetch_add(now.1.wrapping_sub(before.1), Ordering::Relaxed);
    }
}

/// A client that is counted on the [`Board`] until this is dropped.
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
    /// A context whose clock has not started.
    #[must_use]
    pub fn new(plan: Arc<Plan>, transports: Transports, balancer: Balancer, clock: RunClock) -> Self {
        let gate = Semaphore::new(CONNECTS_AT_ONCE);
        let (started, board) = (CancellationToken::new(), Board::default());
        let (progress, observations) = (Arc::default(), Mutex::default());
        Self {
            plan,
            transports,
            balancer,
            clock,
            started,
            progress,
            board,
            observations,
            gate,
            adhoc: None,
            sightings: Mutex::default(),
            writer: None,
        }
    }

    /// What clients have noticed beside events.
    pub fn sightings(&self) -> MutexGuard<'_, Sightings> {
        self.sightings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the observations. The lock is held for a moment, and only where a stream begins or ends.
    pub fn observe(&self, note: impl FnOnce(&mut Observations)) {
        // Every change is complete, also before a panic of another client.
        note(&mut self.observations.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// `None` when the plan has no node of this name.
    #[must_use]
    pub fn node_named(&self, name: &str) -> Option<NodeIndex> {
        let found = self.plan.nodes.iter().position(|node| node.as_str() == name)?;
        u16::try_from(found).ok().map(NodeIndex)
    }

    /// Starts the clock, and with it the times at which further clients join.
    pub fn start(&self) {
        self.clock.start();
        self.started.cancel();
    }
}
