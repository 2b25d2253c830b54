//! The open streams: list, look at one, end one.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use http::StatusCode;
use serde::Deserialize;
use tokio::time::Instant;

use super::AppState;
use super::error::ApiError;
use super::path::Named;
use crate::node::close::CloseCode;
use crate::node::connections::CloseOrder;
use crate::protocol::api::{ConnectionList, ConnectionRow};
use crate::protocol::{ConnectionId, Topic};

/// Rows of a page unless the request says otherwise.
const PAGE_ROWS: u64 = 100;
/// Most rows of a page.
const PAGE_ROWS_MAX: u64 = 1_000;
const SORT_KEYS: &str =
    "connectedAt, clientId, userId, remote, sent, bytes, lag, state; with '-' in front from high to low";

/// The query of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListQuery {
    scope: Option<String>,
    filter: Option<String>,
    sort: Option<String>,
    page: Option<u64>,
    limit: Option<u64>,
}

/// `GET /api/sse/connections`
pub(crate) async fn list(
    State(app): State<Arc<AppState>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<ConnectionList>, ApiError> {
    let Query(query) = query?;
    // One node is the whole cluster of an embedded log, so both scopes mean the same here.
    if let Some(scope) = query.scope.as_deref()
        && !matches!(scope, "node" | "cluster")
    {
        return Err(ApiError::Invalid(format!("scope={scope:?} is not known; allowed are node, cluster")));
    }
    let limit = query.limit.unwrap_or(PAGE_ROWS);
    if !(1..=PAGE_ROWS_MAX).contains(&limit) {
        return Err(ApiError::Invalid(format!(
            "limit={limit} is not possible; allowed are 1 to {PAGE_ROWS_MAX}"
        )));
    }
    let page = query.page.unwrap_or(1);
    if page == 0 {
        return Err(ApiError::Invalid("page=0 is not possible; pages are counted from 1".to_owned()));
    }
    let all = app.connections.all();
    let total_connections = all.len() as u64;
    let filter = query.filter.unwrap_or_default();
    let mut rows: Vec<ConnectionRow> = all.iter().map(|connection| connection.row(&app.node_id)).collect();
    rows.retain(|row| matches(row, &filter));
    sort(&mut rows, query.sort.as_deref().unwrap_or("connectedAt"))?;
    let matched = rows.len() as u64;
    let skip = usize::try_from((page - 1).saturating_mul(limit)).unwrap_or(usize::MAX);
    let clients = rows.into_iter().skip(skip).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
    Ok(Json(ConnectionList {
        instance_id: app.node_id.clone(),
        instance_name: app.name.clone(),
        total_connections,
        matched,
        page,
        limit,
        clients,
    }))
}

/// Words separated by blanks, all of which must hold: `text` anywhere, `!text` nowhere, `key:text` in one field.
fn matches(row: &ConnectionRow, filter: &str) -> bool {
    filter.split_whitespace().all(|word| match word.strip_prefix('!') {
        Some(word) => !matches_word(row, word),
        None => matches_word(row, word),
    })
}

fn matches_word(row: &ConnectionRow, word: &str) -> bool {
    let has = |field: &str, text: &str| field.to_lowercase().contains(&text.to_lowercase());
    let user = row.user_id.as_ref().map_or("", |user| user.as_str());
    let in_topics = |text: &str| row.topics.iter().any(|topic: &Topic| has(topic.as_str(), text));
    match word.split_once(':') {
        Some(("id", text)) => has(row.connection_id.as_str(), text),
        Some(("client", text)) => has(row.client_id.as_str(), text),
        Some(("user", text)) => has(user, text),
        Some(("topic", text)) => in_topics(text),
        Some(("ip", text)) => has(&row.remote, text),
        Some(("state", text)) => has(&row.state, text),
        Some(_) | None => {
            let fields = [row.connection_id.as_str(), row.client_id.as_str(), user, &row.remote, &row.state];
            fields.iter().any(|field| has(field, word)) || in_topics(word)
        }
    }
}

fn sort(rows: &mut [ConnectionRow], key: &str) -> Result<(), ApiError> {
    let (key, descending) = key.strip_prefix('-').map_or((key, false), |key| (key, true));
    match key {
        "connectedAt" => rows.sort_by_key(|row| row.connected_at),
        "clientId" => rows.sort_by(|a, b| a.client_id.cmp(&b.client_id)),
        "userId" => rows.sort_by(|a, b| a.user_id.cmp(&b.user_id)),
        "remote" => rows.sort_by(|a, b| a.remote.cmp(&b.remote)),
        "sent" => rows.sort_by_key(|row| row.sent),
        "bytes" => rows.sort_by_key(|row| row.bytes),
        "lag" => rows.sort_by_key(|row| row.lag),
        "state" => rows.sort_by(|a, b| a.state.cmp(&b.state)),
        other => {
            return Err(ApiError::Invalid(format!("sort={other:?} is not known; allowed are {SORT_KEYS}")));
        }
    }
    if descending {
        rows.reverse();
    }
    Ok(())
}

/// `GET /api/sse/connections/{connectionId}`
pub(crate) async fn one(
    State(app): State<Arc<AppState>>,
    Named(id): Named<ConnectionId>,
) -> Result<Json<ConnectionRow>, ApiError> {
    let connection = app.connections.get(&id).ok_or_else(|| no_stream(&id))?;
    Ok(Json(connection.row(&app.node_id)))
}

/// `DELETE /api/sse/connections/{connectionId}`
pub(crate) async fn end(
    State(app): State<Arc<AppState>>,
    Named(id): Named<ConnectionId>,
) -> Result<StatusCode, ApiError> {
    let connection = app.connections.get(&id).ok_or_else(|| no_stream(&id))?;
    let reason = Arc::from("ended by an operator");
    connection.close(CloseOrder { at: Instant::now(), code: CloseCode::Forced, reason });
    Ok(StatusCode::ACCEPTED)
}

fn no_stream(id: &ConnectionId) -> ApiError {
    ApiError::NotFound(format!("no open stream has the connection id {id}"))
}
