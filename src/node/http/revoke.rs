//! `POST /admin/revoke`: takes tokens back before they end. Goes through the log, so that every node knows.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use http::StatusCode;
use serde_json::value::to_raw_value;

use super::AppState;
use super::error::ApiError;
use super::publish::{append, check_tail, parse};
use crate::broker::publisher::new_event;
use crate::node::limits::{REVOCATION_AGE, TOKEN_BYTES};
use crate::node::revoker::address;
use crate::protocol::EventType;
use crate::protocol::api::{PublishRequest, RevokeRequest, Revoked};
use crate::runtime::clock::unix_ms;

/// Puts a revocation into the log.
pub(crate) async fn revoke(
    State(app): State<Arc<AppState>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Revoked>), ApiError> {
    let mut request: RevokeRequest = parse(&body?)?;
    if request.user.is_none() && request.token_id.as_ref().is_none_or(String::is_empty) {
        return Err(ApiError::Body("user or tokenId is missing; give at least one".to_owned()));
    }
    if request.token_id.as_ref().is_some_and(|id| id.len() > TOKEN_BYTES) {
        return Err(ApiError::Body(format!(
            "tokenId is longer than a token; allowed are up to {TOKEN_BYTES} bytes"
        )));
    }
    if app.access.is_none() {
        return Err(ApiError::Conflict(
            "this node checks no tokens: it has neither --token-keys nor --token-secret".to_owned(),
        ));
    }
    check_tail(&app)?;
    let now = unix_ms() / 1_000;
    let issued_before = *request.issued_before.get_or_insert(now);
    let until = *request.until.get_or_insert(now + REVOCATION_AGE.as_secs());
    let event = PublishRequest {
        event_type: Some(EventType::parse("REVOKE").expect("it is a valid type")),
        data: to_raw_value(&request).expect("names and numbers always become JSON"),
        metadata: None,
        id: None,
        qos: Some(1),
    };
    let published = append(&app, new_event(event, address(), app.node_id.as_str())?).await?;
    tracing::info!(user = ?request.user, token = request.token_id, issued_before, until, "tokens are revoked");
    Ok((StatusCode::ACCEPTED, Json(Revoked { id: published.id, issued_before, until })))
}
