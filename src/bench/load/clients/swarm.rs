//! Starts all clients of a run, stops them, and merges their results. Judges nothing. Read [`Swarm::start`] first.

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
use crate::bench::verdict::Sightings;
use crate::bench::verdict::diagnosis::Observations;
use crate::bench::verdict::history::Entry;
use crate::bench::verdict::ledger::{self, SubscriberLedger};

/// Recorders that clients flush their samples into: enough that two clients rarely wait for one lock.
const RECORDERS: usize = 8;

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

    /// As [`Self::start`], for the clients of a share only.
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

    /// The state that the clients share.
    #[must_use]
    pub fn context(&self) -> &Arc<SwarmContext> {
        &self.context
    }

    /// Stops all clients, and collects the measurements, and the ledgers in the order of the clients' numbers. Clients that do
    /// not stop within `grace` are aborted, and counted.
    pub async fn end(mut self, grace: Duration) -> Ended {
        self.commands.end();
        let mut ledgers = Vec::with_capacity(self.clients.len());
        let deadline = tokio::time::Instant::now() + grace;
        while let Ok(Some(joined)) = tokio::time::timeout_at(deadline, self.clients.join_next()).await {
            match joined {
                Ok(ledger) => ledgers.push(ledger),
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
        }
        let not_stopped = self.clients.len();
        self.clients.shutdown().await;
        ledgers.sort_unstable_by_key(|(id, _)| *id);
        let ledgers: Vec<_> = ledgers.into_iter().map(|(_, ledger)| ledger).collect();
        let mut recorder = Recorder::default();
        for shared in &self.recorders {
            recorder.merge(std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner)));
        }
        ledger::measure(&self.context.plan, &ledgers, &mut recorder);
        let mut observations = Observations::default();
        self.context.observe(|all| observations = std::mem::take(all));
        let sightings = std::mem::take(&mut *self.context.sightings());
        Ended { ledgers, recorder, observations, not_stopped, sightings, ..Ended::default() }
    }
}

/// The results of a swarm.
#[derive(Debug, Default)]
pub struct Ended {
    /// In the order of the clients' numbers.
    pub ledgers: Vec<SubscriberLedger>,
    /// Measurements of all clients.
    pub recorder: Recorder,
    /// What all clients saw beside the events.
    pub observations: Observations,
    /// Clients that did not stop in time, and have no ledger.
    pub not_stopped: usize,
    /// What the clients noticed beside events.
    pub sightings: Sightings,
    /// Reports of lost or late workers. The clients of a lost worker have no ledgers.
    pub lost_workers: Vec<String>,
    /// Parts of the full history that workers wrote.
    pub histories: Vec<Entry>,
    /// What went wrong while they wrote them.
    pub unwritten: Vec<RunProblem>,
}
