//! Presence: the open streams of a user or client, on all nodes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::Method;

use super::AppState;
use super::access::Caller;
use super::error::ApiError;
use super::path::Named;
use crate::node::connections::Connection;
use crate::node::peers::{PeerRequest, PeerResponses};
use crate::protocol::api::{Presence, Whereabouts};
use crate::protocol::path::segment;
use crate::protocol::{Address, ClientId, UserId};

/// `GET /api/sse/users/{userId}`: the open streams of a user.
pub(crate) async fn user(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    Named(user): Named<UserId>,
) -> Result<Json<Presence>, ApiError> {
    caller.check_watch(&Address::User(user.clone()))?;
    let request = PeerRequest::new(Method::GET, format!("/cluster/users/{}", segment(user.as_str())));
    let presence = collect(&app, own_of_user(&app, &user), &request).await;
    Ok(Json(Presence { user_id: Some(user), ..presence }))
}

/// `GET /api/sse/clients/{clientId}`: the open streams of a client.
pub(crate) async fn client(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    Named(client): Named<ClientId>,
) -> Result<Json<Presence>, ApiError> {
    caller.check_watch(&Address::Client(client.clone()))?;
    let request = PeerRequest::new(Method::GET, format!("/cluster/clients/{}", segment(client.as_str())));
    let presence = collect(&app, own_of_client(&app, &client), &request).await;
    Ok(Json(Presence { client_id: Some(client), ..presence }))
}

async fn collect(app: &AppState, own: Vec<Whereabouts>, request: &PeerRequest) -> Presence {
    let PeerResponses { answers, unreachable } = app.ask_peers::<Vec<Whereabouts>>(request).await;
    let mut connections: Vec<_> = own.into_iter().chain(answers.into_iter().flatten()).collect();
    connections.sort_by(|a, b| (a.since, &a.connection_id).cmp(&(b.since, &b.connection_id)));
    let online = !connections.is_empty();
    Presence { user_id: None, client_id: None, online, connections, unreachable }
}

/// A user's streams on this node.
pub(crate) fn own_of_user(app: &AppState, user: &UserId) -> Vec<Whereabouts> {
    let all = app.connections.all();
    let of_user = all.iter().filter(|connection| connection.identity.user_id.as_ref() == Some(user));
    of_user.map(|connection| whereabouts(app, connection)).collect()
}

/// A client's streams on this node.
pub(crate) fn own_of_client(app: &AppState, client: &ClientId) -> Vec<Whereabouts> {
    app.connections.of_client(client).iter().map(|connection| whereabouts(app, connection)).collect()
}

fn whereabouts(app: &AppState, connection: &Connection) -> Whereabouts {
    let identity = &connection.identity;
    Whereabouts {
        instance_id: app.node_id.clone(),
        connection_id: identity.id.clone(),
        client_id: identity.client_id.clone(),
        user_id: identity.user_id.clone(),
        since: identity.connected_at,
    }
}
