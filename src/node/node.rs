//! Builds the node from its parts, and takes it apart in order. The only file that knows everyone; nobody knows it.
//! Read [`run`] first.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderValue;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior};

use super::admission::{Admission, AdmissionLimits};
use super::claims::Claims;
use super::close::RetryPolicy;
use super::config::Config;
use super::connections::Connections;
use super::drain::Drain;
use super::feed::FeedLimits;
use super::http::listener::{Listener, ListenerLimits};
use super::http::{AppLimits, AppState, router};
use super::metrics::{INTERVAL, Metrics};
use super::peers::{PeerLimits, Peers};
use super::rebalance::Rebalancing;
use super::roster::Roster;
use super::stream::{StreamContext, StreamTiming};
use super::tail::Tail;
use super::window::{Window, WindowLimits};
use crate::broker::{Bounds, Broker, OpenError, StoreError};
use crate::protocol::api::Server;
use crate::runtime::clock::unix_ms;
use crate::runtime::{Signals, Tasks, rlimit};

/// Why a node cannot start, or ended in a bad way.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The log cannot be opened.
    #[error("cannot open the broker {broker}")]
    Broker {
        /// As it was given.
        broker: String,
        /// Why.
        #[source]
        cause: OpenError,
    },
    /// The log cannot be read.
    #[error("cannot read the log")]
    Log(#[source] StoreError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The HTTP client for other nodes cannot be built.
    #[error("cannot set up the way to other nodes")]
    Peers(#[source] reqwest::Error),
    /// The system refused signal handlers.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// A task failed.
    #[error("{0}")]
    Task(String),
}

/// Runs a node until it is told to leave: SIGTERM or SIGINT drain it, a second one ends it at once.
///
/// # Errors
/// [`NodeError`] names the broker or address. A node that drained returns `Ok`.
pub async fn run(config: Config) -> Result<(), NodeError> {
    let mut signals = Signals::listen().map_err(NodeError::Signals)?;
    let socket = bind(config.listen)?;
    let address = socket.local_addr().map_err(|cause| NodeError::Listen { address: config.listen, cause })?;
    // Three groups: whoever leaves says so before it stops to serve, and the log must still take what the last requests
    // publish while everything else is ending.
    let (roster_tasks, tasks, broker_tasks) = (Tasks::new(), Tasks::new(), Tasks::new());
    let broker = Broker::open(&config.broker, config.log.clone(), config.durability, &broker_tasks)
        .await
        .map_err(|cause| NodeError::Broker { broker: config.broker.to_string(), cause })?;
    let parts = Parts::build(&config, broker, address).await?;
    parts.enter(&config, &roster_tasks).await;
    announce(&config, address);
    parts.start(socket, &config, &tasks);

    let drain = parts.app.drain.clone();
    let why = tokio::select! {
        signal = signals.next() => signal,
        () = tasks.token().cancelled() => "a failed task",
        () = roster_tasks.token().cancelled() => "a failed roster",
        () = broker_tasks.token().cancelled() => "a failed log",
    };
    tracing::info!(connections = parts.app.connections.len(), "leaving because of {why}");
    // Also when an operator has begun a drain: from here on the process's own spread holds.
    drain.leave(config.drain_over, "the node is leaving");
    parts.app.roster.beat_soon();
    tokio::select! {
        left = drain.finished(config.drain_grace) => {
            if left > 0 {
                tracing::warn!(left, "streams were still open after the drain and its grace");
            }
        }
        signal = signals.next() => tracing::warn!("ending at once because of a second {signal}"),
    }
    end([roster_tasks, tasks, broker_tasks], config.limits.roster_deadline, config.drain_grace).await
}

/// Ends the tasks: first the roster, so that nobody counts on this node any more; then the server, the tail and the
/// streams; then the log, which thereby has everything that was acknowledged.
async fn end(groups: [Tasks; 3], goodbye: Duration, grace: Duration) -> Result<(), NodeError> {
    let [roster_tasks, tasks, broker_tasks] = groups;
    roster_tasks.token().cancel();
    // It has this deadline itself; a little more, so that it can say what went wrong.
    if roster_tasks.join(goodbye + Duration::from_millis(100)).await.is_err() {
        tracing::warn!("the roster did not take the goodbye in time");
    }
    tasks.token().cancel();
    // Open streams belong to clients that ignored the drain; they end with the process.
    if let Err(left) = tasks.join(grace.min(Duration::from_secs(1))).await {
        tracing::debug!(left, "connections were still open at the end");
    }
    broker_tasks.token().cancel();
    if let Err(left) = broker_tasks.join(grace.max(Duration::from_secs(5))).await {
        return Err(NodeError::Task(format!(
            "the log did not close in time; {left} of its tasks were running"
        )));
    }
    match [tasks, roster_tasks, broker_tasks].iter().find_map(Tasks::failure) {
        Some(reason) => Err(NodeError::Task(reason)),
        None => Ok(()),
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, NodeError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A node that is started again must not wait for the sockets of the one that died.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        // A storm of reconnects arrives faster than it is accepted; the system caps this at net.core.somaxconn.
        socket.listen(4096)
    };
    listen().map_err(|cause| NodeError::Listen { address, cause })
}

fn announce(config: &Config, address: SocketAddr) {
    let files = rlimit::open_files();
    let sockets = config.limits.sockets(config.max_connections) as u64;
    if files < sockets + 64 {
        tracing::warn!(files, sockets, "the limit of open files is below what max-connections needs");
    }
    tracing::info!(
        node = %config.id,
        broker = %config.broker,
        durability = ?config.durability,
        max_connections = config.max_connections,
        open_files = files,
        "listening on http://{address}"
    );
}

/// The parts of a running node.
struct Parts {
    app: Arc<AppState>,
    metrics: Arc<Metrics>,
    tail: Mutex<Option<Tail>>,
}

impl Parts {
    async fn build(config: &Config, broker: Broker, address: SocketAddr) -> Result<Self, NodeError> {
        let metrics = Arc::new(Metrics::new(Instant::now()));
        let window_limits = WindowLimits { frames: config.window_frames, bytes: config.window_bytes };
        let (tail, window) =
            Tail::open(&broker, window_limits, config.limits.tail_page, Arc::clone(&metrics))
                .await
                .map_err(NodeError::Log)?;
        let bounds = broker.bounds().await.map_err(NodeError::Log)?;
        let parts = (broker, bounds, window);
        let app = Arc::new(app_state(config, parts, address, &metrics)?);
        Ok(Self { app, metrics, tail: Mutex::new(Some(tail)) })
    }

    /// Before the first stream: the others must know of this node, and be known to it.
    async fn enter(&self, config: &Config, tasks: &Tasks) {
        let app = &self.app;
        if app.broker.is_shared() {
            warn_of_strangers(config, &app.url);
        }
        app.roster.enter(Server { state: "starting".to_owned(), ..app.own_row(true) }).await;
        let own = Arc::clone(app);
        tasks.spawn("roster", app.roster.clone().run(move || own.own_row(true), tasks.token().clone()));
    }

    fn start(&self, socket: TcpListener, config: &Config, tasks: &Tasks) {
        let tail = self.tail.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(tail) = tail {
            tasks.spawn("tail", tail.run(tasks.token().clone()));
        }
        let claims = self.app.claims.clone();
        if claims.are_made() {
            tasks.spawn("claims", claims.run(Arc::clone(&self.app.peers), tasks.token().clone()));
        }
        let metrics = Arc::clone(&self.metrics);
        let token = tasks.token().clone();
        tasks.spawn("metrics", async move {
            let mut interval = tokio::time::interval(INTERVAL);
            interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
            // The first tick of an interval comes at once and would end an empty one.
            interval.tick().await;
            loop {
                tokio::select! {
                    () = token.cancelled() => return,
                    _ = interval.tick() => metrics.rotate(),
                }
            }
        });
        let limits = ListenerLimits {
            sockets: config.limits.sockets(config.max_connections),
            head_bytes: config.limits.head_bytes,
            head_timeout: config.limits.head_timeout,
            body_timeout: config.limits.body_timeout,
            stall: config.write_stall,
            peer_timeout: config.limits.peer_timeout,
        };
        let origins: Vec<HeaderValue> = config.cors_origins.clone();
        let listener =
            Listener::new(socket, router(Arc::clone(&self.app), &origins), limits, config.drain_close);
        tasks.spawn("listener", listener.run(tasks.clone()));
    }
}

fn app_state(
    config: &Config,
    (broker, bounds, window): (Broker, Bounds, Window),
    address: SocketAddr,
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
    let admission = AdmissionLimits {
        connections: config.max_connections,
        per_user: config.max_connections_per_user,
        per_address: config.max_connections_per_address,
        per_second: config.accept_rate,
    };
    Ok(AppState {
        node_id: config.id.clone(),
        name: config.name.clone(),
        url: config.advertise.clone().unwrap_or_else(|| format!("http://{address}")),
        started_at: unix_ms(),
        broker,
        last_bounds: Mutex::new(bounds),
        window,
        rebalancing: Rebalancing::new(config.id.clone(), connections.clone(), drain.clone()),
        drain,
        claims: Claims::new(config.takeover, connections.clone(), roster.clone()),
        roster,
        peers: Arc::new(peers),
        cluster_secret: config.cluster_secret.clone(),
        connections,
        admission: Admission::new(admission, Instant::now()),
        drain_over: config.drain_over,
        reject: config.reject,
        limits: app_limits(config),
        context: Arc::new(context),
    })
}

fn peers(config: &Config, roster: &Roster, metrics: &Arc<Metrics>) -> Result<Peers, NodeError> {
    let limits = PeerLimits {
        deadline: config.limits.peer_deadline,
        at_once: config.limits.peers_at_once,
        answer_bytes: config.limits.peer_answer_bytes,
    };
    let incarnation = Arc::clone(roster.incarnation());
    Peers::new(incarnation, config.cluster_secret.clone(), limits, Arc::clone(metrics))
        .map_err(NodeError::Peers)
}

/// Says what keeps other nodes from asking this one.
fn warn_of_strangers(config: &Config, url: &str) {
    if config.listen.ip().is_unspecified() && config.advertise.is_none() {
        tracing::warn!(url, "other nodes cannot reach this one at that address; say where with --advertise");
    }
    if config.cluster_secret.is_none() && !config.listen.ip().is_loopback() {
        tracing::warn!("without a --cluster-secret nodes on other machines are not answered");
    }
}

fn app_limits(config: &Config) -> AppLimits {
    let limits = &config.limits;
    AppLimits {
        body_bytes: config.max_body,
        payload_bytes: config.max_payload,
        publish_deadline: limits.publish_deadline,
        topics_per_stream: limits.topics_per_stream,
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
