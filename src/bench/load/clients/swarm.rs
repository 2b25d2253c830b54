//! Starts all clients of a run, stops them, and merges their results. Judges nothing. Read [`Swarm::start`] first.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::context::{CONNECTS_AT_ONCE, SwarmContext};
use super::control::Commands;
use super::ledgers::{LedgerSender, spawn_client};
use super::loops::{ClientLoop, LoopHandle, LoopSetting, Message};
use super::sample_buffer::{SampleBuffer, SharedRecorder};
use super::share::Share;
use super::subscriber::Subscriber;
use crate::bench::exit::RunProblem;
use crate::bench::ids::SubscriberId;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::tags::Source;
use crate::bench::panic;
use crate::bench::scenario::plan::SubscriberPlan;
use crate::bench::verdict::Sightings;
use crate::bench::verdict::diagnosis::Observations;
use crate::bench::verdict::history::Entry;
use crate::bench::verdict::ledger::{self, IdTable, SubscriberLedger};
use crate::runtime::{Tasks, cores, panic_message};

/// Recorders that clients which are tasks flush their samples into: enough that two clients rarely wait for one lock.
const RECORDERS: usize = 8;
/// Time for tasks to end that were told to: they wait for nothing.
const TASKS_GRACE: Duration = Duration::from_secs(5);

/// All clients of a run.
#[derive(Debug)]
pub struct Swarm {
    clients: usize,
    ledgers: mpsc::Receiver<(SubscriberId, SubscriberLedger)>,
    /// Clients that are no part of a loop, and connects.
    tasks: Tasks,
    threads: JoinSet<()>,
    loops: Vec<LoopHandle>,
    recorders: Vec<SharedRecorder>,
    /// Ids that clients which are tasks remember.
    ids: IdTable,
    commands: Commands,
    context: Arc<SwarmContext>,
}

impl Swarm {
    /// Starts every client of the plan; each connects when its plan says.
    #[must_use]
    pub fn start(context: &Arc<SwarmContext>, commands: Commands) -> Self {
        Self::start_here(context, commands, Share::WHOLE, Source::Bench)
    }

    /// As [`Self::start`], for the clients of a share only, in the process of a worker.
    #[must_use]
    pub fn start_share(context: &Arc<SwarmContext>, commands: Commands, share: Share) -> Self {
        Self::start_here(context, commands, share, Source::Worker(share.index))
    }

    fn start_here(context: &Arc<SwarmContext>, commands: Commands, share: Share, source: Source) -> Self {
        let plans: Vec<_> = context.plan.subscribers.iter().filter(|plan| share.has(plan.id)).collect();
        // Each client sends its ledger once.
        let (sender, ledgers) = mpsc::channel(plans.len().max(1));
        let (by_loops, by_tasks): (Vec<_>, Vec<_>) =
            plans.into_iter().partition(|plan| context.transports.plain(&context.plan, plan).is_some());
        let mut swarm = Self {
            clients: by_loops.len() + by_tasks.len(),
            ledgers,
            tasks: Tasks::new(),
            threads: JoinSet::new(),
            loops: Vec::new(),
            recorders: (0..RECORDERS).map(|_| SharedRecorder::default()).collect(),
            ids: IdTable::default(),
            commands,
            context: Arc::clone(context),
        };
        by_tasks.iter().enumerate().for_each(|(index, plan)| swarm.start_task(index, plan, &sender));
        swarm.start_loops(&by_loops, &sender, source);
        swarm
    }

    /// A client that is a task.
    fn start_task(&self, index: usize, plan: &SubscriberPlan, ledgers: &LedgerSender) {
        let recorder = Arc::clone(&self.recorders[index % RECORDERS]);
        let samples = SampleBuffer::new(recorder, self.context.clock.clone());
        let receiver = self.commands.receiver(plan.id);
        let subscriber = Subscriber::new(&self.context, plan, samples, receiver, &self.ids);
        spawn_client(&self.tasks, ledgers, plan.id, subscriber.run());
    }

    /// Clients that loops serve, one loop for each core.
    fn start_loops(&mut self, plans: &[&SubscriberPlan], ledgers: &LedgerSender, source: Source) {
        let count = cores().min(plans.len());
        for number in 0..count {
            let recorder = SharedRecorder::default();
            self.recorders.push(Arc::clone(&recorder));
            let setting = LoopSetting {
                context: Arc::clone(&self.context),
                commands: self.commands.clone(),
                tasks: self.tasks.clone(),
                ledgers: ledgers.clone(),
                recorder,
                ids: IdTable::default(),
                source,
                connects_at_once: CONNECTS_AT_ONCE.div_ceil(count),
            };
            let mut client_loop =
                ClientLoop::new(setting).expect("a process that opens streams has two files for a loop");
            plans.iter().skip(number).step_by(count).for_each(|plan| client_loop.add(plan));
            self.loops.push(client_loop.handle());
            let tasks = self.tasks.clone();
            self.threads.spawn_blocking(move || {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| client_loop.run())) {
                    let message = panic_message(panic.as_ref()).unwrap_or("no message");
                    tasks.fail(format!("a loop of clients panicked: {message}"));
                    resume_unwind(panic);
                }
            });
        }
        self.tasks.spawn("commands for loops", self.wake_loops());
    }

    /// Wakes the loops for each command, and when the clock starts.
    fn wake_loops(&self) -> impl Future<Output = ()> + Send + use<> {
        let (mut commands, loops) = (self.commands.follow(), self.loops.clone());
        let (started, token) = (self.context.started.clone(), self.tasks.token().clone());
        async move {
            let mut has_started = false;
            let mut asked = std::pin::pin!(panic::asked(panic::LOOP));
            loop {
                tokio::select! {
                    () = token.cancelled() => return,
                    () = started.cancelled(), if !has_started => has_started = true,
                    () = &mut asked => return loops.iter().take(1).for_each(|inbox| inbox.send(Message::Panic)),
                    changed = commands.changed() => if changed.is_err() { return },
                }
                commands.mark_unchanged();
                loops.iter().for_each(|inbox| inbox.wake());
            }
        }
    }

    /// The state that the clients share.
    #[must_use]
    pub fn context(&self) -> &Arc<SwarmContext> {
        &self.context
    }

    /// Waits until a loop or a task of the clients has panicked; for ever where none does. What a run finds after that is
    /// wrong.
    pub fn failed(&self) -> impl Future<Output = String> + Send + use<> {
        let tasks = self.tasks.clone();
        async move {
            tasks.token().cancelled().await;
            match tasks.failure() {
                Some(why) => why,
                None => std::future::pending().await,
            }
        }
    }

    /// Stops all clients, and collects the measurements, and the ledgers in the order of the clients' numbers. Clients that do
    /// not stop within `grace` are aborted, and counted.
    pub async fn end(mut self, grace: Duration) -> Ended {
        self.commands.end();
        let mut ledgers = Vec::with_capacity(self.clients);
        let (deadline, failed) = (Instant::now() + grace, self.tasks.token().clone());
        while ledgers.len() < self.clients {
            let received = failed.run_until_cancelled(tokio::time::timeout_at(deadline, self.ledgers.recv()));
            let Some(Ok(Some(ledger))) = received.await else { break };
            ledgers.push(ledger);
        }
        let not_stopped = self.clients - ledgers.len();
        self.stop();
        while let Some(joined) = self.threads.join_next().await {
            if let Err(panicked) = joined {
                resume_unwind(panicked.into_panic());
            }
        }
        if let Err(running) = self.tasks.join(TASKS_GRACE).await {
            tracing::warn!(running, "tasks of the clients do not end");
        }
        if let Some(failure) = self.tasks.failure() {
            resume_unwind(Box::new(failure));
        }
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

impl Swarm {
    fn stop(&self) {
        self.tasks.token().cancel();
        self.loops.iter().for_each(|inbox| inbox.send(Message::Stop));
    }
}

impl Drop for Swarm {
    /// A runtime waits for its threads.
    fn drop(&mut self) {
        self.stop();
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
