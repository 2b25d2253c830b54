//! The paths below `/cluster`, by which the nodes ask each other. They are not part of the public interface and may
//! change with every version. Each answers for its own node only, so no request goes in circles. Read [`admit`]
//! first.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest as _, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderValue, StatusCode};

use super::error::ApiError;
use super::path::Named;
use super::query::Query;
use super::rows::{ListQuery, Selection};
use super::{AppState, connections, history, presence, publish, rebalance};
use crate::node::limits::CLUSTER_BODY_BYTES;
use crate::node::peers::PEER;
use crate::node::takeover::Claim;
use crate::protocol::api::{ConnectionRow, RebalanceRequest, RebalanceStatus, Whereabouts};
use crate::protocol::{ClientId, ConnectionId, Cursor, UserId};

/// The routes, behind [`admit`].
pub(crate) fn routes(app: &Arc<AppState>) -> Router<Arc<AppState>> {
    Router::new()
        .route("/cluster/connections", get(list))
        .route("/cluster/connections/{id}", get(one).delete(end))
        .route("/cluster/users/{user}", get(user))
        .route("/cluster/clients/{client}", get(client))
        .route("/cluster/events/{id}", get(event))
        .route("/cluster/claims", post(claims))
        .route("/cluster/rebalance", get(shed_status).post(shed).delete(shed_cancel))
        .route_layer(from_fn_with_state(Arc::clone(app), admit))
        .layer(DefaultBodyLimit::max(CLUSTER_BODY_BYTES))
}

/// Admits nodes that prove to know the cluster secret; without a secret, nodes on this machine.
async fn admit(
    State(app): State<Arc<AppState>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let body = Bytes::from_request(Request::from_parts(head.clone(), body), &app).await?;
    app.peers.check(remote.ip(), &head, &body).map_err(ApiError::Forbidden)?;
    let mut response = next.run(Request::from_parts(head, body.into())).await;
    // The node that asks must be able to detect that its address leads to another node.
    if let Ok(incarnation) = HeaderValue::from_str(app.roster.incarnation()) {
        response.headers_mut().insert(PEER, incarnation);
    }
    Ok(response)
}

async fn list(
    State(app): State<Arc<AppState>>,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let selection = Selection::of_node(&query)?;
    let lister = Arc::clone(&app);
    app.lists.json(async move { Ok(connections::own_list(&lister, &selection)) }).await
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
    let claims: Vec<Claim> = publish::parse_list(&body?)?;
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
