//! A worker: derives the plan, runs its share of the clients, reports counts and sends the ledgers. It decides nothing:
//! commands come from the parent, and so does the end. When the parent is gone, the worker ends at once. Read [`serve`]
//! first.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::unix::pipe;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::protocol::{
    HistoryFile, Init, MessageReader, Stats, ToParent, ToWorker, WireError, WorkerSummary, send_message,
};
use crate::bench::load::balancer::Balancer;
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::clients::{Commands, Ended, Swarm, Transports};
use crate::bench::load::lag;
use crate::bench::load::tls;
use crate::bench::metrics::clock::{RunClock, monotonic_nanos};
use crate::bench::metrics::latency::LatencyCounts;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::tags::Source;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::history::{CLIENTS_PER_SECTION, HistoryWriter, Section, WriterTask, fingerprint};
use crate::client::{CertificateError, HttpOptions};
use crate::runtime::error_chain;

/// Longest wait for the first message.
const INIT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two reports of counts. The parent sees the end of the run in them.
const STATS_EVERY: Duration = Duration::from_millis(25);
/// Time for clients to stop: they only have to close their sockets.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A worker ended before its work was done.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Stdin or stdout is not a pipe.
    #[error("`worker` is an internal command: stdin and stdout must be pipes to the run that started it")]
    NoPipes(#[source] std::io::Error),
    /// A message could not be sent or read.
    #[error("cannot communicate with the parent")]
    Wire(#[from] WireError),
    /// The parent ended first.
    #[error("the parent is gone")]
    Orphaned,
    /// No `Init` came in time, another message came first, or `Init` came twice.
    #[error("the parent must send exactly one Init message, first and within {INIT_TIMEOUT:?}")]
    NoInit,
    /// The scenario cannot be read, or makes another plan here.
    #[error("{0}")]
    Plan(String),
    /// The CA file cannot be used.
    #[error(transparent)]
    Trust(#[from] CertificateError),
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Http(#[from] crate::client::HttpOptionsError),
    /// The file of the full history cannot be created.
    #[error("cannot write {name}")]
    History {
        /// Name of the file in the run's directory.
        name: String,
        #[source]
        source: std::io::Error,
    },
    /// A loop or a task of the clients has panicked.
    #[error("{0}")]
    Clients(String),
    /// A section of evidence cannot be encoded.
    #[error("cannot encode the ledgers or measurements")]
    Seal(#[source] std::io::Error),
}

/// Asks Linux to kill this process when its parent ends, however it ends.
///
/// # Errors
/// [`WorkerError::Orphaned`]: the parent has already ended.
pub fn die_with_parent() -> Result<(), WorkerError> {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        // The end of stdin reports the same, only later.
        tracing::warn!(%error, "cannot ask Linux to end this worker with its parent");
    }
    // A process whose parent is init has been adopted: its own parent has ended.
    match rustix::process::getppid() {
        Some(parent) if !parent.is_init() => Ok(()),
        Some(_) | None => Err(WorkerError::Orphaned),
    }
}

/// Stdin and stdout as pipes. Not tokio's own: its read of a stdin that stays open would keep the process alive.
///
/// # Errors
/// [`WorkerError::NoPipes`].
pub fn pipes() -> Result<(pipe::Receiver, pipe::Sender), WorkerError> {
    let opened = || {
        let (from, to) = (std::io::stdin(), std::io::stdout());
        let from = pipe::Receiver::from_owned_fd(from.as_fd().try_clone_to_owned()?)?;
        Ok((from, pipe::Sender::from_owned_fd(to.as_fd().try_clone_to_owned()?)?))
    };
    opened().map_err(WorkerError::NoPipes)
}

/// Works until all evidence is sent. An error is sent to the parent, and returned.
///
/// # Errors
/// [`WorkerError`], each variant with its cause.
pub async fn serve(from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> Result<(), WorkerError> {
    let done = work(from, &mut to).await;
    if let Err(error) = &done {
        // A parent that is gone cannot read it.
        let _unsent = send_message(&mut to, &ToParent::Failed(error_chain(error))).await;
    }
    done
}

async fn work(from: impl AsyncRead + Unpin, to: &mut (impl AsyncWrite + Unpin)) -> Result<(), WorkerError> {
    let mut parent = MessageReader::new(from);
    let init = tokio::time::timeout(INIT_TIMEOUT, parent.next()).await.map_err(|_| WorkerError::NoInit)??;
    let Some(ToWorker::Init(init)) = init else { return Err(WorkerError::NoInit) };
    let mut run = WorkerRun::new(&init)?;
    send_message(to, &ToParent::Ready).await?;
    let mut failed = std::pin::pin!(run.swarm.failed());
    let mut ticks = tokio::time::interval(STATS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = parent.next() => match message?.ok_or(WorkerError::Orphaned)? {
                ToWorker::Init(_) => return Err(WorkerError::NoInit),
                ToWorker::Start(origin) => send_message(to, &ToParent::Started(run.start(origin))).await?,
                ToWorker::Endpoints(endpoints) => run.context.balancer.set_endpoints(&endpoints),
                ToWorker::Commands(state) => {
                    let is_over = state.is_over();
                    run.commands.take_over(state);
                    if is_over {
                        break;
                    }
                }
            },
            why = &mut failed => return Err(WorkerError::Clients(why)),
            _ = ticks.tick() => send_message(to, &ToParent::Stats(Box::new(run.stats()))).await?,
        }
    }
    let results = run.end().await;
    hand_over(to, results).await
}

/// The running parts of a worker.
struct WorkerRun {
    context: Arc<SwarmContext>,
    commands: Commands,
    swarm: Swarm,
    lag: JoinSet<Recorder>,
    stop: CancellationToken,
    /// Lets clients that join later start to count: the clock starts a moment after its announcement.
    starting: JoinSet<()>,
    /// Latencies up to the last report.
    reported: LatencyCounts,
    /// Writes the worker's part of the full history.
    history: Option<WriterTask>,
}

/// The results of a worker.
struct Results {
    ended: Ended,
    /// Counts just before the clients were stopped.
    stats: Stats,
    summary: WorkerSummary,
}

impl WorkerRun {
    fn new(init: &Init) -> Result<Self, WorkerError> {
        let scenario = init.origin.scenario().map_err(|error| WorkerError::Plan(error.to_string()))?;
        let plan = Arc::new(Plan::new(&scenario, init.run));
        if fingerprint(&plan) != init.plan {
            let what = "the scenario makes another plan here than in the parent: check that both are the same version of sse-bench";
            return Err(WorkerError::Plan(what.to_owned()));
        }
        let balancer = match &init.load_balancer {
            Some(base) => Balancer::through(base.clone(), init.count),
            None => Balancer::of(plan.lb, init.nodes.iter().cloned()),
        };
        balancer.set_endpoints(&init.endpoints);
        let http = HttpOptions { trust: tls::read(&scenario.tls)?, ..HttpOptions::default() };
        let transports = Transports::new(&plan, &http)?;
        let history = init.history.as_ref().map(start_history).transpose()?;
        let mut context = SwarmContext::new(plan, transports, balancer, RunClock::default());
        context.writer = history.as_ref().map(WriterTask::writer).cloned();
        let context = Arc::new(context);
        let (stop, commands) = (CancellationToken::new(), Commands::default());
        let phases = Arc::new(context.plan.phases.clone());
        let mut lag = JoinSet::new();
        let source = Source::Worker(init.share.index);
        lag.spawn(lag::measure_lag(context.clock.clone(), phases, source, stop.clone()));
        let swarm = Swarm::start_share(&context, commands.clone(), init.share);
        Ok(Self {
            context,
            commands,
            swarm,
            lag,
            stop,
            starting: JoinSet::new(),
            reported: LatencyCounts::default(),
            history,
        })
    }

    /// Starts the clock at `origin`, in nanoseconds since boot. Returns how late this call was.
    fn start(&mut self, origin: u64) -> Duration {
        let late = Duration::from_nanos(monotonic_nanos().saturating_sub(origin));
        self.context.clock.start_at(origin);
        let context = Arc::clone(&self.context);
        self.starting.spawn(async move {
            tokio::time::sleep_until(context.clock.instant_of(Duration::ZERO)).await;
            context.started.cancel();
        });
        late
    }

    fn stats(&mut self) -> Stats {
        let latencies = self.context.progress.latencies();
        let since = latencies.since(&self.reported);
        self.reported = latencies;
        Stats {
            counts: self.context.progress.snapshot(),
            latencies: since,
            alive: self.context.board.alive(),
            satisfied: self.context.board.satisfied(),
            open: self.context.balancer.open(),
            failures: self.context.progress.connect_failures(),
        }
    }

    /// Stops the clients, then ends the history.
    async fn end(mut self) -> Results {
        let stats = self.stats();
        let mut ended = self.swarm.end(STOP_TIMEOUT).await;
        self.stop.cancel();
        while let Some(Ok(lag)) = self.lag.join_next().await {
            ended.recorder.merge(lag);
        }
        self.starting.shutdown().await;
        tracing::debug!(at = %RunTime::from_nanos(self.context.clock.now().as_nanos()), "the worker sends its ledgers and measurements");
        let not_stopped = u32::try_from(ended.not_stopped).unwrap_or(u32::MAX);
        let (history, unwritten) = match self.history {
            Some(history) => history.end().await,
            None => (None, Vec::new()),
        };
        let sightings = std::mem::take(&mut ended.sightings);
        Results { ended, stats, summary: WorkerSummary { not_stopped, history, sightings, unwritten } }
    }
}

fn start_history(file: &HistoryFile) -> Result<WriterTask, WorkerError> {
    let failed = |source| WorkerError::History { name: file.name.clone(), source };
    HistoryWriter::start(&file.dir, &file.name).map_err(failed)
}

async fn hand_over(to: &mut (impl AsyncWrite + Unpin), results: Results) -> Result<(), WorkerError> {
    let Results { ended, stats, summary } = results;
    send_message(to, &ToParent::Stats(Box::new(stats))).await?;
    for ledgers in ended.ledgers.chunks(CLIENTS_PER_SECTION) {
        let mut bytes = Vec::new();
        Section::write_clients(&mut bytes, ledgers).map_err(WorkerError::Seal)?;
        send_message(to, &ToParent::Evidence(bytes)).await?;
    }
    let mut bytes = Vec::new();
    Section::write_observations(&mut bytes, &ended.observations).map_err(WorkerError::Seal)?;
    send_message(to, &ToParent::Evidence(bytes)).await?;
    let measurements = Section::Measurements(ended.recorder).to_bytes().map_err(WorkerError::Seal)?;
    send_message(to, &ToParent::Evidence(measurements)).await?;
    send_message(to, &ToParent::Done(summary)).await?;
    Ok(())
}
