//! The virtual clients of a run: each a task with a book of its own, started together, told together, joined and
//! merged at the end. Read [`Swarm`] first, then [`subscriber`].

mod absence;
mod diary;
pub mod orders;
mod policy;
pub mod subscriber;
pub mod tape;
mod throttle;
pub mod way;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::balance::Balancer;
use super::fault::FaultBoard;
use super::history::{Entry, Scribe};
use super::ledger::{self, SubscriberLedger};
use super::plan::{NodeIndex, Plan, SubscriberId};
use super::progress::Progress;
use super::recorder::Recorder;
use super::stopwatch::RunClock;
use super::verdict::Trouble;
use super::workers::Share;

pub use orders::{Ear, Orders, Standing, Told};
pub use subscriber::Subscriber;
pub use tape::{SharedRecorder, Tape};
pub use way::Ways;

/// Recorders that clients hand their tapes in to: enough that two rarely meet at one.
const RECORDERS: usize = 8;
/// Connects under way during set-up. A storm is for faults: the set-up must not overflow a listener's backlog.
const CONNECTS_AT_ONCE: usize = 256;

/// What all clients of a run share.
#[derive(Debug)]
pub struct Ground {
    /// The plan.
    pub plan: Arc<Plan>,
    /// For the connections.
    pub ways: Ways,
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
    /// Which faults are at work.
    pub faults: Arc<FaultBoard>,
    /// Where every arrival is written down, if somebody wants it.
    pub scribe: Option<Scribe>,
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
pub(super) struct Place {
    ground: Arc<Ground>,
    is_satisfied: bool,
}

impl Place {
    fn take(ground: &Arc<Ground>) -> Self {
        ground.board.alive.fetch_add(1, Ordering::Relaxed);
        Self { ground: Arc::clone(ground), is_satisfied: false }
    }

    fn satisfy(&mut self) {
        if !self.is_satisfied {
            self.is_satisfied = true;
            self.ground.board.satisfied.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ground.board.alive.fetch_sub(1, Ordering::Relaxed);
        if self.is_satisfied {
            self.ground.board.satisfied.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// All clients of a run.
#[derive(Debug)]
pub struct Swarm {
    clients: JoinSet<(SubscriberId, SubscriberLedger)>,
    recorders: Vec<SharedRecorder>,
    orders: Orders,
    ground: Arc<Ground>,
}

impl Ground {
    /// Ground for a plan.
    #[must_use]
    pub fn new(plan: Arc<Plan>, ways: Ways, balancer: Balancer, clock: RunClock) -> Self {
        let gate = Semaphore::new(CONNECTS_AT_ONCE);
        let (started, board) = (CancellationToken::new(), Board::default());
        let (progress, faults) = (Arc::default(), Arc::default());
        Self { plan, ways, balancer, clock, started, progress, board, gate, faults, scribe: None }
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

impl Swarm {
    /// Starts a task for every client of the plan; each connects when its plan says.
    #[must_use]
    pub fn start(ground: Arc<Ground>, orders: Orders) -> Self {
        Self::start_share(ground, orders, Share::WHOLE)
    }

    /// The same for the clients of a share.
    #[must_use]
    pub fn start_share(ground: Arc<Ground>, orders: Orders, share: Share) -> Self {
        let recorders: Vec<SharedRecorder> = (0..RECORDERS).map(|_| SharedRecorder::default()).collect();
        let mut clients = JoinSet::new();
        for (index, plan) in ground.plan.subscribers.iter().filter(|plan| share.has(plan.id)).enumerate() {
            let tape = Tape::new(Arc::clone(&recorders[index % RECORDERS]), ground.clock.clone());
            let subscriber = Subscriber::new(&ground, plan, tape, orders.ear(plan.id));
            let id = plan.id;
            clients.spawn(async move { (id, subscriber.run().await) });
        }
        Self { clients, recorders, orders, ground }
    }

    /// What the clients share.
    #[must_use]
    pub fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    /// Tells all clients that it is over, and collects their books in the order of their numbers, and the
    /// measurements. Clients that do not heed it within the grace are dropped, and counted.
    pub async fn end(mut self, grace: Duration) -> Ended {
        self.orders.end();
        let mut books = Vec::with_capacity(self.clients.len());
        let deadline = tokio::time::Instant::now() + grace;
        while let Ok(Some(joined)) = tokio::time::timeout_at(deadline, self.clients.join_next()).await {
            match joined {
                Ok(book) => books.push(book),
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
        }
        let stuck = self.clients.len();
        self.clients.shutdown().await;
        books.sort_unstable_by_key(|(id, _)| *id);
        let ledgers: Vec<_> = books.into_iter().map(|(_, ledger)| ledger).collect();
        let mut recorder = Recorder::default();
        for shared in &self.recorders {
            recorder.merge(std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner)));
        }
        ledger::measure(&self.ground.plan, &ledgers, &mut recorder);
        Ended { ledgers, recorder, stuck, ..Ended::default() }
    }
}

/// What a swarm leaves behind.
#[derive(Debug, Default)]
pub struct Ended {
    /// The clients' books.
    pub ledgers: Vec<SubscriberLedger>,
    /// All measurements.
    pub recorder: Recorder,
    /// Clients that did not end in time, and left no book.
    pub stuck: usize,
    /// Workers that were lost, each with its reason: their clients left no books.
    pub losses: Vec<String>,
    /// Parts of the history that workers wrote.
    pub histories: Vec<Entry>,
    /// What went wrong while they did.
    pub unwritten: Vec<Trouble>,
}
