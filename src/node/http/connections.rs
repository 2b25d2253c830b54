//! The open streams, of this node or of all: list, look at one, end one, wherever it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use http::{Method, StatusCode};
use tokio::time::Instant;

use super::AppState;
use super::error::ApiError;
use super::path::Named;
use super::rows::{ListQuery, Scope, Selection};
use crate::node::close::CloseCode;
use crate::node::connections::CloseOrder;
use crate::node::peers::{Answers, Question, segment};
use crate::protocol::ConnectionId;
use crate::protocol::api::{ConnectionList, ConnectionRow};
use crate::runtime::clock;

/// `GET /api/sse/connections`
pub(crate) async fn list(
    State(app): State<Arc<AppState>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<ConnectionList>, ApiError> {
    let Query(query) = query?;
    let selection = Selection::of_user(&query)?;
    match selection.scope {
        Scope::Node => Ok(Json(own_list(&app, &selection))),
        Scope::Cluster => Ok(Json(cluster_list(&app, &selection).await)),
    }
}

/// The page as this node alone has it.
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
    let question = Question::new(Method::GET, "/cluster/connections");
    let question = selection
        .for_peers()
        .into_iter()
        .fold(question, |question, (key, value)| question.with(key, Some(value)));
    let Answers { answers, unreachable } = app.ask_peers::<ConnectionList>(&question).await;
    // Of this node, too, every row that the page may need, and not only the page.
    let mut list = own_list(app, &selection.up_to_its_end());
    for answer in answers {
        list.total_connections += answer.total_connections;
        list.matched += answer.matched;
        list.clients.extend(answer.clients);
    }
    selection.sort(&mut list.clients);
    let clients = selection.cut(list.clients);
    ConnectionList { page: selection.page(), limit: selection.limit, clients, unreachable, ..list }
}

/// `GET /api/sse/connections/{connectionId}`
pub(crate) async fn one(
    State(app): State<Arc<AppState>>,
    Named(id): Named<ConnectionId>,
) -> Result<Json<ConnectionRow>, ApiError> {
    if let Some(row) = own_row(&app, &id) {
        return Ok(Json(row));
    }
    anywhere(&app, &id, Method::GET).await.map(Json)
}

/// `DELETE /api/sse/connections/{connectionId}`
pub(crate) async fn end(
    State(app): State<Arc<AppState>>,
    Named(id): Named<ConnectionId>,
) -> Result<StatusCode, ApiError> {
    if end_own(&app, &id).is_none() {
        anywhere(&app, &id, Method::DELETE).await?;
    }
    Ok(StatusCode::ACCEPTED)
}

/// The stream, if this node has it.
pub(crate) fn own_row(app: &AppState, id: &ConnectionId) -> Option<ConnectionRow> {
    app.connections.get(id).map(|connection| connection.row(&app.node_id))
}

/// Ends the stream, if this node has it.
pub(crate) fn end_own(app: &AppState, id: &ConnectionId) -> Option<ConnectionRow> {
    let connection = app.connections.get(id)?;
    let reason = Arc::from("ended by an operator");
    connection.close(CloseOrder { at: Instant::now(), code: CloseCode::Forced, reason });
    Some(connection.row(&app.node_id))
}

/// Asks the other nodes for a stream; with `DELETE` it ends.
async fn anywhere(app: &AppState, id: &ConnectionId, method: Method) -> Result<ConnectionRow, ApiError> {
    let question = Question::new(method, format!("/cluster/connections/{}", segment(id.as_str())));
    let Answers { answers, unreachable } = app.ask_peers::<Option<ConnectionRow>>(&question).await;
    if let Some(row) = answers.into_iter().flatten().next() {
        return Ok(row);
    }
    if unreachable.is_empty() {
        return Err(ApiError::NotFound(format!("no open stream has the connection id {id}")));
    }
    let silent: Vec<_> =
        unreachable.iter().map(|node| format!("{} ({})", node.instance_id, node.reason)).collect();
    let silent = silent.join(", ");
    Err(ApiError::Unreachable(format!("no node that answered has the stream {id}; not asked: {silent}")))
}
