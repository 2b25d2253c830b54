//! The paths for operators: metrics as JSON, health and drain.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use tokio::time::Instant;

use super::error::ApiError;
use super::query::{FromQuery, Query, set};
use super::{AppState, process, publish};
use crate::broker::Bounds;
use crate::node::limits::SPREAD_MAX;
use crate::node::metrics::dump;
use crate::protocol::api::{DrainRequest, DrainStatus, LogMetrics, NodeMetrics, Server};

/// `GET /api/sse/metrics`: the metrics as JSON.
pub(crate) async fn metrics(State(app): State<Arc<AppState>>) -> Json<NodeMetrics> {
    let asked = Instant::now();
    let timed = async { (app.bounds().await, asked.elapsed()) };
    // At the same time, so that the deadline for a log that does not answer passes only once.
    let (((bounds, log_answers), rtt), server) = tokio::join!(timed, app.log_server());
    let metrics = &app.context.metrics;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let window = app.window.size();
    Json(NodeMetrics {
        instance_id: app.node_id.clone(),
        instance_name: app.name.clone(),
        uptime: metrics.started.elapsed().as_secs(),
        active_connections: app.connections.len() as u64,
        total_messages_sent: count(&metrics.sent),
        messages_per_minute: metrics.sent_last_minute(),
        memory_usage: process::memory(),
        state: state(&app, log_answers).to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        total_messages_published: count(&metrics.published),
        total_messages_tailed: count(&metrics.tailed),
        tail_lag: tail_lag_ms(&app),
        total_bytes_sent: count(&metrics.sent_bytes),
        total_connections: count(&metrics.opened),
        gaps: metrics.gaps(),
        closed: metrics.closed(),
        rejected: metrics.rejected(),
        delivery_latency: dump(&metrics.latency()),
        cpu_seconds: process::cpu_seconds(),
        open_files: process::open_files(),
        log: LogMetrics {
            rtt_us: log_answers.then(|| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
            server,
            ..log_metrics(&app, &bounds)
        },
        window_frames: window.frames,
        window_bytes: window.bytes,
    })
}

fn log_metrics(app: &AppState, bounds: &Bounds) -> LogMetrics {
    let repairs = app.broker.repairs();
    LogMetrics {
        broker: app.broker.kind().to_owned(),
        epoch: bounds.epoch.to_string(),
        length: bounds.length,
        bytes: bounds.bytes,
        oldest: bounds.start_cursor().to_event_id(),
        newest: bounds.newest_cursor().to_event_id(),
        mailboxes: bounds.mailboxes,
        mailbox_messages: bounds.mailbox_messages,
        histories_ended: repairs.histories,
        appended_again: repairs.appended_again,
        rtt_us: None,
        server: None,
    }
}

/// How long the tail has been behind the log, in milliseconds.
fn tail_lag_ms(app: &AppState) -> u64 {
    u64::try_from(app.context.metrics.tail_lag(Instant::now()).as_millis()).unwrap_or(u64::MAX)
}

/// The state of the node. The caller asks the log and passes `log_answers`, since not every caller can wait for it.
fn state(app: &AppState, log_answers: bool) -> &'static str {
    if app.drain.is_draining() {
        "draining"
    } else if !log_answers || app.context.metrics.tail_lag(Instant::now()) > app.limits.ready_lag {
        "degraded"
    } else {
        "ready"
    }
}

/// The answer of `/health` and `/health/ready`.
#[derive(Debug, Serialize)]
pub(crate) struct Health {
    status: &'static str,
    state: &'static str,
    connections: u64,
    #[serde(rename = "tailLag")]
    tail_lag: u64,
    /// Acknowledged events that the log lost, until they would have been trimmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<LostEvents>,
}

/// Where events are missing: after one id and up to another.
#[derive(Debug, Serialize)]
struct LostEvents {
    events: u64,
    after: String,
    #[serde(rename = "upTo")]
    up_to: String,
}

/// The query of `/health/ready`.
#[derive(Debug, Default)]
pub(crate) struct ReadyQuery {
    expect: Option<String>,
}

impl FromQuery for ReadyQuery {
    const NAMES: &'static [&'static str] = &["expect"];

    fn take(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        set(&mut self.expect, name, value)
    }
}

async fn health(app: &AppState) -> Health {
    let proof = tokio::time::timeout(app.limits.health_deadline, is_log_usable(app)).await;
    let state = state(app, proof.unwrap_or(false));
    Health {
        status: if state == "ready" { "UP" } else { "OUT_OF_SERVICE" },
        state,
        connections: app.connections.len() as u64,
        tail_lag: tail_lag_ms(app),
        lost: app.broker.condition().lost.map(|lost| LostEvents {
            events: lost.events,
            after: lost.after.to_string(),
            up_to: lost.up_to.to_string(),
        }),
    }
}

/// Whether events get from a publish to the streams: the log has written and returned a probe, and the window has
/// reached the newest event that the log had when it was asked.
async fn is_log_usable(app: &AppState) -> bool {
    if let Err(error) = app.broker.probe().await {
        tracing::warn!(%error, "a health probe cannot write to the log and read it back");
        return false;
    }
    let newest = match app.broker.bounds().await {
        Ok(bounds) => bounds.newest_cursor(),
        Err(error) => {
            tracing::warn!(%error, "a health probe cannot read the log");
            return false;
        }
    };
    let mut poll = tokio::time::interval(Duration::from_millis(5));
    loop {
        let tip = app.window.tip();
        if tip.epoch == newest.epoch && tip.position >= newest.position {
            return true;
        }
        poll.tick().await;
    }
}

/// `GET /health/live`: the process runs and answers.
pub(crate) async fn live() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "UP" }))
}

/// `GET /health/ready?expect=state`: whether the node can serve. `expect` asks for another state than `ready`, for
/// example to wait for a drain.
pub(crate) async fn ready(
    State(app): State<Arc<AppState>>,
    Query(query): Query<ReadyQuery>,
) -> Result<Response, ApiError> {
    let expected = query.expect.as_deref().unwrap_or("ready");
    if !matches!(expected, "ready" | "degraded" | "draining") {
        let detail = format!("expect={expected:?} is not a state; allowed are ready, degraded, draining");
        return Err(ApiError::Invalid(detail));
    }
    let health = health(&app).await;
    let status = if health.state == expected { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(health)).into_response())
}

/// `GET /actuator/health`: the answer of Spring Boot's actuator.
pub(crate) async fn actuator_health(State(app): State<Arc<AppState>>) -> Response {
    let health = health(&app).await;
    let status = if health.status == "UP" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(serde_json::json!({ "status": health.status }))).into_response()
}

impl AppState {
    /// The row of this node in `/api/sse/servers` and in the roster. `log_answers`: whether the log answered the
    /// caller.
    pub(crate) fn own_row(&self, log_answers: bool) -> Server {
        Server {
            instance_id: self.node_id.clone(),
            instance_name: self.name.clone(),
            url: self.url.clone(),
            state: state(self, log_answers).to_owned(),
            connections: self.connections.len() as u64,
            lag: tail_lag_ms(self),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            incarnation: self.roster.incarnation().to_string(),
            last_beat_ms: u64::try_from(self.roster.own_age().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// `POST /admin/drain`: begins a drain.
pub(crate) async fn drain(
    State(app): State<Arc<AppState>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<DrainStatus>), ApiError> {
    let body = body?;
    let request: DrainRequest =
        if body.is_empty() { DrainRequest::default() } else { publish::parse(&body)? };
    let over = request.over.as_deref().map_or(Ok(app.drain_over), spread)?;
    app.drain.start(over, request.reason.as_deref().unwrap_or("the node is leaving"));
    app.roster.beat_soon();
    tracing::info!(?over, connections = app.connections.len(), "drain begins");
    Ok((StatusCode::ACCEPTED, Json(app.drain.status())))
}

/// Parses the spread of a drain or rebalance, at most [`SPREAD_MAX`].
pub(crate) fn spread(text: &str) -> Result<Duration, ApiError> {
    let allowed = |why: String| {
        let longest = humantime::format_duration(SPREAD_MAX);
        ApiError::Body(format!(
            "over={text:?} is not valid: {why}; allowed are durations like 30s or 2m, at most {longest}"
        ))
    };
    let over = humantime::parse_duration(text).map_err(|error| allowed(error.to_string()))?;
    if over > SPREAD_MAX { Err(allowed("it is too long".to_owned())) } else { Ok(over) }
}

/// `GET /admin/drain`: the progress of the drain.
pub(crate) async fn drain_status(State(app): State<Arc<AppState>>) -> Json<DrainStatus> {
    Json(app.drain.status())
}

/// `DELETE /admin/drain`: cancels the drain.
pub(crate) async fn cancel_drain(State(app): State<Arc<AppState>>) -> Result<Json<DrainStatus>, ApiError> {
    app.drain.cancel().map_err(|leaving| ApiError::Conflict(leaving.to_string()))?;
    app.roster.beat_soon();
    tracing::info!(connections = app.connections.len(), "drain cancelled");
    Ok(Json(app.drain.status()))
}
