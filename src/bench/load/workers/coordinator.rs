//! The parent's side: starts the workers, relays what is ordered, adds up what they tell, collects their books. One task a
//! worker. A worker that ends before its work is done, falls silent or speaks nonsense is *lost*: the run goes to its end
//! without it, and is worth nothing. Read [`WorkerPool::start`] first.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::protocol::{
    HistoryFile, Init, Listener, Stats, ToParent, ToWorker, WireError, WorkerSummary, say,
};
use crate::bench::ids::RunId;
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::clients::share::Share;
use crate::bench::load::clients::{Commands, Ended, SwarmState};
use crate::bench::metrics::clock::monotonic_nanos;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::scenario::ScenarioSource;
use crate::bench::verdict::history::{self, Section, SectionError, fingerprint};
use crate::bench::verdict::ledger::SubscriberLedger;
use crate::runtime::error_chain;

/// The subcommand that a worker is started with.
pub const SUBCOMMAND: &str = "worker";
/// Until a worker has planned the same: ten thousand clients take a hundredth of it.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest silence of a worker, who tells how far it is forty times a second.
const SILENCE: Duration = Duration::from_secs(30);
/// From the end to the last book, beyond the grace that clients have.
const HAND_OVER: Duration = Duration::from_secs(120);
/// Between the announcement of the start and the start: each worker knows of it when it comes.
const LEAD: Duration = Duration::from_millis(100);
/// Between two looks at which doors answer; shorter than a door is passed over.
const DOORS_EVERY: Duration = Duration::from_millis(200);
/// Bytes of a lost worker's last words.
const WORDS: usize = 400;

/// What the workers are to do.
#[derive(Debug, Clone)]
pub struct WorkerSpec {
    /// The scenario.
    pub origin: ScenarioSource,
    /// The run.
    pub run: RunId,
    /// Base URLs of the nodes.
    pub nodes: Vec<String>,
    /// How many nodes there are, also behind a balancer.
    pub count: usize,
    /// Base URL of the balancer in front of them.
    pub load_balancer: Option<String>,
    /// How many workers.
    pub workers: u16,
    /// Where their stderr goes.
    pub dir: PathBuf,
    /// Whether each writes down every arrival, beside that.
    pub has_history: bool,
}

impl WorkerSpec {
    fn history(&self, worker: &str) -> Option<HistoryFile> {
        self.has_history.then(|| HistoryFile { dir: self.dir.clone(), name: history::worker_history(worker) })
    }
}

/// Why there is no crew.
#[derive(Debug, thiserror::Error)]
pub enum WorkerPoolError {
    /// A worker did not start.
    #[error("{name} cannot be started")]
    Start {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It started, and did not take up its work.
    #[error("{name} did not take up its work: {why}")]
    Ready {
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
}

/// Workers that are lost or were late, told by those who attend to them.
#[derive(Debug, Clone, Default)]
pub struct LostWorkers(Arc<LossesInner>);

#[derive(Debug, Default)]
struct LossesInner {
    said: Mutex<Said>,
    any: CancellationToken,
}

#[derive(Debug, Default)]
struct Said {
    all: Vec<String>,
    /// Of the first worker that is lost: one that was only late stands in `all` alone.
    first_loss: Option<String>,
}

impl LostWorkers {
    fn note(&self, what: String) {
        tracing::error!("{what}");
        self.said().all.push(what);
    }

    fn lose(&self, what: String) {
        self.said().first_loss.get_or_insert_with(|| what.clone());
        self.note(what);
        self.0.any.cancel();
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was told so far.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        self.said().all.clone()
    }

    /// The first worker that is lost, if there is one.
    #[must_use]
    pub fn first(&self) -> Option<String> {
        self.said().first_loss.clone()
    }

    /// Returns when a worker is lost.
    pub async fn lost(&self) {
        self.0.any.cancelled().await;
    }
}

/// All workers of a run. Dropping it kills them.
#[derive(Debug)]
pub struct WorkerPool {
    attending: JoinSet<Option<WorkerResults>>,
    pids: Vec<(String, u32)>,
    start: watch::Sender<Option<u64>>,
    commands: Commands,
    lost_workers: LostWorkers,
}

/// What a worker left behind.
#[derive(Debug, Default)]
struct WorkerResults {
    ledgers: Vec<SubscriberLedger>,
    recorder: Recorder,
    summary: WorkerSummary,
    has_measurements: bool,
}

/// One worker, and who attends to it.
struct Line {
    name: String,
    clients: usize,
    child: Child,
    to: ChildStdin,
    from: Listener<ChildStdout>,
    log: PathBuf,
    context: Arc<SwarmContext>,
    lost_workers: LostWorkers,
    /// What it told last.
    figures: Stats,
}

impl WorkerPool {
    /// Starts all workers, and waits until each has planned the same. Their clients begin to connect at once.
    ///
    /// # Errors
    /// The first worker that does not.
    pub async fn start(
        context: &Arc<SwarmContext>,
        commands: &Commands,
        post: &WorkerSpec,
    ) -> Result<Self, WorkerPoolError> {
        let lost_workers = LostWorkers::default();
        let lines = (0..post.workers).map(|index| {
            let share = Share { index, of: post.workers };
            Line::start(Arc::clone(context), lost_workers.clone(), post, share)
        });
        let lines = lines.collect::<Result<Vec<Line>, WorkerPoolError>>()?;
        let ready = lines.into_iter().zip(0..).map(|(line, index)| {
            let init = Init {
                origin: post.origin.clone(),
                run: post.run,
                plan: fingerprint(&context.plan),
                share: Share { index, of: post.workers },
                nodes: post.nodes.clone(),
                count: post.count,
                load_balancer: post.load_balancer.clone(),
                endpoints: context.balancer.endpoints(),
                history: post.history(&line.name),
            };
            line.init(init)
        });
        let ready = futures_util::future::try_join_all(ready).await?;
        let (start, _) = watch::channel(None);
        let mut pool = Self {
            attending: JoinSet::new(),
            pids: Vec::new(),
            start,
            commands: commands.clone(),
            lost_workers,
        };
        for line in ready {
            pool.pids.extend(line.child.id().map(|pid| (line.name.clone(), pid)));
            pool.attending.spawn(line.attend(commands.follow(), pool.start.subscribe()));
        }
        Ok(pool)
    }

    /// Names and process ids.
    #[must_use]
    pub fn pids(&self) -> &[(String, u32)] {
        &self.pids
    }

    /// Workers that are lost.
    #[must_use]
    pub fn lost_workers(&self) -> &LostWorkers {
        &self.lost_workers
    }

    /// Starts the clock here and in all workers, at one moment.
    pub fn start_clock(&self, context: &SwarmContext) {
        let origin = monotonic_nanos() + u64::try_from(LEAD.as_nanos()).unwrap_or(0);
        context.clock.start_at(origin);
        self.start.send_replace(Some(origin));
        context.started.cancel();
    }

    /// Tells all workers that it is over, and collects their books in the order of their clients' numbers, and the
    /// measurements. Workers that do not heed it within the grace are killed, and lost.
    pub async fn end(mut self, grace: Duration) -> Ended {
        self.commands.end();
        let mut ended = Ended::default();
        let deadline = Instant::now() + grace + HAND_OVER;
        while let Ok(Some(joined)) = tokio::time::timeout_at(deadline, self.attending.join_next()).await {
            match joined {
                Ok(Some(handed)) => {
                    ended.ledgers.extend(handed.ledgers);
                    ended.recorder.merge(handed.recorder);
                    ended.stuck += usize::try_from(handed.summary.stuck).unwrap_or(usize::MAX);
                    ended.histories.extend(handed.summary.history);
                    ended.unwritten.extend(handed.summary.unwritten);
                }
                Ok(None) => {}
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
        }
        if !self.attending.is_empty() {
            let late = self.attending.len();
            self.lost_workers
                .lose(format!("{late} workers did not hand over their books within {:?}", grace + HAND_OVER));
        }
        self.attending.shutdown().await;
        ended.ledgers.sort_unstable_by_key(SubscriberLedger::id);
        ended.histories.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        ended.lost_workers = self.lost_workers.told();
        ended
    }
}

impl Line {
    fn start(
        context: Arc<SwarmContext>,
        lost_workers: LostWorkers,
        post: &WorkerSpec,
        share: Share,
    ) -> Result<Self, WorkerPoolError> {
        let name = share.worker();
        let failed = |source| WorkerPoolError::Start { name: name.clone(), source };
        let log = post.dir.join(format!("{name}.stderr.log"));
        let stderr = std::fs::File::create(&log).map_err(failed)?;
        // A group of its own, so that the terminal's ^C reaches the parent alone, who ends it in order.
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
            return Err(failed(std::io::Error::other("it has no pipes")));
        };
        let clients = context.plan.subscribers.iter().filter(|plan| share.has(plan.id)).count();
        let (from, figures) = (Listener::new(from), Stats::default());
        Ok(Self { name, clients, child, to, from, log, context, lost_workers, figures })
    }

    /// Says what to do, and waits until it has understood.
    async fn init(mut self, init: Init) -> Result<Self, WorkerPoolError> {
        let heard = async {
            say(&mut self.to, &ToWorker::Init(Box::new(init))).await?;
            self.from.next().await
        };
        let why = match tokio::time::timeout(READY_TIMEOUT, heard).await {
            Ok(Ok(Some(ToParent::Ready))) => return Ok(self),
            Ok(Ok(Some(ToParent::Failed(why)))) => why,
            Ok(Ok(None)) => self.end_of_it().await,
            Ok(Ok(Some(_))) => "it said something else than that it is ready".to_owned(),
            Ok(Err(error)) => format!("{}; {}", error_chain(&error), self.end_of_it().await),
            Err(_) => format!("it did not plan the run within {READY_TIMEOUT:?}"),
        };
        Err(WorkerPoolError::Ready { name: self.name, why })
    }

    /// Relays, and listens, until everything is handed over. `None` where the worker is lost.
    async fn attend(
        mut self,
        commands: watch::Receiver<SwarmState>,
        start: watch::Receiver<Option<u64>>,
    ) -> Option<WorkerResults> {
        match self.relay(commands, start).await {
            Ok(handed) => {
                // It has nothing left to do but to end.
                let _ended = tokio::time::timeout(HAND_OVER, self.child.wait()).await;
                Some(handed)
            }
            Err(why) => {
                let at = self.context.clock.now();
                let (name, clients) = (&self.name, self.clients);
                self.lost_workers.lose(format!(
                    "{name} was lost at {at}, and the books of its {clients} clients with it: {why}"
                ));
                // Nobody waits for clients that are gone.
                self.add_up(Stats::default());
                None
            }
        }
    }

    async fn relay(
        &mut self,
        mut commands: watch::Receiver<SwarmState>,
        mut start: watch::Receiver<Option<u64>>,
    ) -> Result<WorkerResults, String> {
        let mut handed = WorkerResults::default();
        let mut endpoints = self.context.balancer.endpoints();
        let mut looks = tokio::time::interval(DOORS_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut may_order, mut may_start, mut is_deaf) = (true, true, false);
        // Not anew with each turn: the doors are looked at more often than anybody may be silent.
        let mut silence = SILENCE;
        let mut silent_at = Instant::now() + silence;
        loop {
            let word = tokio::select! {
                heard = tokio::time::timeout_at(silent_at, self.from.next::<ToParent>()) => {
                    silent_at = Instant::now() + silence;
                    if self.recv(heard, silence, &mut handed).await? {
                        return Ok(handed);
                    }
                    continue;
                }
                changed = start.changed(), if may_start && !is_deaf => {
                    may_start = changed.is_ok();
                    start.borrow_and_update().map(ToWorker::Start)
                }
                changed = commands.changed(), if may_order && !is_deaf => {
                    may_order = changed.is_ok();
                    changed.is_ok().then(|| ToWorker::Orders(commands.borrow_and_update().clone()))
                }
                _ = looks.tick(), if !is_deaf => {
                    // One that is down again and again: a worker forgets it after a while, as everybody does.
                    let now = self.context.balancer.endpoints();
                    let is_news = now != endpoints || now.iter().any(|endpoint| !endpoint.is_up);
                    endpoints.clone_from(&now);
                    is_news.then_some(ToWorker::Doors(now))
                }
            };
            let Some(word) = word else { continue };
            if matches!(&word, ToWorker::Orders(state) if state.is_over()) {
                // It waits for its clients and its disk before it says the next word.
                silence = SILENCE.max(HAND_OVER);
                silent_at = Instant::now() + silence;
            }
            match say(&mut self.to, &word).await {
                Ok(()) => {}
                // It has ended. What it said before may still be under way: books that are whole, or nothing.
                Err(WireError::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => is_deaf = true,
                Err(error) => return Err(format!("{}; {}", error_chain(&error), self.end_of_it().await)),
            }
        }
    }

    /// Takes in what it said; whether that was the last of it.
    async fn recv(
        &mut self,
        heard: Result<Result<Option<ToParent>, WireError>, tokio::time::error::Elapsed>,
        silence: Duration,
        handed: &mut WorkerResults,
    ) -> Result<bool, String> {
        let word = match heard {
            Ok(Ok(Some(word))) => word,
            Ok(Ok(None)) => return Err(self.end_of_it().await),
            Ok(Err(error)) => return Err(format!("{}; {}", error_chain(&error), self.end_of_it().await)),
            Err(_) => return Err(format!("it said nothing for {silence:?}")),
        };
        match word {
            ToParent::Stats(figures) => self.add_up(*figures),
            ToParent::Evidence(bytes) => self.take(&bytes, handed).map_err(|error| error_chain(&error))?,
            ToParent::Started(late) if late.is_zero() => {}
            ToParent::Started(late) => self.lost_workers.note(format!(
                "{} learned {late:?} too late when the clock starts, so what came until then was not measured",
                self.name
            )),
            ToParent::Done(summary) => {
                handed.summary = self.signed(summary);
                return self.complete(handed).map(|()| true);
            }
            ToParent::Failed(why) => return Err(why),
            ToParent::Ready => return Err("it said twice that it is ready".to_owned()),
        }
        Ok(false)
    }

    fn take(&self, bytes: &[u8], handed: &mut WorkerResults) -> Result<(), SectionError> {
        match Section::from_bytes(&self.context.plan, bytes)? {
            Section::Clients(books) => handed.ledgers.extend(books),
            Section::Measurements(recorder) => {
                handed.recorder.merge(recorder);
                handed.has_measurements = true;
            }
            Section::Publishes(_) | Section::Sentinels(_) | Section::Audit(_) | Section::End => {}
        }
        Ok(())
    }

    /// What went wrong, by the name of the worker.
    fn signed(&self, mut summary: WorkerSummary) -> WorkerSummary {
        for trouble in &mut summary.unwritten {
            trouble.message = format!("{}: {}", self.name, trouble.message);
        }
        summary
    }

    /// Books that are missing without a word would be a pass that nobody deserves.
    fn complete(&self, handed: &WorkerResults) -> Result<(), String> {
        let books = handed.ledgers.len();
        let ids: HashSet<_> = handed.ledgers.iter().map(SubscriberLedger::id).collect();
        if ids.len() < books {
            return Err(format!("it handed over {books} books of {} clients", ids.len()));
        }
        if !handed.has_measurements {
            return Err("it handed over no measurements".to_owned());
        }
        if books + usize::try_from(handed.summary.stuck).unwrap_or(usize::MAX) == self.clients {
            return Ok(());
        }
        Err(format!("it handed over {books} books and has {} clients", self.clients))
    }

    /// Puts its counts in the place of those that it told before.
    fn add_up(&mut self, now: Stats) {
        let before = std::mem::replace(&mut self.figures, now);
        let (context, now) = (&self.context, &self.figures);
        context.progress.replace(&before.counts, &now.counts);
        context.progress.add_latencies(&now.latencies);
        context.board.replace((before.alive, before.satisfied), (now.alive, now.satisfied));
        context.balancer.replace_open(&before.open, &now.open);
    }

    /// How it ended, and its last words. It has closed its pipe, so it is about to.
    async fn end_of_it(&mut self) -> String {
        let ended = match tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await {
            Ok(Ok(status)) => exit_text(status),
            Ok(Err(error)) => format!("nobody knows how it ended: {error}"),
            Err(_) => "it closed its pipe and did not end".to_owned(),
        };
        let said = std::fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said[said.len().saturating_sub(WORDS)..]).trim().to_owned();
        if said.is_empty() { ended } else { format!("{ended}; its last words: {said}") }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_was_late_is_not_named_as_the_one_that_is_lost() {
        let lost_workers = LostWorkers::default();
        lost_workers.note("worker-1 was late".to_owned());
        assert_eq!(lost_workers.first(), None);
        lost_workers.lose("worker-2 was lost".to_owned());
        lost_workers.lose("worker-1 was lost".to_owned());
        assert_eq!(lost_workers.first().as_deref(), Some("worker-2 was lost"));
        assert_eq!(lost_workers.told().len(), 3);
    }
}
