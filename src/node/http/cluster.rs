//! What the nodes of a cluster ask each other, below `/cluster`. No part of the interface for users: it may change with
//! every version. Each answers for its own node alone, so no question goes in circles. Read [`admit`] first.

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
use crate::node::claims::Claim;
use crate::node::limits::CLUSTER_BODY_BYTES;
use crate::node::peers::{PEER, SECRET};
use crate::protocol::api::{ConnectionList, ConnectionRow, RebalanceRequest, RebalanceStatus, Whereabouts};
use crate::protocol::{ClientId, ConnectionId, Cursor, UserId};

/// Headers that a proxy adds: whoever is behind it is not on this machine.
const PROXY_HEADERS: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// The routes, with their guard.
pub(crate) fn routes(app: &Arc<AppState>) -> Router<Arc<AppState>> {
    Router::new()
        .route("/connections", get(list))
        .route("/connections/{id}", get(one).delete(end))
        .route("/users/{user}", get(user))
        .route("/clients/{client}", get(client))
        .route("/events/{id}", get(event))
        .route("/claims", post(claims))
        .route("/rebalance", get(shed_status).post(shed).delete(take_back))
        .route_layer(from_fn_with_state(Arc::clone(app), admit))
        .layer(DefaultBodyLimit::max(CLUSTER_BODY_BYTES))
}

/// Lets in whoever shows the secret, or, where there is none, whoever is on this machine.
async fn admit(
    State(app): State<Arc<AppState>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if let Some(refusal) = refusal(&app, remote, request.headers()) {
        return Err(ApiError::Forbidden(refusal.to_owned()));
    }
    let mut response = next.run(request).await;
    // The asking node must not take this one for another, whatever address it was given.
    if let Ok(incarnation) = HeaderValue::from_str(app.roster.incarnation()) {
        response.headers_mut().insert(PEER, incarnation);
    }
    Ok(response)
}

fn refusal(app: &AppState, remote: SocketAddr, headers: &HeaderMap) -> Option<&'static str> {
    if !headers.contains_key(PEER) {
        return Some("only the nodes of the cluster are answered here");
    }
    match &app.cluster_secret {
        Some(secret) => {
            let shown = headers.get(SECRET).map(HeaderValue::as_bytes).unwrap_or_default();
            (!secret.is(shown)).then_some("the cluster secret is missing or another one")
        }
        None => {
            let is_here = remote.ip().to_canonical().is_loopback()
                && PROXY_HEADERS.iter().all(|name| !headers.contains_key(*name));
            (!is_here).then_some("without a --cluster-secret only nodes on the same machine are answered")
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

async fn event(State(app): State<Arc<AppState>>, Named(id): Named<Cursor>) -> Json<history::Traces> {
    Json(history::own_traces(&app, id))
}

async fn claims(
    State(app): State<Arc<AppState>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Vec<Claim>>, ApiError> {
    let claims: Vec<Claim> = publish::parse(&body?)?;
    Ok(Json(app.claims.settle(&claims)))
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

async fn take_back(State(app): State<Arc<AppState>>) -> Json<RebalanceStatus> {
    Json(rebalance::take_back(&app))
}
