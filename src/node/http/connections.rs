//! `/api/sse/connections`: lists the open streams of this node or of all nodes, shows one, and ends one on any node.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::{Method, StatusCode};
use tokio::time::Instant;

use super::AppState;
use super::error::ApiError;
use super::path::Named;
use super::query::Query;
use super::rows::{ListQuery, Scope, Selection};
use crate::node::close::CloseCode;
use crate::node::connections::CloseOrder;
use crate::node::peers::{PeerRequest, PeerResponses};
use crate::protocol::ConnectionId;
use crate::protocol::api::{ConnectionList, ConnectionRow};
use crate::protocol::path::segment;
use crate::runtime::clock;

/// `GET /api/sse/connections`: a page of the open streams.
pub(crate) async fn list(
    State(app): State<Arc<AppState>>,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let selection = Selection::of_user(&query)?;
    let lister = Arc::clone(&app);
    let question = async move {
        Ok(match selection.scope {
            Scope::Node => own_list(&lister, &selection),
            Scope::Cluster => cluster_list(&lister, &selection).await,
        })
    };
    app.lists.json(question).await
}

/// The page of the list of this node's streams.
pub(crate) fn own_list(app: &AppState, selection: &Selection) -> ConnectionList {
    let all = app.connections.all();
    let mut rows: Vec<ConnectionRow> = all.iter().map(|connection| connection.row(&app.node_id)).collect();
    selection.filter(&mut rows, clock::unix_ms());
    selection.sort(&mut rows);
    ConnectionList {
        instance_id: app.node_id.clone(),
        instance_name: app.name.clone(),
        total_connections: all.len() as u64,
        matched: rows.len() as u64,
        page: selection.page(),
        limit: selection.limit,
        clients: selection.cut(rows),
        unreachable: Vec::new(),
    }
}

async fn cluster_list(app: &AppState, selection: &Selection) -> ConnectionList {
    let request = PeerRequest::new(Method::GET, "/cluster/connections");
    let request = selection
        .for_peers()
        .into_iter()
        .fold(request, |request, (key, value)| request.with(key, Some(value)));
    let PeerResponses { answers, unreachable } = app.ask_peers::<ConnectionList>(&request).await;
    // Every row of this node that the page may need, and not only its own page.
    let mut list = own_list(app, &selection.through_end_of_page());
    for answer in answers {
        list.total_connections += answer.total_connections;
        list.matched += answer.matched;
        list.clients.extend(answer.clients);
    }
    selection.sort(&mut list.clients);
    let clients = selection.cut(list.clients);
    ConnectionList { page: selection.page(), limit: selection.limit, clients, unreachable, ..list }
}

/// `GET /api/sse/connections/{connectionId}`: one open stream.
pub(crate) async fn one(
    State(app): State<Arc<AppState>>,
    Named(id): Named<ConnectionId>,
) -> Result<Json<ConnectionRow>, ApiError> {
    if let Some(row) = own_row(&app, &id) {
        return Ok(Json(row));
    }
    on_another_node(&app, &id, Method::GET).await.map(Json)
}

/// `DELETE /api/sse/connections/{connectionId}`: ends a stream.
pub(crate) async fn end(
    State(app): State<Arc<AppState>>,
    Named(id): Named<ConnectionId>,
) -> Result<StatusCode, ApiError> {
    if end_own(&app, &id).is_none() {
        on_another_node(&app, &id, Method::DELETE).await?;
    }
    Ok(StatusCode::ACCEPTED)
}

/// The stream, if it is on this node.
pub(crate) fn own_row(app: &AppState, id: &ConnectionId) -> Option<ConnectionRow> {
    app.connections.get(id).map(|connection| connection.row(&app.node_id))
}

/// Ends the stream, if it is on this node.
pub(crate) fn end_own(app: &AppState, id: &ConnectionId) -> Option<ConnectionRow> {
    let connection = app.connections.get(id)?;
    let reason = Arc::from("ended by an operator");
    connection.close(CloseOrder { at: Instant::now(), code: CloseCode::Forced, reason });
    Some(connection.row(&app.node_id))
}

/// Asks the other nodes for a stream; the method `DELETE` ends it.
async fn on_another_node(
    app: &AppState,
    id: &ConnectionId,
    method: Method,
) -> Result<ConnectionRow, ApiError> {
    let request = PeerRequest::new(method, format!("/cluster/connections/{}", segment(id.as_str())));
    let PeerResponses { answers, unreachable } = app.ask_peers::<Option<ConnectionRow>>(&request).await;
    if let Some(row) = answers.into_iter().flatten().next() {
        return Ok(row);
    }
    if unreachable.is_empty() {
        return Err(ApiError::NotFound(format!("no open stream has the connection id {id}")));
    }
    let silent: Vec<_> =
        unreachable.iter().map(|node| format!("{} ({})", node.instance_id, node.reason)).collect();
    let silent = silent.join(", ");
    Err(ApiError::Unreachable(format!(
        "no node that answered has the stream {id}; these nodes did not answer: {silent}"
    )))
}
