//! Which path is answered by whom, and what all handlers share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use http::{HeaderName, HeaderValue, Method, header};
use ipnet::IpNet;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::error::ApiError;
use super::heavy::Heavy;
use super::pace::{self, Pace};
use super::{
    access, batch, cluster, connections, history, operators, ops, presence, publish, rebalance, revoke,
    servers, stream, web,
};
use crate::broker::{Bounds, Broker, StoreError};
use crate::node::access::Access;
use crate::node::admission::Admission;
use crate::node::config::RejectMode;
use crate::node::connections::Connections;
use crate::node::drain::Drain;
use crate::node::feed::FeedLimits;
use crate::node::loops::{Loops, StreamEnd};
use crate::node::peers::{PeerRequest, PeerResponses, Peers};
use crate::node::rebalance::Rebalancing;
use crate::node::roster::Roster;
use crate::node::stream_context::StreamContext;
use crate::node::takeover::Takeover;
use crate::node::window::Window;
use crate::protocol::api::LogServer;
use crate::protocol::{Format, NodeId};

/// Bounds that handlers keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppLimits {
    /// Bytes of a request's body.
    pub(crate) body_bytes: usize,
    /// Bytes of `data` and `metadata`.
    pub(crate) payload_bytes: usize,
    /// How long a publish may wait for the log.
    pub(crate) publish_deadline: Duration,
    /// Topics of one stream.
    pub(crate) topics_per_stream: usize,
    /// Bounds of every feed.
    pub(crate) feed: FeedLimits,
    /// How long the tail may be behind the log while the node still counts as ready and takes publishes.
    pub(crate) ready_lag: Duration,
    /// How long the log may take to answer a question about its health.
    pub(crate) health_deadline: Duration,
}

/// The node, as its handlers see it.
#[derive(Debug)]
pub(crate) struct AppState {
    /// Id of this node in the cluster.
    pub(crate) node_id: NodeId,
    /// Its name for people.
    pub(crate) name: String,
    /// Where others reach it.
    pub(crate) url: String,
    /// Milliseconds since 1970.
    pub(crate) started_at: u64,
    /// The log that publishes go to.
    pub(crate) broker: Broker,
    /// What the log held when it last said so.
    pub(crate) last_bounds: Mutex<Bounds>,
    /// Its newest part.
    pub(crate) window: Window,
    /// Who serves the open streams.
    pub(crate) loops: Loops,
    /// The format of streams that ask for none.
    pub(crate) format: Format,
    /// How streams end on the wire.
    pub(crate) drain_close: StreamEnd,
    /// The open streams.
    pub(crate) connections: Connections,
    /// Who may do what; `None`: everybody everything.
    pub(crate) access: Option<Access>,
    /// Whether operators have an address or certificates of their own.
    pub(crate) has_own_way: bool,
    /// Whether operators and nodes need a client certificate.
    pub(crate) asks_for_certificates: bool,
    /// Who may open one.
    pub(crate) admission: Admission,
    /// Whether the node is leaving.
    pub(crate) drain: Drain,
    /// How long a drain takes unless the request says otherwise.
    pub(crate) drain_over: Duration,
    /// What the node sheds for others.
    pub(crate) rebalancing: Rebalancing,
    /// Who else shares the log.
    pub(crate) roster: Roster,
    /// The way to them.
    pub(crate) peers: Arc<Peers>,
    /// Closes the older streams of a client that opens a new one.
    pub(crate) takeover: Takeover,
    /// How fast one address may publish; `None`: as fast as it can.
    pub(crate) pace: Option<Pace>,
    /// Whose `X-Forwarded-For` counts.
    pub(crate) trusted_proxy: Vec<IpNet>,
    /// How clients are refused.
    pub(crate) reject: RejectMode,
    /// Limits of requests.
    pub(crate) limits: AppLimits,
    /// Pages of the log and of mailboxes.
    pub(crate) reads: Heavy,
    /// Lists of all streams.
    pub(crate) lists: Heavy,
    /// What streams share.
    pub(crate) context: Arc<StreamContext>,
}

impl AppState {
    /// Asks all other nodes.
    pub(crate) async fn ask_peers<T: serde::de::DeserializeOwned>(
        &self,
        question: &PeerRequest,
    ) -> PeerResponses<T> {
        let others = self.roster.read().await.others(self.roster.incarnation());
        self.peers.ask(others, question).await
    }

    /// What the log holds, and whether it says so itself: when it does not answer, this is what it said last. Whoever
    /// watches a node wants to see it above all while its log is away.
    pub(crate) async fn bounds(&self) -> (Bounds, bool) {
        let answer = tokio::time::timeout(self.limits.health_deadline, self.broker.bounds()).await;
        let mut last = self.last_bounds.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(Ok(bounds)) => {
                *last = bounds;
                (bounds, true)
            }
            Ok(Err(_)) | Err(_) => (*last, false),
        }
    }

    /// The server that keeps the log, where there is one and it answers.
    pub(crate) async fn log_server(&self) -> Option<LogServer> {
        let answer = tokio::time::timeout(self.limits.health_deadline, self.broker.server()).await;
        answer.ok()?.ok()?
    }

    /// Asks the log, and does not wait for ever.
    pub(crate) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, ApiError> {
        match tokio::time::timeout(self.context.timing.log_read, question).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(ApiError::Unavailable("the log did not answer in time".to_owned())),
        }
    }
}

/// The router of a node.
pub(crate) fn router(app: Arc<AppState>, cors_origins: &[HeaderValue]) -> Router {
    let body_limit = app.limits.body_bytes;
    // Without credentials to check there is nothing to ask, and a layer costs every request.
    let routes = match app.pace {
        Some(_) => described_routes().layer(from_fn_with_state(Arc::clone(&app), pace::admit)),
        None => described_routes(),
    };
    let routes = match app.access {
        Some(_) => routes.layer(from_fn_with_state(Arc::clone(&app), access::admit)),
        None => routes,
    };
    let routes = routes.merge(cluster::routes(&app));
    let routes = match app.has_own_way {
        true => routes.layer(from_fn_with_state(Arc::clone(&app), operators::admit)),
        false => routes,
    };
    let routes = routes
        .fallback(no_route)
        .method_not_allowed_fallback(|| async { ApiError::Method })
        .layer(DefaultBodyLimit::max(body_limit));
    // Without origins there is nothing to say to a browser, and a layer costs every request.
    let routes = if cors_origins.is_empty() { routes } else { routes.layer(cors(cors_origins)) };
    routes.with_state(app)
}

/// The interface for users. `web/openapi.json` describes all of it, and a test compares.
pub(super) fn described_routes() -> Router<Arc<AppState>> {
    // Not nested: each request of a nested router would have its path taken apart and put together again.
    Router::new()
        .route("/api/sse/stream", get(stream::open))
        .route("/api/sse/broadcast", post(publish::to_all))
        .route("/api/sse/broadcast/{client}", post(publish::to_client))
        .route("/api/sse/broadcast/server/{node}", post(publish::to_node))
        .route("/api/sse/broadcast/server/{node}/client/{client}", post(publish::to_node_client))
        .route("/api/sse/users/{user}", get(presence::user).post(publish::to_user))
        .route("/api/sse/users/{user}/pending", get(history::pending))
        .route("/api/sse/clients/{client}", get(presence::client))
        .route("/api/sse/topics/{topic}", post(publish::to_topic))
        .route("/api/sse/batch", post(batch::publish))
        .route("/api/sse/ack", post(publish::ack))
        .route("/api/sse/connections", get(connections::list))
        .route("/api/sse/connections/{id}", get(connections::one).delete(connections::end))
        .route("/api/sse/history", get(history::history))
        .route("/api/sse/events/{id}", get(history::event))
        .route("/api/sse/metrics", get(ops::metrics))
        .route("/api/sse/servers", get(servers::servers))
        .route("/actuator/health", get(ops::actuator_health))
        .route("/health", get(ops::ready))
        .route("/health/live", get(ops::live))
        .route("/health/ready", get(ops::ready))
        .route("/metrics", get(super::prometheus::text))
        .route("/admin/drain", post(ops::drain).delete(ops::cancel_drain).get(ops::drain_status))
        .route("/admin/revoke", post(revoke::revoke))
        .route("/admin/rebalance", get(rebalance::status).post(rebalance::start).delete(rebalance::cancel))
        .route("/", get(web::page))
        .route("/sse.js", get(web::client))
        .route("/openapi.json", get(web::openapi))
}

async fn no_route(uri: http::Uri) -> ApiError {
    no_such_path(&uri)
}

pub(super) fn no_such_path(uri: &http::Uri) -> ApiError {
    ApiError::NotFound(format!("no such path: {}; streams are at /api/sse/stream", uri.path()))
}

/// Browsers send no preflight for an EventSource, but one for a fetch that carries `Last-Event-ID`.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let allowed_headers = [
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONTENT_TYPE,
        HeaderName::from_static("idempotency-key"),
        HeaderName::from_static("last-event-id"),
        HeaderName::from_static("x-last-event-id"),
    ];
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(allowed_headers)
        .expose_headers([
            HeaderName::from_static("x-sse-server-id"),
            HeaderName::from_static("x-sse-version"),
        ])
        .max_age(Duration::from_secs(600));
    if origins.iter().any(|origin| origin == "*") {
        return layer.allow_origin(AllowOrigin::any());
    }
    layer.allow_origin(AllowOrigin::list(origins.iter().cloned())).allow_credentials(true)
}
