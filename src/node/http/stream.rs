//! `GET /api/sse/stream`: parses the request, admits the client and finds the position to start from. A temporary
//! refusal must not be a status: every browser engine stops for good on anything but 200 (measured). Such a client
//! gets 200, `retry:`, a `CLOSE` with the reason, and the end. Read [`open`] first.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Version, header};

use super::AppState;
use super::access::Caller;
use super::error::ApiError;
use super::forwarded::client_address;
use super::listener::PendingStream;
use super::query::Query;
use super::stream_query::{StreamQuery, accepts_events, requested_cursor};
use crate::broker::{Missing, PageLimit, Synced};
use crate::node::close::CloseCode;
use crate::node::config::RejectMode;
use crate::node::connections::{AckMode, Connection, Identity, Registered};
use crate::node::feed::Feed;
use crate::node::limits::EXPIRED_RETRY;
use crate::node::loops::{
    Backlog, Following, LoopHandle, LoopPermit, NewStream, Portion, Subscription, close_portion, gap_frame,
    mail_portion, sync_frame,
};
use crate::node::mailbox::{MailPage, MailPlace, confirm_or_repeat, unconfirmed};
use crate::node::revoker;
use crate::node::stream_context::HeartbeatForm;
use crate::node::window::{Form, Framing};
use crate::protocol::api::{ConnectionEvent, GapEvent, GapReason, Resumed};
use crate::protocol::event::control;
use crate::protocol::{ClientId, Cursor, Format, Frame, Position, Resume, RetryMs, SpelledId};
use crate::runtime::clock::unix_ms;

/// A parsed request for a stream.
struct StreamRequest {
    identity: Identity,
    /// The client sent a `clientId`. A name that the node made up is unique, so it cannot take over another stream.
    is_named: bool,
    resume: Resume,
    requested: Option<String>,
    heartbeat: HeartbeatForm,
    ack: AckMode,
    form: Form,
    /// When the node ends the stream: see [`Subscription::expires_at`].
    expires_at: u32,
    caller: Caller,
}

/// The start of a stream, as the window or the log decided it.
struct Start {
    feed: Feed,
    resumed: Resumed,
    gap: Option<(GapReason, Option<u64>)>,
    /// The log lost events that the client has had, and has them again.
    sync: Option<Synced>,
}

impl Start {
    /// Whether the log has assigned the requested cursor, which may have been trimmed since.
    fn is_valid(&self) -> bool {
        self.gap.is_none_or(|(reason, _)| match reason {
            GapReason::Trimmed => true,
            GapReason::Epoch | GapReason::Rollback | GapReason::Overflow | GapReason::Malformed => false,
        })
    }
}

/// `GET /api/sse/stream`: opens a stream.
pub(crate) async fn open(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    (method, version, headers): (Method, Version, HeaderMap),
    query: Result<Query<StreamQuery>, ApiError>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let framing = Framing::for_version(version);
    let client = client_address(remote.ip(), &headers, &app.trusted_proxy);
    let mut request = parse_request((&*app, caller), (client, framing), &headers, query)?;
    request.restrict()?;
    if method == Method::HEAD {
        // Of no known length, as the stream itself: RFC 9110, 9.3.2, wants the same headers.
        let unknown = Body::from_stream(futures_util::stream::empty::<Result<Bytes, Infallible>>());
        return Ok((stream_headers(&app), unknown).into_response());
    }
    if app.drain.is_draining() {
        return refuse(&app, CloseCode::Shutdown, &app.drain.status().reason, framing);
    }
    let now = tokio::time::Instant::now();
    let admitted = match app.admission.admit(request.identity.user_id.as_ref(), client, now) {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(&app, refusal.code(), &refusal.to_string(), framing),
    };
    match app.ask(follow(&app, request, admitted)).await {
        Ok(stream) => Ok(stream_response(&app, stream)),
        Err(error) => {
            tracing::warn!(error = error.detail(), "cannot open a stream because the log cannot be read");
            refuse(&app, CloseCode::LogUnavailable, "the log cannot be read", framing)
        }
    }
}

impl StreamRequest {
    /// Checks the names in the request, adds those of the caller's token, and ends the stream with it.
    fn restrict(&mut self) -> Result<(), ApiError> {
        let caller = &self.caller;
        let Identity { client_id, user_id, topics, .. } = &mut self.identity;
        if self.is_named {
            caller.check_client(client_id)?;
        }
        (*user_id, *topics) = caller.stream_names(user_id.take(), std::mem::take(topics))?;
        self.expires_at = caller.stream_end();
        Ok(())
    }
}

fn parse_request(
    (app, caller): (&AppState, Caller),
    (remote, framing): (IpAddr, Framing),
    headers: &HeaderMap,
    query: StreamQuery,
) -> Result<StreamRequest, ApiError> {
    let is_named = query.client_id.is_some();
    let client_id = query.client_id.unwrap_or_else(|| {
        ClientId::parse(&ulid::Ulid::generate().to_string()).expect("a ULID is a valid name")
    });
    let mut topics = query.topics;
    topics.sort();
    topics.dedup();
    if topics.len() > app.limits.topics_per_stream {
        let detail = format!(
            "{} topics are too many; allowed are up to {} (--max-topics)",
            topics.len(),
            app.limits.topics_per_stream
        );
        return Err(ApiError::Invalid(detail));
    }
    let heartbeat = match query.heartbeat.as_deref() {
        None | Some("comment") => HeartbeatForm::Comment,
        Some("event") => HeartbeatForm::Event,
        Some(other) => return Err(invalid_choice("heartbeat", other, "comment, event")),
    };
    let ack = match query.ack.as_deref() {
        None | Some("cursor") => AckMode::Cursor,
        Some("explicit") => AckMode::Explicit,
        // A page of another site can send for an image, and its browser says nothing of where the request comes from.
        Some("written") if accepts_events(headers) => AckMode::Written,
        Some("written") => {
            app.context.metrics.parameters_ignored.fetch_add(1, Ordering::Relaxed);
            AckMode::Cursor
        }
        Some(other) => return Err(invalid_choice("ack", other, "cursor, explicit, written")),
    };
    let format = match query.format.as_deref() {
        None => app.format,
        Some("envelope") => Format::Envelope,
        Some("data") => Format::Data,
        Some(other) => return Err(invalid_choice("format", other, "envelope, data")),
    };
    let requested = requested_cursor(headers, query.cursors);
    let user_id = query.user_id;
    let identity =
        Identity { id: app.takeover.next_id(), client_id, user_id, topics, remote, connected_at: unix_ms() };
    let resume = requested.as_deref().map_or(Resume::Live, Resume::parse);
    Ok(StreamRequest {
        identity,
        is_named,
        resume,
        requested,
        heartbeat,
        ack,
        form: Form { framing, format },
        expires_at: u32::MAX,
        caller,
    })
}

fn invalid_choice(key: &str, value: &str, allowed: &str) -> ApiError {
    ApiError::Invalid(format!("{key}={value:?} is not known; allowed are {allowed}"))
}

/// Finds the start of the stream and adds the stream to the list.
async fn follow(
    app: &AppState,
    request: StreamRequest,
    admitted: crate::node::admission::Admitted,
) -> Result<NewStream, crate::broker::StoreError> {
    // First the reader, then the mailboxes: events that are appended in between come live.
    let reader = app.window.reader(request.identity.addresses(&app.node_id), app.window.place());
    let loop_permit = LoopPermit::new(app.loops.emptiest());
    let start = start(app, &request.resume, reader).await?;
    let from = start.feed.cursor();
    if let (AckMode::Cursor, Resume::After(cursor)) = (request.ack, &request.resume)
        && start.is_valid()
    {
        for owner in request.identity.mailboxes() {
            confirm_or_repeat(&app.context, &owner, *cursor).await;
        }
    }
    // The log delivers messages after the start; earlier ones come from the mailboxes.
    let place = MailPlace::new(&request.identity, Position::ZERO, from.position);
    let MailPage { messages, overflowed, next } = unconfirmed(&app.context, place).await?;
    let metrics = &app.context.metrics;
    let form @ Form { framing, format } = request.form;
    metrics.opened.fetch_add(1, Ordering::Relaxed);
    if request.resume != Resume::Live {
        metrics.resumed.fetch_add(1, Ordering::Relaxed);
    }
    let gap = match start.gap {
        None => None,
        Some((reason, missed)) => {
            metrics.count_gap(reason);
            // After a malformed cursor the stream is live, although the log keeps older events.
            let oldest =
                if reason == GapReason::Malformed { app.broker.bounds().await?.start_cursor() } else { from };
            Some(GapEvent {
                reason,
                requested: request.requested.clone(),
                oldest: Some(oldest.to_event_id()),
                newest: Some(app.window.tip().to_event_id()),
                missed,
            })
        }
    };
    // After a lost history the client keeps its old cursor until the next event, since it says what the client has
    // had.
    let moves_cursor = gap.is_some() || start.sync.is_none();
    let id = moves_cursor.then(|| from.spelled(format));
    let then = id.map_or_else(Bytes::new, |id| position_frame(id, gap.as_ref(), !messages.is_empty()));
    let opening_id = id.filter(|_| then.is_empty());
    let opening = opening(app, &request.identity, &start, (opening_id, format), overflowed);
    metrics.mailbox_resent.fetch_add(messages.len() as u64, Ordering::Relaxed);
    let framed = |body: Bytes| match body.is_empty() {
        true => Portion::default(),
        false => Portion::new(framing.wrap(body), None),
    };
    let mail = mail_portion(&messages, form, (request.ack, &request.identity));
    let mut queue = VecDeque::from([framed(opening), mail]);
    let backlog = match next {
        Some(place) => Some(Box::new(Backlog { place, overflowed, then: framed(then) })),
        None => {
            queue.push_back(framed(then));
            None
        }
    };
    queue.retain(|portion| !portion.wire.is_empty());
    let registered = register(app, (request.identity, &request.caller), (from, loop_permit.handle()));
    if request.is_named {
        app.takeover.claim(registered.connection());
    }
    let subscription = Subscription {
        registered,
        _admitted: admitted,
        heartbeat: request.heartbeat,
        ack: request.ack,
        expires_at: request.expires_at,
    };
    let following = Some(Box::new(Following { feed: start.feed, subscription }));
    Ok(NewStream { form, queue, backlog, following, loop_permit })
}

/// Puts the stream into the list of connections. What came over all others since its request came, comes over it too.
fn register(
    app: &AppState,
    (identity, caller): (Identity, &Caller),
    (from, handle): (Cursor, &Arc<LoopHandle>),
) -> Registered {
    let mut connection = Connection::new(identity, from, Arc::clone(handle));
    connection.token = caller.token().map(Box::new);
    let registered = app.connections.register(Arc::new(connection));
    app.drain.include(registered.connection());
    if caller.is_revoked(app) {
        revoker::end(registered.connection());
    }
    registered
}

async fn start(
    app: &AppState,
    resume: &Resume,
    reader: crate::node::window::Reader,
) -> Result<Start, crate::broker::StoreError> {
    let limits = app.limits.feed;
    let live = |reader, resumed, gap| Start { feed: Feed::live(reader, limits), resumed, gap, sync: None };
    let cursor = match resume {
        Resume::Live => return Ok(live(reader, Resumed::Live, None)),
        // It is not known what this client has seen, so it starts live; the `GAP` lets it fetch what it needs.
        Resume::Malformed(_) => return Ok(live(reader, Resumed::Gap, Some((GapReason::Malformed, None)))),
        Resume::Earliest => app.broker.bounds().await?.start_cursor(),
        Resume::After(cursor) => *cursor,
    };
    let feed = Feed::resume(reader, limits, cursor);
    if !feed.is_replaying() {
        return Ok(Start { feed, resumed: Resumed::Replayed, gap: None, sync: None });
    }
    // Not in the window: the log decides whether the cursor is valid.
    let page = app.broker.read_after(cursor, PageLimit::entries(1)).await?;
    let feed = match &page.sync {
        Some(sync) => feed.translated(sync),
        None => feed,
    };
    let sync = page.sync.filter(Synced::is_lost);
    match page.gap {
        None => Ok(Start { feed, resumed: Resumed::Replayed, gap: None, sync }),
        Some(Missing { reason, resumed_after, missed }) => {
            let feed = feed.restart(resumed_after);
            Ok(Start { feed, resumed: Resumed::Gap, gap: Some((reason, missed)), sync })
        }
    }
}

/// The frame after the backlog that carries the start position; empty if `CONNECTION` carries it.
fn position_frame(from: SpelledId, gap: Option<&GapEvent>, has_backlog: bool) -> Bytes {
    match gap {
        Some(gap) => gap_frame(gap, Some(from)),
        None if has_backlog => {
            Frame { retry: None, id: Some(from), event: control::CURSOR, data: "" }.encode()
        }
        None => Bytes::new(),
    }
}

fn opening(
    app: &AppState,
    identity: &Identity,
    start: &Start,
    (id, format): (Option<SpelledId>, Format),
    overflowed: u64,
) -> Bytes {
    let retry = app.context.timing.retry.base();
    let event = ConnectionEvent {
        connection_id: identity.id.clone(),
        client_id: identity.client_id.clone(),
        instance_id: app.node_id.clone(),
        instance_name: app.name.clone(),
        server_time: unix_ms(),
        reconnect_time: retry.get(),
        name: "sse-node".to_owned(),
        enable_cluster: app.broker.is_shared(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        resumed: start.resumed,
        format,
        message: format!("connected to {}", app.name),
    };
    let data = serde_json::to_string(&event).expect("a struct of text and numbers always becomes JSON");
    let mut out = BytesMut::new();
    Frame { retry: Some(retry), id, event: control::CONNECTION, data: &data }.encode_into(&mut out);
    if let Some(sync) = &start.sync {
        app.context.metrics.syncs.fetch_add(1, Ordering::Relaxed);
        out.extend_from_slice(&sync_frame(sync));
    }
    if overflowed > 0 {
        app.context.metrics.count_gap(GapReason::Overflow);
        out.extend_from_slice(&gap_frame(&GapEvent::overflow(overflowed), None));
    }
    out.freeze()
}

/// Refuses a client whose token has ended a moment ago.
pub(super) fn refuse_expired(app: &AppState, reason: &str, version: Version) -> Result<Response, ApiError> {
    app.context.metrics.count_rejected(CloseCode::Expired);
    match app.reject {
        RejectMode::Status => Err(ApiError::InvalidToken(reason.to_owned())),
        RejectMode::Soft => {
            let retry = RetryMs::clamped(u64::try_from(EXPIRED_RETRY.as_millis()).unwrap_or(u64::MAX));
            Ok(refusal(app, (CloseCode::Expired, reason), retry, Framing::for_version(version)))
        }
    }
}

/// Refuses a client whose token cannot be checked yet.
pub(super) fn refuse_unready(app: &AppState, reason: &str, version: Version) -> Result<Response, ApiError> {
    refuse(app, CloseCode::LogUnavailable, reason, Framing::for_version(version))
}

/// Refuses a client with a `CLOSE` event or, with `--reject status`, with 503.
fn refuse(app: &AppState, code: CloseCode, reason: &str, framing: Framing) -> Result<Response, ApiError> {
    app.context.metrics.count_rejected(code);
    match app.reject {
        RejectMode::Status => Err(ApiError::Full(reason.to_owned())),
        RejectMode::Soft => {
            let retry = app.context.timing.retry.jittered(&mut rand::rng());
            Ok(refusal(app, (code, reason), retry, framing))
        }
    }
}

fn refusal(app: &AppState, (code, reason): (CloseCode, &str), retry: RetryMs, framing: Framing) -> Response {
    let queue = VecDeque::from([close_portion(code, reason, retry, (framing, app.drain_close))]);
    let loop_permit = LoopPermit::new(app.loops.emptiest());
    let form = Form { framing, format: app.format };
    stream_response(app, NewStream { form, queue, backlog: None, following: None, loop_permit })
}

fn stream_response(app: &AppState, stream: NewStream) -> Response {
    let mut response = (stream_headers(app), ()).into_response();
    response.extensions_mut().insert(PendingStream::new(stream));
    response
}

fn stream_headers(app: &AppState) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let fixed = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store, no-transform"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    headers.insert("x-sse-version", HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    // A node id may contain characters that a header may not. `CONNECTION` has the id too.
    if let Ok(id) = HeaderValue::from_str(app.node_id.as_str()) {
        headers.insert("x-sse-server-id", id);
    }
    headers
}
