//! Shedding what a node has above its share of all streams, on this node or on all.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use http::{Method, StatusCode};
use serde::Deserialize;

use super::error::ApiError;
use super::ops::spread;
use super::rows::Scope;
use super::{AppState, publish};
use crate::node::peers::{Answers, Question};
use crate::node::roster::Member;
use crate::protocol::api::{Rebalance, RebalanceRequest, RebalanceStatus};

/// Whose excess.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScopeQuery {
    scope: Option<String>,
}

type Asked = Result<Query<ScopeQuery>, QueryRejection>;

/// `POST /admin/rebalance?scope=node|cluster`
pub(crate) async fn start(
    State(app): State<Arc<AppState>>,
    query: Asked,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Rebalance>), ApiError> {
    let (Query(query), body) = (query?, body?);
    let request: RebalanceRequest =
        if body.is_empty() { RebalanceRequest::default() } else { publish::parse(&body)? };
    // Checked here, so that no node has begun when another one refuses.
    request.over.as_deref().map(spread).transpose()?;
    let question = Question::new(Method::POST, "/cluster/rebalance").body(&request);
    let own = shed(&app, &request).await?;
    let answer = with_others(&app, &query, own, &question).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// `GET /admin/rebalance?scope=node|cluster`
pub(crate) async fn status(
    State(app): State<Arc<AppState>>,
    query: Asked,
) -> Result<Json<Rebalance>, ApiError> {
    let question = Question::new(Method::GET, "/cluster/rebalance");
    Ok(Json(with_others(&app, &query?.0, app.rebalancing.status(), &question).await?))
}

/// `DELETE /admin/rebalance?scope=node|cluster`
pub(crate) async fn cancel(
    State(app): State<Arc<AppState>>,
    query: Asked,
) -> Result<Json<Rebalance>, ApiError> {
    let Query(query) = query?;
    // A scope that cannot be meant takes nothing back.
    Scope::parse(query.scope.as_deref())?;
    let question = Question::new(Method::DELETE, "/cluster/rebalance");
    Ok(Json(with_others(&app, &query, take_back(&app), &question).await?))
}

/// Sheds this node's excess.
pub(crate) async fn shed(app: &AppState, request: &RebalanceRequest) -> Result<RebalanceStatus, ApiError> {
    let over = request.over.as_deref().map_or(Ok(app.drain_over), spread)?;
    let reason = request.reason.as_deref().unwrap_or("another node has room");
    let view = app.roster.read().await;
    if view.stale {
        let note = Some("the roster cannot be read, so nobody knows what the others have".to_owned());
        return Ok(RebalanceStatus { note, ..app.rebalancing.status() });
    }
    let others: Vec<_> = view.others(app.roster.incarnation()).iter().map(Member::row).collect();
    let status = app.rebalancing.start(&others, over, reason);
    tracing::info!(shed = status.shed, mean = status.mean, ?over, "rebalance");
    Ok(status)
}

/// Takes back what this node has not shed yet.
pub(crate) fn take_back(app: &AppState) -> RebalanceStatus {
    app.rebalancing.cancel();
    app.rebalancing.status()
}

async fn with_others(
    app: &AppState,
    query: &ScopeQuery,
    own: RebalanceStatus,
    question: &Question,
) -> Result<Rebalance, ApiError> {
    let mut nodes = vec![own];
    let mut unreachable = Vec::new();
    if Scope::parse(query.scope.as_deref())? == Scope::Cluster {
        let asked: Answers<RebalanceStatus> = app.ask_peers(question).await;
        nodes.extend(asked.answers);
        unreachable = asked.unreachable;
    }
    nodes.sort_by(|a, b| a.instance_id.cmp(&b.instance_id));
    Ok(Rebalance { shed: nodes.iter().map(|node| node.shed).sum(), nodes, unreachable })
}
