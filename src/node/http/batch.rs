//! `POST /api/sse/batch`: many events in one request, with an answer for each. The events go to the log in the order of
//! the body, and are not atomic: one may be refused and the next one taken. Read [`publish`] first.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::{Extension, Json};
use futures_util::future::join_all;
use http::HeaderMap;
use serde_json::value::RawValue;

use super::AppState;
use super::access::Caller;
use super::error::ApiError;
use super::pace::Publisher;
use super::publish::{self, IDEMPOTENCY_KEY};
use crate::node::limits::BATCH_EVENTS_MAX;
use crate::protocol::api::{BatchAnswer, BatchEvent, BatchOutcome};

/// Publishes the events of a body.
pub(crate) async fn publish(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    publisher: Option<Extension<Publisher>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<BatchAnswer>, ApiError> {
    let publisher = publisher.map(|Extension(publisher)| publisher);
    batch(&app, (&caller, publisher), &headers, body).await.inspect_err(|_| publish::count_error(&app))
}

async fn batch(
    app: &AppState,
    (caller, publisher): (&Caller, Option<Publisher>),
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<BatchAnswer>, ApiError> {
    if headers.contains_key(IDEMPOTENCY_KEY) {
        let detail = format!("{IDEMPOTENCY_KEY} names one event; a batch gives each of its events an id");
        return Err(ApiError::Invalid(detail));
    }
    let body = body?;
    let events = events(&body)?;
    publish::check_tail(app)?;
    if let Some((pace, publisher)) = app.pace.as_ref().zip(publisher) {
        // One was taken before the body was read; the others are made up for by what comes next.
        pace.owe(&publisher, u32::try_from(events.len().saturating_sub(1)).unwrap_or(u32::MAX));
    }
    // All are handed to the log before the first is answered, so that the log can write them at once. It keeps their order.
    let answers = join_all(events.into_iter().map(|event| publish_one(app, caller, event))).await;
    Ok(Json(BatchAnswer { answers }))
}

async fn publish_one(app: &AppState, caller: &Caller, event: &str) -> BatchOutcome {
    let published = async {
        let BatchEvent { to, event } = publish::parse(event.as_bytes())?;
        caller.check_write(&to)?;
        publish::publish_request(app, (caller, to), event).await
    };
    match published.await {
        Ok(published) => BatchOutcome::Ok(published),
        Err(error) => {
            publish::count_error(app);
            let is_unknown = matches!(error, ApiError::Unknown(_));
            let (_, problem) = error.problem();
            if is_unknown { BatchOutcome::Unknown(problem) } else { BatchOutcome::Refused(problem) }
        }
    }
}

/// The events of a body, each as JSON that is not parsed yet: the elements of an array, or else lines. Empty lines are none.
pub(super) fn events(body: &Bytes) -> Result<Vec<&str>, ApiError> {
    let text = std::str::from_utf8(body).map_err(|error| ApiError::NotJson(error.to_string()))?;
    let events: Vec<&str> = if text.trim_start().starts_with('[') {
        publish::parse_list::<&RawValue>(body)?.into_iter().map(RawValue::get).collect()
    } else {
        text.lines().filter(|line| !line.trim().is_empty()).collect()
    };
    match events.len() {
        1..=BATCH_EVENTS_MAX => Ok(events),
        count => Err(ApiError::Body(format!(
            "the batch has {count} events; allowed are 1 to {BATCH_EVENTS_MAX}, as a JSON array or one in a line"
        ))),
    }
}
