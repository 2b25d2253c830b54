//! Builds the node from its parts, and ends them in order. This file may import every part; no part may import it.
//! Read [`run`] first.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::access::{Access, Refresher, TokenRules};
use super::admission::{Admission, AdmissionLimits};
use super::close::RetryPolicy;
use super::config::{AccessConfig, Config};
use super::connections::Connections;
use super::drain::Drain;
use super::feed::FeedLimits;
use super::http::pace::Pace;
use super::http::{AppLimits, AppState, Heavy};
use super::limits::{LISTS, READS};
use super::listen::{Bound, ListenError, base_url};
use super::loops::{Budget, EventLoop, LoopHandle, LoopSettings, Loops, Message, Offload, SharedLoop};
use super::metrics::{INTERVAL, Metrics};
use super::peers::{PeerLimits, PeerSecurity, Peers, install_tls_provider};
use super::rebalance::Rebalancing;
use super::revoker::Revoker;
use super::roster::Roster;
use super::stream_context::{StreamContext, StreamTiming};
use super::tail::Tail;
use super::takeover::Takeover;
use super::tls::{self, TlsSettings};
use super::window::{Window, WindowLimits};
use crate::broker::{Bounds, Broker, OpenError, StoreError};
use crate::protocol::api::Server;
use crate::runtime::clock::unix_ms;
use crate::runtime::{SideThread, Signals, Tasks, cores, exit};

/// Why a node cannot start, or why it failed.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The log cannot be opened.
    #[error("cannot open the broker {broker}")]
    Broker {
        /// The URL, without its password.
        broker: String,
        #[source]
        cause: OpenError,
    },
    /// Keys, or API keys, cannot be read.
    #[error("cannot check tokens: {0}")]
    Access(String),
    /// The log cannot be read.
    #[error("cannot read the log")]
    Log(#[source] StoreError),
    /// The log cannot be written any more by this process.
    #[error("the log has failed; start the node again")]
    LogFailed(#[source] StoreError),
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system refused what a loop needs.
    #[error("cannot start a loop for streams")]
    Loop(#[source] std::io::Error),
    /// The system refused a thread.
    #[error("cannot start the thread for large reads")]
    SideThread(#[source] std::io::Error),
    /// The HTTP client for other nodes cannot be built.
    #[error("cannot create the HTTP client for other nodes")]
    Peers(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The system refused signal handlers.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// A task panicked, or did not end in time.
    #[error("{0}")]
    Task(String),
}

impl NodeError {
    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::LogFailed(_)) { exit::START_AGAIN } else { 1 }
    }
}

/// Runs a node until SIGTERM or SIGINT: the first signal drains it, a second one ends it at once.
///
/// # Errors
/// [`NodeError`] names the broker or address. A node that drained returns `Ok`.
pub async fn run(config: Config) -> Result<(), NodeError> {
    let mut signals = Signals::listen().map_err(NodeError::Signals)?;
    let bound = Bound::bind(&config)?;
    // Three groups, ended one after the other: the node leaves the roster before it stops serving, and the log takes
    // the publishes of the last requests while the rest is ending.
    let (roster_tasks, tasks, broker_tasks) = (Tasks::new(), Tasks::new(), Tasks::new());
    let broker = Broker::open(&config.broker, config.log.clone(), config.durability, &broker_tasks)
        .await
        .map_err(|cause| NodeError::Broker { broker: config.broker.to_string(), cause })?;
    let side = SideThread::start("sse-node-reads").map_err(NodeError::SideThread)?;
    let parts = Parts::build(&config, broker, (bound.address, side)).await?;
    parts.enter(&config, &roster_tasks).await;
    bound.log(&config);
    parts.start(bound, &config, &tasks)?;

    let drain = parts.app.drain.clone();
    let why = tokio::select! {
        signal = signals.next() => signal,
        () = tasks.token().cancelled() => "a failed task",
        () = roster_tasks.token().cancelled() => "a failed task of the roster",
        () = broker_tasks.token().cancelled() => "a failed task of the log",
    };
    tracing::info!(connections = parts.app.connections.len(), "the node is leaving because of {why}");
    // Also when an operator has begun a drain: from now on --drain-over counts.
    drain.leave(config.drain_over, "the node is leaving");
    parts.app.roster.beat_soon();
    tokio::select! {
        left = drain.finished(config.drain_grace) => {
            if left > 0 {
                tracing::warn!(left, "streams are still open after --drain-over and --drain-grace");
            }
        }
        signal = signals.next() => tracing::warn!("ending at once after a second signal: {signal}"),
    }
    let groups = [roster_tasks, tasks, broker_tasks];
    let ended = end(groups, config.limits.roster_deadline, config.drain_grace).await;
    parts.app.broker.failure().map_or(ended, |cause| Err(NodeError::LogFailed(cause)))
}

/// Ends the tasks: first the roster, so that other nodes stop counting on this one; then the server, the tail and the
/// streams; then the log, which by then has every acknowledged event.
async fn end(groups: [Tasks; 3], roster_deadline: Duration, grace: Duration) -> Result<(), NodeError> {
    let [roster_tasks, tasks, broker_tasks] = groups;
    roster_tasks.token().cancel();
    // The roster task has the same deadline; the extra time lets it log its own failure.
    if roster_tasks.join(roster_deadline + Duration::from_millis(100)).await.is_err() {
        tracing::warn!("the roster did not record in time that this node leaves");
    }
    tasks.token().cancel();
    // Streams that are still open belong to clients that ignored the drain; they end with the process.
    if let Err(left) = tasks.join(grace.min(Duration::from_secs(1))).await {
        tracing::debug!(left, "connections were still open at the end");
    }
    broker_tasks.token().cancel();
    if let Err(left) = broker_tasks.join(grace.max(Duration::from_secs(5))).await {
        return Err(NodeError::Task(format!(
            "the log did not close in time; {left} of its tasks were still running"
        )));
    }
    match [tasks, roster_tasks, broker_tasks].iter().find_map(Tasks::failure) {
        Some(reason) => Err(NodeError::Task(reason)),
        None => Ok(()),
    }
}

/// The parts of a running node.
struct Parts {
    app: Arc<AppState>,
    metrics: Arc<Metrics>,
    tail: Mutex<Option<Tail>>,
    keys: Mutex<Option<Refresher>>,
    /// Where streams and requests read much.
    side: SideThread,
}

impl Parts {
    async fn build(
        config: &Config,
        broker: Broker,
        (address, side): (SocketAddr, SideThread),
    ) -> Result<Self, NodeError> {
        let metrics = Arc::new(Metrics::new(Instant::now()));
        let window_limits = WindowLimits { frames: config.window_frames, bytes: config.window_bytes };
        let (tail, window) =
            Tail::open(&broker, window_limits, config.limits.tail_page, Arc::clone(&metrics))
                .await
                .map_err(NodeError::Log)?;
        let bounds = broker.bounds().await.map_err(NodeError::Log)?;
        let parts = (broker, bounds, window);
        let refresher = refresher(config)?;
        let access =
            config.access.as_ref().zip(refresher.as_ref()).map(|(config, keys)| access(config, keys));
        let app = AppState { access, ..app_state(config, parts, (address, side.handle()), &metrics)? };
        let tail = match &app.access {
            Some(access) => {
                let revoker = Revoker::new(Arc::clone(&access.revocations), app.connections.clone());
                revoker.load(&app.broker).await.map_err(NodeError::Log)?;
                tail.with_revoker(revoker, app.broker.clone())
            }
            None => tail,
        };
        let (app, tail) = (Arc::new(app), Mutex::new(Some(tail)));
        Ok(Self { app, metrics, tail, keys: Mutex::new(refresher), side })
    }

    /// Joins the roster before the first stream, so that this node and the others know each other.
    async fn enter(&self, config: &Config, tasks: &Tasks) {
        let app = &self.app;
        if app.broker.is_shared() {
            warn_if_peers_cannot_connect(config, &app.url);
        }
        app.roster.enter(Server { state: "starting".to_owned(), ..app.own_row(true) }).await;
        let own = Arc::clone(app);
        tasks.spawn("roster", app.roster.clone().run(move || own.own_row(true), tasks.token().clone()));
    }

    /// A loop is a thread: it waits for its own epoll.
    fn start_loops(&self, config: &Config, tasks: &Tasks) -> Result<Vec<SharedLoop>, NodeError> {
        let settings = LoopSettings {
            node: config.id.clone(),
            limits: self.app.limits.feed,
            end: config.drain_close,
            stall: config.write_stall,
            budget: Budget::default(),
        };
        let start = |handle: &Arc<LoopHandle>| {
            let context = Arc::clone(&self.app.context);
            let offload = {
                let (context, tasks) = (Arc::clone(&context), tasks.clone());
                let side = self.side.handle().clone();
                Box::new(move |work: Offload| {
                    tasks.spawn_on(&side, "log of a stream", work.run(Arc::clone(&context)));
                })
            };
            let event_loop = EventLoop::new(settings.clone(), context, Arc::clone(handle), offload)
                .map_err(NodeError::Loop)?;
            let shared = SharedLoop::new(event_loop);
            let thread = shared.clone();
            tasks.spawn("loop", keep(move || thread.run(), Arc::clone(handle), tasks.token().clone()));
            Ok(shared)
        };
        self.app.loops.handles().iter().map(start).collect()
    }

    fn start(&self, bound: Bound, config: &Config, tasks: &Tasks) -> Result<(), NodeError> {
        let loops = self.start_loops(config, tasks)?;
        let tail = self.tail.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(tail) = tail {
            tasks.spawn("tail", tail.run(loops, tasks.token().clone()));
        }
        let refresher = self.keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(refresher) = refresher {
            tasks.spawn("keys", refresher.run(tasks.token().clone()));
        }
        if let Some(access) = &self.app.access {
            let revoker = Revoker::new(Arc::clone(&access.revocations), self.app.connections.clone());
            tasks.spawn("API keys", revoker.follow(access.api_keys(), tasks.token().clone()));
        }
        let takeover = self.app.takeover.clone();
        if takeover.is_enabled() {
            tasks.spawn("takeover", takeover.run(Arc::clone(&self.app.peers), tasks.token().clone()));
        }
        let metrics = Arc::clone(&self.metrics);
        let token = tasks.token().clone();
        tasks.spawn("metrics", async move {
            let mut interval = tokio::time::interval(INTERVAL);
            interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
            // The first tick of an interval comes at once, and would rotate out an empty interval.
            interval.tick().await;
            loop {
                tokio::select! {
                    () = token.cancelled() => return,
                    _ = interval.tick() => metrics.rotate(),
                }
            }
        });
        bound.serve(&self.app, &self.metrics, config, tasks);
        Ok(())
    }
}

/// Runs a loop in its thread, and ends it with the token. A panic of the thread becomes one of the task.
async fn keep(event_loop: impl FnOnce() + Send + 'static, handle: Arc<LoopHandle>, token: CancellationToken) {
    let mut thread = tokio::task::spawn_blocking(event_loop);
    let ended = tokio::select! {
        ended = &mut thread => ended,
        () = token.cancelled() => {
            handle.send(Message::Stop);
            thread.await
        }
    };
    if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
        std::panic::resume_unwind(panic);
    }
}

fn app_state(
    config: &Config,
    (broker, bounds, window): (Broker, Bounds, Window),
    (address, side): (SocketAddr, &Handle),
    metrics: &Arc<Metrics>,
) -> Result<AppState, NodeError> {
    let connections = Connections::default();
    let drain = Drain::new(connections.clone());
    let roster = Roster::new(broker.clone(), config.limits.roster_deadline, Arc::clone(metrics));
    let peers = peers(config, &roster, metrics)?;
    let retry = RetryPolicy { base: config.retry, jitter: config.retry_jitter };
    let timing = StreamTiming {
        heartbeat: config.heartbeat,
        cursor: config.cursor_every,
        log_read: config.limits.log_read_deadline,
        retry,
    };
    let context = StreamContext {
        broker: broker.clone(),
        window: window.clone(),
        metrics: Arc::clone(metrics),
        replay_permits: Semaphore::new(config.replay_permits),
        timing,
    };
    let asks_for_certificates = config.tls.as_ref().is_some_and(TlsSettings::asks_for_certificates);
    let admission = AdmissionLimits {
        connections: config.max_connections,
        per_user: config.max_connections_per_user,
        per_address: config.max_connections_per_address,
        per_second: config.accept_rate,
    };
    Ok(AppState {
        node_id: config.id.clone(),
        name: config.name.clone(),
        url: config.advertise.clone().unwrap_or_else(|| base_url(config, address)),
        started_at: unix_ms(),
        broker,
        last_bounds: Mutex::new(bounds),
        window,
        rebalancing: Rebalancing::new(config.id.clone(), connections.clone(), drain.clone()),
        drain,
        takeover: Takeover::new(config.takeover, connections.clone(), roster.clone()),
        roster,
        peers: Arc::new(peers),
        loops: Loops::new(loops(config), context.window.tip()).map_err(NodeError::Loop)?,
        format: config.format,
        drain_close: config.drain_close,
        connections,
        access: None,
        has_own_way: config.operator_listen.is_some() || asks_for_certificates,
        asks_for_certificates,
        admission: Admission::new(admission, Instant::now()),
        drain_over: config.drain_over,
        pace: Pace::new(config.publish_rate),
        trusted_proxy: config.trusted_proxy.clone(),
        reject: config.reject,
        limits: app_limits(config),
        reads: Heavy::new(side, READS, config.limits.log_read_deadline),
        lists: Heavy::new(side, LISTS, config.limits.log_read_deadline),
        context: Arc::new(context),
    })
}

/// Who reads keys; `None` without a credential to check.
fn refresher(config: &Config) -> Result<Option<Refresher>, NodeError> {
    let Some(access) = config.access.clone() else { return Ok(None) };
    install_tls_provider();
    Refresher::new(access.keys, access.secret, access.api_keys).map(Some).map_err(NodeError::Access)
}

fn access(config: &AccessConfig, refresher: &Refresher) -> Access {
    let rules = TokenRules {
        issuer: config.issuer.clone(),
        audiences: config.audiences.clone(),
        leeway: config.leeway.as_secs(),
    };
    Access::new(rules, config.cookie.clone(), refresher)
}

/// Number of loops.
fn loops(config: &Config) -> usize {
    match config.loops {
        0 => cores(),
        loops => loops,
    }
}

fn peers(config: &Config, roster: &Roster, metrics: &Arc<Metrics>) -> Result<Peers, NodeError> {
    let limits = PeerLimits {
        deadline: config.limits.peer_deadline,
        at_once: config.limits.peers_at_once,
        answer_bytes: config.limits.peer_answer_bytes,
    };
    let incarnation = Arc::clone(roster.incarnation());
    let tls = config.peer_ca.clone().map(|ca| tls::to_peers(ca, config.tls.as_ref())).transpose();
    let security = PeerSecurity {
        secret: config.cluster_secret.clone(),
        secret_in_clear: config.cluster_secret_in_clear,
        tls: tls.map_err(|error| NodeError::Peers(error.into()))?,
    };
    Peers::new(incarnation, security, limits, Arc::clone(metrics))
        .map_err(|error| NodeError::Peers(error.into()))
}

/// Warns about settings that keep other nodes from connecting to this one.
fn warn_if_peers_cannot_connect(config: &Config, url: &str) {
    if config.listen.ip().is_unspecified() && config.advertise.is_none() {
        tracing::warn!(url, "other nodes cannot reach this node at that address; set --advertise");
    }
    if config.cluster_secret.is_none() && !config.listen.ip().is_loopback() {
        tracing::warn!(
            "without --cluster-secret this node answers only nodes on this machine; set the same --cluster-secret on all nodes"
        );
    }
}

fn app_limits(config: &Config) -> AppLimits {
    let limits = &config.limits;
    AppLimits {
        body_bytes: config.max_body,
        payload_bytes: config.max_payload,
        publish_deadline: limits.publish_deadline,
        topics_per_stream: config.max_topics,
        feed: FeedLimits {
            batch_frames: limits.batch_frames,
            batch_bytes: limits.batch_bytes,
            page: config.replay_page,
            lag: config.lag_limit,
        },
        ready_lag: limits.ready_lag,
        health_deadline: limits.health_deadline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Cursor, Epoch};

    #[tokio::test]
    async fn a_panic_in_a_loop_ends_the_tasks_of_the_node_and_is_remembered() {
        let tasks = Tasks::new();
        let handle = Arc::new(LoopHandle::new(Cursor::start_of(Epoch::from_random(1))).unwrap());
        tasks.spawn("loop", keep(|| panic!("on purpose"), handle, tasks.token().clone()));
        tasks.token().cancelled().await;
        assert_eq!(tasks.join(Duration::from_secs(30)).await, Ok(()));
        let failure = tasks.failure().unwrap();
        assert!(failure.contains("loop") && failure.contains("on purpose"), "{failure}");
    }
}
