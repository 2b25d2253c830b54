//! The life of a worker: plans what it was told to, puts its share of the clients on the nodes, tells how far they are,
//! and hands over their books. Decides nothing: orders come from the parent, and so does the end. Where the parent is gone
//! the worker ends at once. Read [`serve`] first.

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
    HistoryFile, Init, Listener, Stats, ToParent, ToWorker, WireError, WorkerSummary, say,
};
use crate::bench::load::balancer::Balancer;
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::clients::{Commands, Ended, Swarm, Transports};
use crate::bench::load::lag;
use crate::bench::load::tls::{self, TrustError};
use crate::bench::metrics::clock::{RunClock, monotonic_nanos};
use crate::bench::metrics::latency::LatencyCounts;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::tags::Source;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::history::{CLIENTS_PER_SECTION, HistoryWriter, Section, WriterTask, fingerprint};
use crate::client::HttpOptions;
use crate::runtime::error_chain;

/// Longest wait for the brief.
const BRIEF_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two figures. The parent looks for the end of the run by them.
const FIGURES_EVERY: Duration = Duration::from_millis(25);
/// Clients only have to drop their sockets.
const SWARM_GRACE: Duration = Duration::from_secs(20);

/// Why a worker ended before its work was done.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Something else than pipes.
    #[error("a worker is started by a run, and speaks to it over pipes")]
    NoPipes(#[source] std::io::Error),
    /// What came over the pipes.
    #[error("the parent was not understood")]
    Wire(#[from] WireError),
    /// The parent is gone, or went before there was anything to do.
    #[error("the parent is gone")]
    Orphaned,
    /// No brief, or something before it.
    #[error("the parent did not say what to do")]
    NoInit,
    /// The scenario makes another plan here.
    #[error("{0}")]
    Plan(String),
    /// Certificates that nodes are checked with.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// No HTTP client.
    #[error(transparent)]
    Http(#[from] crate::client::HttpOptionsError),
    /// No file for what its clients are told.
    #[error("cannot write {name}")]
    History {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A book that cannot be sealed.
    #[error("a book cannot be handed over")]
    Seal(#[source] std::io::Error),
}

/// Asks Linux to kill this process when its parent ends, however it ends.
///
/// # Errors
/// The parent has gone already.
pub fn die_with_parent() -> Result<(), WorkerError> {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        // The end of stdin says the same, only later.
        tracing::warn!(%error, "cannot be tied to the parent");
    }
    // Init is nobody's bench: whoever it adopted is an orphan.
    match rustix::process::getppid() {
        Some(parent) if !parent.is_init() => Ok(()),
        Some(_) | None => Err(WorkerError::Orphaned),
    }
}

/// Stdin and stdout. Not as the runtime has them: its read of a stdin that stays open would keep the process alive.
///
/// # Errors
/// They are no pipes.
pub fn pipes() -> Result<(pipe::Receiver, pipe::Sender), WorkerError> {
    let opened = || {
        let (from, to) = (std::io::stdin(), std::io::stdout());
        let from = pipe::Receiver::from_owned_fd(from.as_fd().try_clone_to_owned()?)?;
        Ok((from, pipe::Sender::from_owned_fd(to.as_fd().try_clone_to_owned()?)?))
    };
    opened().map_err(WorkerError::NoPipes)
}

/// Works until everything is handed over. What went wrong is told to the parent, and returned.
///
/// # Errors
/// [`WorkerError`].
pub async fn serve(from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> Result<(), WorkerError> {
    let done = work(from, &mut to).await;
    if let Err(error) = &done {
        // A parent that is gone cannot be told.
        let _unheard = say(&mut to, &ToParent::Failed(error_chain(error))).await;
    }
    done
}

async fn work(from: impl AsyncRead + Unpin, to: &mut (impl AsyncWrite + Unpin)) -> Result<(), WorkerError> {
    let mut parent = Listener::new(from);
    let init =
        tokio::time::timeout(BRIEF_TIMEOUT, parent.next()).await.map_err(|_| WorkerError::NoInit)??;
    let Some(ToWorker::Init(init)) = init else { return Err(WorkerError::NoInit) };
    let mut shift = WorkerRun::begin(&init)?;
    say(to, &ToParent::Ready).await?;
    let mut ticks = tokio::time::interval(FIGURES_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            told = parent.next() => match told?.ok_or(WorkerError::Orphaned)? {
                ToWorker::Init(_) => return Err(WorkerError::NoInit),
                ToWorker::Start(origin) => say(to, &ToParent::Started(shift.start(origin))).await?,
                ToWorker::Doors(endpoints) => shift.context.balancer.set_endpoints(&endpoints),
                ToWorker::Orders(state) => {
                    let is_over = state.is_over();
                    shift.commands.take_over(state);
                    if is_over {
                        break;
                    }
                }
            },
            _ = ticks.tick() => say(to, &ToParent::Stats(Box::new(shift.figures()))).await?,
        }
    }
    let left = shift.end().await;
    hand_over(to, left).await
}

/// Everything that is alive in a worker.
struct WorkerRun {
    context: Arc<SwarmContext>,
    commands: Commands,
    swarm: Swarm,
    lag: JoinSet<Recorder>,
    stop: CancellationToken,
    /// When clients that join later may count from: the clock starts a moment after it was announced.
    beginning: JoinSet<()>,
    told: LatencyCounts,
    /// Its part of the history.
    writing: Option<WriterTask>,
}

/// What a worker leaves behind.
struct Left {
    ended: Ended,
    /// The last ones before the clients left.
    figures: Stats,
    summary: WorkerSummary,
}

impl WorkerRun {
    fn begin(init: &Init) -> Result<Self, WorkerError> {
        let scenario = init.origin.scenario().map_err(|error| WorkerError::Plan(error.to_string()))?;
        let plan = Arc::new(Plan::new(&scenario, init.run));
        if fingerprint(&plan) != init.plan {
            let what = "the scenario makes another plan here than in the parent: are both the same program?";
            return Err(WorkerError::Plan(what.to_owned()));
        }
        let balancer = match &init.load_balancer {
            Some(base) => Balancer::through(base.clone(), init.count),
            None => Balancer::of(plan.lb, init.nodes.iter().cloned()),
        };
        balancer.set_endpoints(&init.endpoints);
        let http = HttpOptions { trust: tls::read(&scenario.tls)?, ..HttpOptions::default() };
        let ways = Transports::new(&plan, &http)?;
        let writing = init.history.as_ref().map(write_down).transpose()?;
        let mut context = SwarmContext::new(plan, ways, balancer, RunClock::default());
        context.writer = writing.as_ref().map(WriterTask::writer).cloned();
        let context = Arc::new(context);
        let (stop, commands) = (CancellationToken::new(), Commands::default());
        let phases = Arc::new(context.plan.phases.clone());
        let mut lag = JoinSet::new();
        let source = Source::Worker(init.share.index);
        lag.spawn(lag::measure_lag(context.clock.clone(), phases, source, stop.clone()));
        let swarm = Swarm::start_share(Arc::clone(&context), commands.clone(), init.share);
        Ok(Self {
            context,
            commands,
            swarm,
            lag,
            stop,
            beginning: JoinSet::new(),
            told: LatencyCounts::default(),
            writing,
        })
    }

    /// Starts the clock; says how long after its start that was.
    fn start(&mut self, origin: u64) -> Duration {
        let late = Duration::from_nanos(monotonic_nanos().saturating_sub(origin));
        self.context.clock.start_at(origin);
        let context = Arc::clone(&self.context);
        self.beginning.spawn(async move {
            tokio::time::sleep_until(context.clock.instant_of(Duration::ZERO)).await;
            context.started.cancel();
        });
        late
    }

    fn figures(&mut self) -> Stats {
        let latencies = self.context.progress.latencies();
        let since = latencies.since(&self.told);
        self.told = latencies;
        Stats {
            counts: self.context.progress.snapshot(),
            latencies: since,
            alive: self.context.board.alive(),
            satisfied: self.context.board.satisfied(),
            open: self.context.balancer.open(),
        }
    }

    /// Ends the clients, then what they wrote down.
    async fn end(mut self) -> Left {
        let figures = self.figures();
        let mut ended = self.swarm.end(SWARM_GRACE).await;
        self.stop.cancel();
        while let Some(Ok(lag)) = self.lag.join_next().await {
            ended.recorder.merge(lag);
        }
        self.beginning.shutdown().await;
        tracing::debug!(at = %RunTime::from_nanos(self.context.clock.now().as_nanos()), "hands over");
        let stuck = u32::try_from(ended.stuck).unwrap_or(u32::MAX);
        let (history, unwritten) = match self.writing {
            Some(writing) => writing.end().await,
            None => (None, Vec::new()),
        };
        Left { ended, figures, summary: WorkerSummary { stuck, history, unwritten } }
    }
}

fn write_down(file: &HistoryFile) -> Result<WriterTask, WorkerError> {
    let failed = |source| WorkerError::History { name: file.name.clone(), source };
    HistoryWriter::start(&file.dir, &file.name).map_err(failed)
}

async fn hand_over(to: &mut (impl AsyncWrite + Unpin), left: Left) -> Result<(), WorkerError> {
    let Left { ended, figures, summary } = left;
    say(to, &ToParent::Stats(Box::new(figures))).await?;
    for books in ended.ledgers.chunks(CLIENTS_PER_SECTION) {
        let mut bytes = Vec::new();
        Section::write_clients(&mut bytes, books).map_err(WorkerError::Seal)?;
        say(to, &ToParent::Evidence(bytes)).await?;
    }
    let measurements = Section::Measurements(ended.recorder).to_bytes().map_err(WorkerError::Seal)?;
    say(to, &ToParent::Evidence(measurements)).await?;
    say(to, &ToParent::Done(summary)).await?;
    Ok(())
}
