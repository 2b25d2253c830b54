//! The log and the mailboxes as JSON: pages of the log, the deliveries of one event, and a user's unconfirmed
//! messages.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::Method;
use serde::{Deserialize, Serialize};

use super::AppState;
use super::access::Caller;
use super::error::ApiError;
use super::path::Named;
use super::query::{FromQuery, Query, set};
use crate::broker::{Entry, MailCursor, Page, PageLimit};
use crate::node::limits::ANSWER_BYTES;
use crate::node::peers::{PeerRequest, PeerResponses};
use crate::protocol::api::{EventLedger, GapEvent, History, LogEvent, Pending, WrittenBy};
use crate::protocol::{Address, Cursor, Position, Resume, Topic, UserId};

/// Default number of events of a page.
const PAGE_EVENTS: usize = 100;
/// Largest number of events of a page.
const PAGE_EVENTS_MAX: usize = 1_000;

/// The query of `/api/sse/history`.
#[derive(Debug, Default)]
pub(crate) struct HistoryQuery {
    after: Option<String>,
    limit: Option<usize>,
    topic: Option<Topic>,
}

impl FromQuery for HistoryQuery {
    const NAMES: &'static [&'static str] = &["after", "limit", "topic"];

    fn take(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        match name {
            "after" => set(&mut self.after, name, value),
            "limit" => set(&mut self.limit, name, value),
            _ => set(&mut self.topic, name, value),
        }
    }
}

/// `GET /api/sse/history`: a page of the log.
pub(crate) async fn history(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, ApiError> {
    let limit = query.limit.unwrap_or(PAGE_EVENTS);
    if !(1..=PAGE_EVENTS_MAX).contains(&limit) {
        let detail = format!("limit={limit} is not allowed; allowed are 1 to {PAGE_EVENTS_MAX}");
        return Err(ApiError::Invalid(detail));
    }
    if let Some(topic) = &query.topic {
        caller.check_read(&Address::Topic(topic.clone()))?;
    }
    let after = match Resume::parse(query.after.as_deref().unwrap_or_default()) {
        Resume::Live | Resume::Earliest => None,
        Resume::After(cursor) => Some(cursor),
        Resume::Malformed(text) => {
            return Err(ApiError::Invalid(format!(
                "after={text:?} is not an event id; allowed are earliest and what stands in an `id:` line"
            )));
        }
    };
    let question = page_of_log((Arc::clone(&app), caller), after, limit, query.topic);
    app.reads.json(Box::pin(question)).await
}

async fn page_of_log(
    (app, caller): (Arc<AppState>, Caller),
    after: Option<Cursor>,
    limit: usize,
    topic: Option<Topic>,
) -> Result<History, ApiError> {
    let bounds = app.ask(app.broker.bounds()).await?;
    let after = after.unwrap_or_else(|| bounds.start_cursor());
    let page_limit = PageLimit { entries: limit, bytes: ANSWER_BYTES };
    let page = app.ask(app.broker.read_after(after, page_limit)).await?;
    // A page of a topic, or of a caller, is a page of the log without its other events, so it may be short or empty and
    // have a `next`.
    let next = (page.more || page.entries.len() == limit)
        .then(|| page.entries.last().map(|last| last.cursor.to_event_id()))
        .flatten();
    let of_topic =
        |entry: &&Entry| topic.as_ref().is_none_or(|topic| entry.address == Address::Topic(topic.clone()));
    let of_caller = |entry: &&Entry| caller.may_read(&entry.address);
    Ok(History {
        epoch: bounds.epoch.to_string(),
        oldest: bounds.start_cursor().to_event_id(),
        newest: bounds.newest_cursor().to_event_id(),
        gap: gap(&page, after),
        events: page
            .entries
            .iter()
            .filter(of_topic)
            .filter(of_caller)
            .map(log_event)
            .collect::<Result<_, _>>()?,
        next,
    })
}

fn gap(page: &Page, after: Cursor) -> Option<GapEvent> {
    page.gap.map(|missing| GapEvent {
        reason: missing.reason,
        requested: Some(after.to_string()),
        oldest: Some(missing.resumed_after.to_event_id()),
        newest: None,
        missed: missing.missed,
    })
}

fn log_event(entry: &Entry) -> Result<LogEvent, ApiError> {
    let envelope = serde_json::from_str(&entry.envelope)
        .map_err(|error| ApiError::Unavailable(format!("the entry {} is damaged: {error}", entry.cursor)))?;
    Ok(LogEvent { id: entry.cursor.to_event_id(), address: entry.address.clone(), envelope })
}

/// `GET /api/sse/events/{id}`: an event with its deliveries.
pub(crate) async fn event(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    Named(id): Named<Cursor>,
) -> Result<Json<EventLedger>, ApiError> {
    let not_kept = || ApiError::NotFound(format!("the log has no event with the id {id}"));
    // Whether there is an event that is not the caller's, is not the caller's either.
    let entry = app.ask(app.broker.get(id)).await?.filter(|entry| caller.may_watch(&entry.address));
    let entry = entry.ok_or_else(not_kept)?;
    let request = PeerRequest::new(Method::GET, format!("/cluster/events/{id}"));
    let PeerResponses { answers, unreachable } = app.ask_peers::<EventTrace>(&request).await;
    let traces: Vec<_> = [own_trace(&app, id)].into_iter().chain(answers).collect();
    let mut written: Vec<_> = traces.iter().filter_map(|trace| trace.written.clone()).collect();
    written.sort_by(|a, b| a.instance_id.cmp(&b.instance_id));
    let envelope = log_event(&entry)?.envelope;
    Ok(Json(EventLedger {
        id: id.to_event_id(),
        message_id: entry.message_id,
        address: entry.address,
        accepted_at: envelope.timestamp,
        written,
        confirmed: traces.iter().map(|trace| trace.confirmed).sum(),
        unreachable,
    }))
}

/// The deliveries of one event by one node. The JSON of `/cluster/events/{id}`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EventTrace {
    /// `None` if the event is no longer in the window of the node.
    written: Option<WrittenBy>,
    confirmed: u64,
}

/// The deliveries of one event by this node.
pub(crate) fn own_trace(app: &AppState, id: Cursor) -> EventTrace {
    let frame = app.window.find(id);
    EventTrace {
        written: frame.as_ref().map(|frame| WrittenBy {
            instance_id: app.node_id.clone(),
            connections: frame.written.load(Ordering::Relaxed),
        }),
        confirmed: frame.map_or(0, |frame| frame.confirmed.load(Ordering::Relaxed)),
    }
}

/// The query of `/api/sse/users/{userId}/pending`.
#[derive(Debug, Default)]
pub(crate) struct PendingQuery {
    after: Option<Cursor>,
}

impl FromQuery for PendingQuery {
    const NAMES: &'static [&'static str] = &["after"];

    fn take(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        set(&mut self.after, name, value)
    }
}

/// `GET /api/sse/users/{userId}/pending`: a page of the mailbox of a user.
pub(crate) async fn pending(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    Named(user): Named<UserId>,
    Query(PendingQuery { after }): Query<PendingQuery>,
) -> Result<Response, ApiError> {
    let (reader, address) = (Arc::clone(&app), Address::User(user));
    caller.check_read(&address)?;
    let question = async move {
        let after = after.map_or(Position::ZERO, |after| after.position);
        let limit = PageLimit { entries: PAGE_EVENTS_MAX, bytes: ANSWER_BYTES };
        let from = MailCursor { after, index: 0 };
        let mailbox = reader.ask(reader.broker.mail_after(&address, from, limit)).await?;
        let next = mailbox.entries.last().filter(|_| mailbox.more).map(|last| last.cursor.to_event_id());
        let messages = mailbox.entries.iter().map(log_event).collect::<Result<_, _>>()?;
        Ok(Pending { address, messages, overflowed: mailbox.overflowed, next })
    };
    app.reads.json(question).await
}
