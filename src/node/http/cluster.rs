//! The paths below `/cluster`, by which the nodes ask each other. They are not part of the public interface and may
//! change with every version. Each answers for its own node only, so no request goes in circles. Read [`admit`]
//! first.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::error::ApiError;
use super::path::Named;
use super::rows::{ListQuery, Selection};
use super::{AppState, connections, history, presence, publish, rebalance};
use crate::node::limits::CLUSTER_BODY_BYTES;
use crate::node::peers::{PEER, SECRET};
use crate::node::takeover::Claim;
use crate::protocol::api::{ConnectionList, ConnectionRow, RebalanceRequest, RebalanceStatus, Whereabouts};
use crate::protocol::{ClientId, ConnectionId, Cursor, UserId};

/// Headers that a proxy adds. A request that has one may come from another machine.
const PROXY_HEADERS: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// The routes, behind [`admit`].
pub(crate) fn routes(app: &Arc<AppState>) -> Router<Arc<AppState>> {
    Router::new()
        .route("/connections", get(list))
        .route("/connections/{id}", get(one).delete(end))
        .route("/users/{user}", get(user))
        .route("/clients/{client}", get(client))
        .route("/events/{id}", get(event))
        .route("/claims", post(claims))
        .route("/rebalance", get(shed_status).post(shed).delete(shed_cancel))
        .route_layer(from_fn_with_state(Arc::clone(app), admit))
        .layer(DefaultBodyLimit::max(CLUSTER_BODY_BYTES))
}

/// Admits nodes that send the cluster secret; without a secret, nodes on this machine.
async fn admit(
    State(app): State<Arc<AppState>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if let Some(reason) = refusal_reason(&app, remote, request.headers()) {
        return Err(ApiError::Forbidden(reason.to_owned()));
    }
    let mut response = next.run(request).await;
    // The node that asks must be able to detect that its address leads to another node.
    if let Ok(incarnation) = HeaderValue::from_str(app.roster.incarnation()) {
        response.headers_mut().insert(PEER, incarnation);
    }
    Ok(response)
}

fn refusal_reason(app: &AppState, remote: SocketAddr, headers: &HeaderMap) -> Option<&'static str> {
    if !headers.contains_key(PEER) {
        return Some("this path answers only nodes of the cluster");
    }
    match &app.cluster_secret {
        Some(secret) => {
            let shown = headers.get(SECRET).map(HeaderValue::as_bytes).unwrap_or_default();
            (!secret.matches(shown))
                .then_some("the cluster secret is missing or differs from this node's --cluster-secret")
        }
        None => {
            let is_here = remote.ip().to_canonical().is_loopback()
                && PROXY_HEADERS.iter().all(|name| !headers.contains_key(*name));
            (!is_here)
                .then_some("this node has no --cluster-secret, so it answers only nodes on its own machine")
        }
    }
}

async fn list(
    State(app): State<Arc<AppState>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<ConnectionList>, ApiError> {
    let Query(query) = query?;
    Ok(Json(connections::own_list(&app, &Selection::of_node(&query)?)))
}

async fn one(
    State(app): State<Arc<AppState>>,
    Named(id): Named<ConnectionId>,
) -> Json<Option<ConnectionRow>> {
    Json(connections::own_row(&app, &id))
}

async fn end(
    State(app): State<Arc<AppState>>,
    Named(id): Named<ConnectionId>,
) -> Json<Option<ConnectionRow>> {
    Json(connections::end_own(&app, &id))
}

async fn user(State(app): State<Arc<AppState>>, Named(user): Named<UserId>) -> Json<Vec<Whereabouts>> {
    Json(presence::own_of_user(&app, &user))
}

async fn client(State(app): State<Arc<AppState>>, Named(client): Named<ClientId>) -> Json<Vec<Whereabouts>> {
    Json(presence::own_of_client(&app, &client))
}

async fn event(State(app): State<Arc<AppState>>, Named(id): Named<Cursor>) -> Json<history::EventTrace> {
    Json(history::own_trace(&app, id))
}

async fn claims(
    State(app): State<Arc<AppState>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Vec<Claim>>, ApiError> {
    let claims: Vec<Claim> = publish::parse(&body?)?;
    Ok(Json(app.takeover.settle(&claims)))
}

async fn shed(
    State(app): State<Arc<AppState>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<RebalanceStatus>), ApiError> {
    let request: RebalanceRequest = publish::parse(&body?)?;
    Ok((StatusCode::ACCEPTED, Json(rebalance::shed(&app, &request).await?)))
}

async fn shed_status(State(app): State<Arc<AppState>>) -> Json<RebalanceStatus> {
    Json(app.rebalancing.status())
}

async fn shed_cancel(State(app): State<Arc<AppState>>) -> Json<RebalanceStatus> {
    Json(rebalance::cancel_own(&app))
}
