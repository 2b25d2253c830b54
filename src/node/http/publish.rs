//! Publishes: the body of a request becomes an event in the log. The answer comes once the log has the event, never
//! before. Also `POST /api/sse/ack`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, Path, State};
use http::StatusCode;
use http::request::Parts;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

use super::AppState;
use super::access::Caller;
use super::error::ApiError;
use super::path::Named;
use crate::broker::publisher::{new_event, published};
use crate::broker::{NewEvent, PageLimit};
use crate::node::mailbox::confirm;
use crate::protocol::api::{AckRequest, Acked, PublishRequest, Published, object};
use crate::protocol::{Address, ClientId, Envelope, MessageId, NodeId, Topic, UserId};

/// The header that gives an event its id.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

type Body = Result<Bytes, BytesRejection>;
type PublishResult = Result<(StatusCode, Json<Published>), ApiError>;

/// `POST /api/sse/broadcast`: publishes to all connections.
pub(crate) async fn to_all(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    key: Key,
    body: Body,
) -> PublishResult {
    publish(&app, (&caller, Address::All), key, body).await
}

/// `POST /api/sse/broadcast/{clientId}`: publishes to a client.
pub(crate) async fn to_client(
    State(app): State<Arc<AppState>>,
    Named(client): Named<ClientId>,
    caller: Caller,
    key: Key,
    body: Body,
) -> PublishResult {
    publish(&app, (&caller, Address::Client(client)), key, body).await
}

/// `POST /api/sse/users/{userId}`: publishes to a user.
pub(crate) async fn to_user(
    State(app): State<Arc<AppState>>,
    Named(user): Named<UserId>,
    caller: Caller,
    key: Key,
    body: Body,
) -> PublishResult {
    publish(&app, (&caller, Address::User(user)), key, body).await
}

/// `POST /api/sse/topics/{topic}`: publishes to a topic.
pub(crate) async fn to_topic(
    State(app): State<Arc<AppState>>,
    Named(topic): Named<Topic>,
    caller: Caller,
    key: Key,
    body: Body,
) -> PublishResult {
    publish(&app, (&caller, Address::Topic(topic)), key, body).await
}

/// `POST /api/sse/broadcast/server/{serverId}`: publishes to the connections of one node.
pub(crate) async fn to_node(
    State(app): State<Arc<AppState>>,
    Named(node): Named<NodeId>,
    caller: Caller,
    key: Key,
    body: Body,
) -> PublishResult {
    publish(&app, (&caller, Address::Node(node)), key, body).await
}

/// `POST /api/sse/broadcast/server/{serverId}/client/{clientId}`: publishes to a client's connections to one node.
pub(crate) async fn to_node_client(
    State(app): State<Arc<AppState>>,
    Path((node, client)): Path<(String, String)>,
    caller: Caller,
    key: Key,
    body: Body,
) -> PublishResult {
    let invalid = |error: crate::protocol::InvalidName| ApiError::Invalid(error.to_string());
    let node = NodeId::parse(&node).map_err(invalid)?;
    let client = ClientId::parse(&client).map_err(invalid)?;
    publish(&app, (&caller, Address::NodeClient(node, client)), key, body).await
}

/// `POST /api/sse/ack`: confirms mailbox messages.
pub(crate) async fn ack(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    body: Body,
) -> Result<Json<Acked>, ApiError> {
    let request: AckRequest = parse(&body?)?;
    let cursor =
        request.id.cursor().map_err(|error| ApiError::Body(format!("id {}: {error}", request.id)))?;
    let user = request.user_id.map(Address::User);
    let client = request.client_id.map(Address::Client);
    let owners: Vec<_> = user.into_iter().chain(client).collect();
    if owners.is_empty() {
        return Err(ApiError::Body(
            "clientId or userId is missing; give at least one, to name the mailbox".to_owned(),
        ));
    }
    owners.iter().try_for_each(|owner| caller.check_read(owner))?;
    let bounds = app.ask(app.broker.bounds()).await?;
    let cursor = if cursor.epoch == bounds.epoch {
        cursor
    } else {
        let page = app.ask(app.broker.read_after(cursor, PageLimit::entries(1))).await?;
        let unknown = || ApiError::Body(format!("id {} belongs to another history of the log", request.id));
        page.sync.ok_or_else(unknown)?.to
    };
    if cursor.position > bounds.newest {
        // No client can have an event that does not exist yet.
        let newest = bounds.newest_cursor();
        return Err(ApiError::Body(format!(
            "id {} is beyond the newest event, which is {newest}",
            request.id
        )));
    }
    let mut confirmed = 0;
    for owner in &owners {
        confirmed += app.ask(confirm(&app.context, owner, cursor)).await?;
    }
    Ok(Json(Acked { confirmed }))
}

async fn publish(
    app: &AppState,
    (caller, address): (&Caller, Address),
    key: Key,
    body: Body,
) -> PublishResult {
    caller.check_write(&address)?;
    let outcome = publish_event(app, (caller, address), key, body).await;
    if outcome.is_err() {
        count_error(app);
    }
    outcome.map(|published| (StatusCode::ACCEPTED, Json(published)))
}

async fn publish_event(
    app: &AppState,
    whose: (&Caller, Address),
    key: Key,
    body: Body,
) -> Result<Published, ApiError> {
    let mut request: PublishRequest = parse(&body?)?;
    check_tail(app)?;
    request.id = key.0?.or(request.id);
    publish_request(app, whose, request).await
}

/// Puts the event that a request asks for into the log.
pub(super) async fn publish_request(
    app: &AppState,
    (caller, address): (&Caller, Address),
    mut request: PublishRequest,
) -> Result<Published, ApiError> {
    check_payload(&request, app.limits.payload_bytes)?;
    request.id = caller.own_message_id(request.id)?;
    let is_named = request.id.is_some();
    let event = new_event(request, address, app.node_id.as_str())?;
    // Only a publisher's own id can have been there before.
    let named = is_named.then(|| (event.address.clone(), Arc::clone(&event.envelope)));
    let published = append(app, event).await?;
    match named {
        Some((address, envelope)) if published.duplicate => {
            check_same(app, (&address, &envelope), &published).await?;
        }
        Some(_) | None => {}
    }
    Ok(published)
}

/// Refuses an id that belongs to another event: whoever publishes it would take its own event for accepted. If the log no
/// longer has the first event, or cannot be asked now, the id decides alone.
async fn check_same(
    app: &AppState,
    (address, envelope): (&Address, &str),
    published: &Published,
) -> Result<(), ApiError> {
    let Ok(cursor) = published.id.cursor() else { return Ok(()) };
    let Ok(Some(first)) = app.ask(app.broker.get(cursor)).await else { return Ok(()) };
    let reused = |what: &str| {
        let id = &published.message_id;
        let detail = format!(
            "the id {id} is that of the event {}, which has {what}; allowed is another id",
            published.id
        );
        Err(ApiError::IdReused(detail))
    };
    if first.address != *address {
        return reused("another address");
    }
    let parts = |text: &str| serde_json::from_str::<Envelope>(text).ok();
    match parts(&first.envelope).zip(parts(envelope)) {
        Some((first, again)) if first.event_type != again.event_type => reused("another type"),
        Some((first, again)) if first.data.get() != again.data.get() => reused("another payload"),
        Some((first, again)) if first.metadata.get() != again.metadata.get() => reused("other metadata"),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn count_error(app: &AppState) {
    app.context.metrics.publish_errors.fetch_add(1, Ordering::Relaxed);
}

/// Waits until the log has the event.
pub(super) async fn append(app: &AppState, event: NewEvent) -> Result<Published, ApiError> {
    let message_id = event.message_id.clone();
    let appended = match tokio::time::timeout(app.limits.publish_deadline, app.broker.append(event)).await {
        Ok(appended) => appended?,
        Err(_) => return Err(ApiError::Unknown("the log did not answer in time".to_owned())),
    };
    let metrics = &app.context.metrics;
    let counter = if appended.duplicate { &metrics.duplicates } else { &metrics.published };
    counter.fetch_add(1, Ordering::Relaxed);
    Ok(published(message_id, appended))
}

/// Checks that data and metadata together have at most `allowed` bytes.
pub(crate) fn check_payload(request: &PublishRequest, allowed: usize) -> Result<(), ApiError> {
    let size =
        request.data.get().len() + request.metadata.as_ref().map_or(0, |metadata| metadata.get().len());
    if size > allowed {
        let detail =
            format!("data and metadata have {size} bytes; allowed are up to {allowed} bytes (--max-payload)");
        return Err(ApiError::TooLarge(detail));
    }
    Ok(())
}

/// Refuses a publish while the node does not keep up with the log.
pub(super) fn check_tail(app: &AppState) -> Result<(), ApiError> {
    let lag = app.context.metrics.tail_lag(Instant::now());
    if lag > app.limits.ready_lag {
        return Err(ApiError::Unavailable(format!(
            "the node has been behind the log for {lag:.1?} and accepts no publishes"
        )));
    }
    Ok(())
}

/// The id that a header gives the event of the body.
#[derive(Debug)]
pub(crate) struct Key(Result<Option<MessageId>, ApiError>);

impl<S: Sync> FromRequestParts<S> for Key {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let parsed = parts.headers.get(IDEMPOTENCY_KEY).map(|value| {
            MessageId::parse(String::from_utf8_lossy(value.as_bytes()).trim())
                .map_err(|error| ApiError::Invalid(format!("Idempotency-Key: {error}")))
        });
        Ok(Self(parsed.transpose()))
    }
}

/// Parses a body that is a JSON object. Ignores its `Content-Type`, since `curl -d` sends another one.
pub(crate) fn parse<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    object(&mut json).and_then(|parsed| json.end().map(|()| parsed)).map_err(|error| refuse(&error))
}

/// Parses a body that is a JSON array.
pub(crate) fn parse_list<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<Vec<T>, ApiError> {
    serde_json::from_slice(body).map_err(|error| refuse(&error))
}

fn refuse(error: &serde_json::Error) -> ApiError {
    match error.classify() {
        serde_json::error::Category::Data => ApiError::Body(error.to_string()),
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => ApiError::NotJson(error.to_string()),
    }
}
