//! One worker as the parent sees it: its process, its pipes and its latest counts. A worker that ends before its work is
//! done, is silent for too long or sends something malformed is *lost*: the run goes on without it, and is INVALID. Read
//! [`WorkerHandle::attend`] first.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::lost_workers::LostWorkers;
use super::protocol::{
    HistoryFile, Init, MessageReader, Stats, ToParent, ToWorker, WireError, WorkerSummary, send_message,
};
use crate::bench::ids::RunId;
use crate::bench::load::clients::SwarmState;
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::clients::share::Share;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::scenario::ScenarioSource;
use crate::bench::verdict::diagnosis::Observations;
use crate::bench::verdict::history::{self, Section, SectionError};
use crate::bench::verdict::ledger::SubscriberLedger;
use crate::runtime::error_chain;

/// The subcommand that a worker is started with.
const SUBCOMMAND: &str = "worker";
/// Longest wait for a worker's plan. A plan of ten thousand clients takes a hundredth of it.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest silence of a worker, which reports its counts forty times a second.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// From the end to the last ledger, beyond the time that clients have to stop.
pub(super) const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(120);
/// Time between two comparisons of the balancer's endpoints. Shorter than the time for which an endpoint counts as down.
const ENDPOINTS_EVERY: Duration = Duration::from_millis(200);
/// Bytes of stderr in the report of a lost worker.
const STDERR_TAIL_BYTES: usize = 400;

/// The work of all workers.
#[derive(Debug, Clone)]
pub struct WorkerSpec {
    /// The scenario, from which each worker derives the plan.
    pub origin: ScenarioSource,
    /// Part of every stamp.
    pub run: RunId,
    /// Base URLs of the nodes.
    pub nodes: Vec<String>,
    /// Number of nodes, also behind a load balancer.
    pub count: usize,
    /// Base URL of the load balancer in front of the nodes; `None`: clients connect to the nodes.
    pub load_balancer: Option<String>,
    /// Number of workers.
    pub workers: u16,
    /// Directory for the stderr of each worker, and for its part of the full history.
    pub dir: PathBuf,
    /// Whether each worker writes a part of the full history.
    pub has_history: bool,
}

impl WorkerSpec {
    pub(super) fn history(&self, worker: &str) -> Option<HistoryFile> {
        self.has_history.then(|| HistoryFile { dir: self.dir.clone(), name: history::worker_history(worker) })
    }
}

/// The workers could not be started.
#[derive(Debug, thiserror::Error)]
pub enum WorkerPoolError {
    /// A worker did not start.
    #[error("{name} cannot be started")]
    Start {
        /// As in [`Share::worker`].
        name: String,
        #[source]
        source: std::io::Error,
    },
    /// A worker started, and did not become ready.
    #[error("{name} did not become ready: {why}")]
    Ready {
        /// As in [`Share::worker`].
        name: String,
        /// Its own error, how it ended, or what it did instead.
        why: String,
    },
}

/// The evidence and summary of one worker.
#[derive(Debug, Default)]
pub(super) struct WorkerResults {
    pub(super) ledgers: Vec<SubscriberLedger>,
    pub(super) recorder: Recorder,
    pub(super) observations: Observations,
    pub(super) summary: WorkerSummary,
    has_measurements: bool,
}

/// One worker, and what the parent knows of it.
pub(super) struct WorkerHandle {
    name: String,
    /// Number of its clients.
    clients: usize,
    child: Child,
    to: ChildStdin,
    from: MessageReader<ChildStdout>,
    /// Path of the file that has its stderr.
    log: PathBuf,
    context: Arc<SwarmContext>,
    lost_workers: LostWorkers,
    /// Its latest counts.
    stats: Stats,
}

impl WorkerHandle {
    pub(super) fn start(
        context: Arc<SwarmContext>,
        lost_workers: LostWorkers,
        spec: &WorkerSpec,
        share: Share,
    ) -> Result<Self, WorkerPoolError> {
        let name = share.worker();
        let failed = |source| WorkerPoolError::Start { name: name.clone(), source };
        let log = spec.dir.join(format!("{name}.stderr.log"));
        let stderr = std::fs::File::create(&log).map_err(failed)?;
        // A process group of its own, so that the terminal's ^C reaches only the parent, which stops the workers in order.
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .arg(SUBCOMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let (Some(to), Some(from)) = (to, from) else {
            return Err(failed(std::io::Error::other("its stdin or stdout is not a pipe")));
        };
        let clients = context.plan.subscribers.iter().filter(|plan| share.has(plan.id)).count();
        let (from, stats) = (MessageReader::new(from), Stats::default());
        Ok(Self { name, clients, child, to, from, log, context, lost_workers, stats })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `None` when the process has ended.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends the work to do, and waits until the worker is ready.
    pub(super) async fn init(mut self, init: Init) -> Result<Self, WorkerPoolError> {
        let answer = async {
            send_message(&mut self.to, &ToWorker::Init(Box::new(init))).await?;
            self.from.next().await
        };
        let why = match tokio::time::timeout(READY_TIMEOUT, answer).await {
            Ok(Ok(Some(ToParent::Ready))) => return Ok(self),
            Ok(Ok(Some(ToParent::Failed(why)))) => why,
            Ok(Ok(None)) => self.exit_reason().await,
            Ok(Ok(Some(_))) => "its first message was not Ready".to_owned(),
            Ok(Err(error)) => format!("{}; {}", error_chain(&error), self.exit_reason().await),
            Err(_) => format!("it did not plan the run within {READY_TIMEOUT:?}"),
        };
        Err(WorkerPoolError::Ready { name: self.name, why })
    }

    /// Relays commands and receives messages until all results are here. `None` when the worker is lost.
    pub(super) async fn attend(
        mut self,
        commands: watch::Receiver<SwarmState>,
        start: watch::Receiver<Option<u64>>,
    ) -> Option<WorkerResults> {
        match self.relay(commands, start).await {
            Ok(results) => {
                // It has only to end.
                let _ended = tokio::time::timeout(HAND_OVER_TIMEOUT, self.child.wait()).await;
                Some(results)
            }
            Err(why) => {
                let at = self.context.clock.now();
                let (name, clients) = (&self.name, self.clients);
                self.lost_workers.lose(format!(
                    "{name} failed at {at}: {why}. The results of its {clients} clients are missing"
                ));
                // So that the run does not wait for clients that are gone.
                self.replace_stats(Stats::default());
                None
            }
        }
    }

    async fn relay(
        &mut self,
        mut commands: watch::Receiver<SwarmState>,
        mut start: watch::Receiver<Option<u64>>,
    ) -> Result<WorkerResults, String> {
        let mut results = WorkerResults::default();
        let mut endpoints = self.context.balancer.endpoints();
        let mut ticks = tokio::time::interval(ENDPOINTS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut has_commands, mut has_start, mut is_closed) = (true, true, false);
        // Not restarted with each turn of the loop: the ticks come more often than the silence may last.
        let mut silence = SILENCE_MAX;
        let mut silent_at = Instant::now() + silence;
        loop {
            let message = tokio::select! {
                received = tokio::time::timeout_at(silent_at, self.from.next::<ToParent>()) => {
                    silent_at = Instant::now() + silence;
                    if self.recv(received, silence, &mut results).await? {
                        return Ok(results);
                    }
                    continue;
                }
                changed = start.changed(), if has_start && !is_closed => {
                    has_start = changed.is_ok();
                    start.borrow_and_update().map(ToWorker::Start)
                }
                changed = commands.changed(), if has_commands && !is_closed => {
                    has_commands = changed.is_ok();
                    changed.is_ok().then(|| ToWorker::Commands(commands.borrow_and_update().clone()))
                }
                _ = ticks.tick(), if !is_closed => {
                    // An endpoint that stays down is reported again: a worker takes it for up after a while, as the parent does.
                    let now = self.context.balancer.endpoints();
                    let is_news = now != endpoints || now.iter().any(|endpoint| !endpoint.is_up);
                    endpoints.clone_from(&now);
                    is_news.then_some(ToWorker::Endpoints(now))
                }
            };
            let Some(message) = message else { continue };
            if matches!(&message, ToWorker::Commands(state) if state.is_over()) {
                // The worker waits for its clients and its disk before it sends the next message.
                silence = SILENCE_MAX.max(HAND_OVER_TIMEOUT);
                silent_at = Instant::now() + silence;
            }
            match send_message(&mut self.to, &message).await {
                Ok(()) => {}
                // It has ended. Messages that it sent before may still be in the pipe: all its results, or a part.
                Err(WireError::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                    is_closed = true;
                }
                Err(error) => return Err(format!("{}; {}", error_chain(&error), self.exit_reason().await)),
            }
        }
    }

    /// Handles a message. Returns whether it was the last one.
    async fn recv(
        &mut self,
        received: Result<Result<Option<ToParent>, WireError>, tokio::time::error::Elapsed>,
        silence: Duration,
        results: &mut WorkerResults,
    ) -> Result<bool, String> {
        let message = match received {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return Err(self.exit_reason().await),
            Ok(Err(error)) => return Err(format!("{}; {}", error_chain(&error), self.exit_reason().await)),
            Err(_) => return Err(format!("no message for {silence:?}")),
        };
        match message {
            ToParent::Stats(stats) => self.replace_stats(*stats),
            ToParent::Evidence(bytes) => self.take(&bytes, results).map_err(|error| error_chain(&error))?,
            ToParent::Started(late) if late.is_zero() => {}
            ToParent::Started(late) => self.lost_workers.note(format!(
                "{} got the start signal {late:?} late, and did not measure the events of that time",
                self.name
            )),
            ToParent::Done(summary) => {
                results.summary = self.with_name(summary);
                return self.complete(results).map(|()| true);
            }
            ToParent::Failed(why) => return Err(why),
            ToParent::Ready => return Err("it sent Ready twice".to_owned()),
        }
        Ok(false)
    }

    fn take(&self, bytes: &[u8], results: &mut WorkerResults) -> Result<(), SectionError> {
        match Section::from_bytes(&self.context.plan, bytes)? {
            Section::Clients(ledgers) => results.ledgers.extend(ledgers),
            Section::Measurements(recorder) => {
                results.recorder.merge(recorder);
                results.has_measurements = true;
            }
            Section::Observations(observations) => results.observations.merge(*observations),
            Section::Publishes(_)
            | Section::Sentinels(_)
            | Section::Probes(_)
            | Section::Audit(_)
            | Section::End => {}
        }
        Ok(())
    }

    /// Puts the worker's name before each problem.
    fn with_name(&self, mut summary: WorkerSummary) -> WorkerSummary {
        for problem in &mut summary.unwritten {
            problem.message = format!("{}: {}", self.name, problem.message);
        }
        summary
    }

    /// Every client needs a ledger: a run that lacks one must not pass.
    fn complete(&self, results: &WorkerResults) -> Result<(), String> {
        let ledgers = results.ledgers.len();
        let ids: HashSet<_> = results.ledgers.iter().map(SubscriberLedger::id).collect();
        if ids.len() < ledgers {
            return Err(format!("it sent {ledgers} ledgers of {} clients", ids.len()));
        }
        if !results.has_measurements {
            return Err("it sent no measurements".to_owned());
        }
        if ledgers + usize::try_from(results.summary.not_stopped).unwrap_or(usize::MAX) == self.clients {
            return Ok(());
        }
        Err(format!("it sent {ledgers} ledgers and has {} clients", self.clients))
    }

    /// Replaces its counts in the totals of the run.
    fn replace_stats(&mut self, now: Stats) {
        let before = std::mem::replace(&mut self.stats, now);
        let (context, now) = (&self.context, &self.stats);
        context.progress.replace(&before.counts, &now.counts);
        context.progress.add_latencies(&now.latencies);
        context.progress.note_failures(&now.failures);
        context.board.replace((before.alive, before.satisfied), (now.alive, now.satisfied));
        context.balancer.replace_open(&before.open, &now.open);
    }

    /// How it ended, with the end of its stderr. It has closed its pipe, so it is about to end.
    async fn exit_reason(&mut self) -> String {
        let ended = match tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await {
            Ok(Ok(status)) => exit_text(status),
            Ok(Err(error)) => format!("its exit status cannot be read: {error}"),
            Err(_) => "it closed its pipe and did not end".to_owned(),
        };
        let stderr = std::fs::read(&self.log).unwrap_or_default();
        let tail = &stderr[stderr.len().saturating_sub(STDERR_TAIL_BYTES)..];
        let tail = String::from_utf8_lossy(tail).trim().to_owned();
        if tail.is_empty() { ended } else { format!("{ended}; end of its stderr: {tail}") }
    }
}

fn exit_text(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}
