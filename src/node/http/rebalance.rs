//! `/admin/rebalance`: sheds the streams that a node has above its share, on this node or on all nodes.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use http::{Method, StatusCode};

use super::error::ApiError;
use super::ops::spread;
use super::query::{FromQuery, Query, set};
use super::rows::Scope;
use super::{AppState, publish};
use crate::node::peers::{PeerRequest, PeerResponses};
use crate::node::roster::Member;
use crate::protocol::api::{Rebalance, RebalanceRequest, RebalanceStatus};

/// The query of `/admin/rebalance`: `scope=node` (default) or `scope=cluster`.
#[derive(Debug, Default)]
pub(crate) struct ScopeQuery {
    scope: Option<String>,
}

impl FromQuery for ScopeQuery {
    const NAMES: &'static [&'static str] = &["scope"];

    fn take(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        set(&mut self.scope, name, value)
    }
}

/// `POST /admin/rebalance?scope=node|cluster`: begins a rebalance.
pub(crate) async fn start(
    State(app): State<Arc<AppState>>,
    Query(query): Query<ScopeQuery>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Rebalance>), ApiError> {
    let body = body?;
    let request: RebalanceRequest =
        if body.is_empty() { RebalanceRequest::default() } else { publish::parse(&body)? };
    // Checked here, so that an invalid duration stops every node and not only some.
    request.over.as_deref().map(spread).transpose()?;
    let for_peers = PeerRequest::new(Method::POST, "/cluster/rebalance").body(&request);
    let own = shed(&app, &request).await?;
    let answer = with_others(&app, &query, own, &for_peers).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// `GET /admin/rebalance?scope=node|cluster`: its progress, per node.
pub(crate) async fn status(
    State(app): State<Arc<AppState>>,
    Query(query): Query<ScopeQuery>,
) -> Result<Json<Rebalance>, ApiError> {
    let request = PeerRequest::new(Method::GET, "/cluster/rebalance");
    Ok(Json(with_others(&app, &query, app.rebalancing.status(), &request).await?))
}

/// `DELETE /admin/rebalance?scope=node|cluster`: cancels it.
pub(crate) async fn cancel(
    State(app): State<Arc<AppState>>,
    Query(query): Query<ScopeQuery>,
) -> Result<Json<Rebalance>, ApiError> {
    // An invalid scope must not cancel anything.
    Scope::parse(query.scope.as_deref())?;
    let request = PeerRequest::new(Method::DELETE, "/cluster/rebalance");
    Ok(Json(with_others(&app, &query, cancel_own(&app), &request).await?))
}

/// Sheds the streams that this node has above its share.
pub(crate) async fn shed(app: &AppState, request: &RebalanceRequest) -> Result<RebalanceStatus, ApiError> {
    let over = request.over.as_deref().map_or(Ok(app.drain_over), spread)?;
    let reason = request.reason.as_deref().unwrap_or("another node has room");
    let view = app.roster.read().await;
    if view.stale {
        let note =
            Some("the roster cannot be read, so the connections of the other nodes are not known".to_owned());
        return Ok(RebalanceStatus { note, ..app.rebalancing.status() });
    }
    let others: Vec<_> = view.others(app.roster.incarnation()).iter().map(Member::row).collect();
    let status = app.rebalancing.start(&others, over, reason);
    tracing::info!(shed = status.shed, mean = status.mean, ?over, "rebalance begins");
    Ok(status)
}

/// Cancels the shedding of streams that are still open on this node.
pub(crate) fn cancel_own(app: &AppState) -> RebalanceStatus {
    app.rebalancing.cancel();
    app.rebalancing.status()
}

async fn with_others(
    app: &AppState,
    query: &ScopeQuery,
    own: RebalanceStatus,
    request: &PeerRequest,
) -> Result<Rebalance, ApiError> {
    let mut nodes = vec![own];
    let mut unreachable = Vec::new();
    if Scope::parse(query.scope.as_deref())? == Scope::Cluster {
        let asked: PeerResponses<RebalanceStatus> = app.ask_peers(request).await;
        nodes.extend(asked.answers);
        unreachable = asked.unreachable;
    }
    nodes.sort_by(|a, b| a.instance_id.cmp(&b.instance_id));
    Ok(Rebalance { shed: nodes.iter().map(|node| node.shed).sum(), nodes, unreachable })
}
