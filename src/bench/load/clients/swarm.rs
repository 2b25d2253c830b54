//! The virtual clients of a run: each a task with a book of its own, started together, told together, joined and
//! merged at the end. Read [`Swarm`] first, then [`subscriber`].

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::context::SwarmContext;
use super::control::Commands;
use super::sample_buffer::{SampleBuffer, SharedRecorder};
use super::share::Share;
use super::subscriber::Subscriber;
use crate::bench::exit::RunProblem;
use crate::bench::ids::SubscriberId;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::verdict::history::Entry;
use crate::bench::verdict::ledger::{self, SubscriberLedger};

/// Recorders that clients hand their tapes in to: enough that two rarely meet at one.
const RECORDERS: usize = 8;
/// Connects under way during set-up. A storm is for faults: the set-up must not overflow a listener's backlog.
pub(super) const CONNECTS_AT_ONCE: usize = 256;

/// All clients of a run.
#[derive(Debug)]
pub struct Swarm {
    clients: JoinSet<(SubscriberId, SubscriberLedger)>,
    recorders: Vec<SharedRecorder>,
    commands: Commands,
    context: Arc<SwarmContext>,
}

impl Swarm {
    /// Starts a task for every client of the plan; each connects when its plan says.
    #[must_use]
    pub fn start(context: Arc<SwarmContext>, commands: Commands) -> Self {
        Self::start_share(context, commands, Share::WHOLE)
    }

    /// The same for the clients of a share.
    #[must_use]
    pub fn start_share(context: Arc<SwarmContext>, commands: Commands, share: Share) -> Self {
        let recorders: Vec<SharedRecorder> = (0..RECORDERS).map(|_| SharedRecorder::default()).collect();
        let mut clients = JoinSet::new();
        for (index, plan) in context.plan.subscribers.iter().filter(|plan| share.has(plan.id)).enumerate() {
            let samples = SampleBuffer::new(Arc::clone(&recorders[index % RECORDERS]), context.clock.clone());
            let subscriber = Subscriber::new(&context, plan, samples, commands.receiver(plan.id));
            let id = plan.id;
            clients.spawn(async move { (id, subscriber.run().await) });
        }
        Self { clients, recorders, commands, context }
    }

    /// What the clients share.
    #[must_use]
    pub fn context(&self) -> &Arc<SwarmContext> {
        &self.context
    }

    /// Tells all clients that it is over, and collects their books in the order of their numbers, and the
    /// measurements. Clients that do not heed it within the grace are dropped, and counted.
    pub async fn end(mut self, grace: Duration) -> Ended {
        self.commands.end();
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
        ledger::measure(&self.context.plan, &ledgers, &mut recorder);
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
    pub lost_workers: Vec<String>,
    /// Parts of the history that workers wrote.
    pub histories: Vec<Entry>,
    /// What went wrong while they did.
    pub unwritten: Vec<RunProblem>,
}
