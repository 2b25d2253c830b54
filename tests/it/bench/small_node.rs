//! A small SSE server that speaks the node's HTTP interface, with one fault built in, or none. It shares no code with
//! the node: the judge must be able to judge a stranger. One log in memory, one index per stream, no limits.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::harness::serve;

/// What the server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// An honest node.
    None,
    /// One event never reaches one of the streams.
    DropsOne,
    /// One event reaches one of the streams twice.
    DeliversTwice,
    /// Two events reach one of the streams in the wrong order.
    SwapsTwo,
    /// One event for a user reaches somebody else.
    LeaksAnotherUsers,
    /// A stream that comes back with a cursor gets three events again that it had.
    ReplaysTooMuch,
    /// One publish is acknowledged and kept nowhere.
    AcknowledgesAndForgets,
    /// A stream that comes back with a cursor goes on at the newest event, without a word.
    JumpsSilently,
    /// A stream that comes back with a cursor gets the newest few events, without a word of those before.
    ReplaysFew,
    /// An honest node with a short log: the same, but a `GAP` says so.
    KeepsFew,
    /// One event reaches one of the streams with a byte of its payload changed.
    AltersOne,
    /// One event reaches one of the streams with another type.
    RenamesOne,
    /// Streams end, and whoever comes back is refused from then on, for good.
    LocksOut,
}

/// How many events a stream, or the log, has seen when the fault strikes: late enough for what surrounds it.
const STRIKES_AFTER: usize = 25;
/// Events that a short log keeps.
const FEW: usize = 5;
const EPOCH: &str = "tstone";

/// A running server. Ends when dropped.
#[derive(Debug)]
pub(crate) struct SmallNode {
    /// Base URL, as `http://127.0.0.1:12345`.
    pub(crate) base: String,
    server: Arc<Server>,
    _serving: JoinSet<()>,
}

#[derive(Debug, Clone)]
struct Entry {
    index: usize,
    address: String,
    event_type: String,
    envelope: String,
}

#[derive(Debug)]
struct Server {
    defect: Defect,
    log: Mutex<Vec<Arc<Entry>>>,
    known: Mutex<HashMap<String, usize>>,
    length: watch::Sender<usize>,
    struck: AtomicBool,
    /// Streams that were opened.
    streams: watch::Sender<usize>,
}

impl SmallNode {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) async fn start(defect: Defect) -> Self {
        let server = Arc::new(Server {
            defect,
            log: Mutex::default(),
            known: Mutex::default(),
            length: watch::Sender::new(0),
            struck: AtomicBool::new(false),
            streams: watch::Sender::new(0),
        });
        let app = Router::new()
            .route("/health/ready", get(|| async { Json(json!({"status": "UP"})) }))
            .route("/api/sse/stream", get(stream))
            .route("/api/sse/broadcast", post(to_all))
            .route("/api/sse/broadcast/{client}", post(to_client))
            .route("/api/sse/users/{user}", post(to_user))
            .route("/api/sse/topics/{topic}", post(to_topic))
            .route("/api/sse/history", get(history))
            .with_state(Arc::clone(&server));
        let (base, serving) = serve(app).await;
        Self { base, server, _serving: serving }
    }

    /// Waits until so many streams were opened.
    pub(crate) async fn wait_for_streams(&self, count: usize) {
        let mut streams = self.server.streams.subscribe();
        let opened = streams.wait_for(|streams| *streams >= count);
        tokio::time::timeout(Duration::from_secs(30), opened).await.expect("clients connect").unwrap();
    }
}

impl Server {
    /// Once in the life of the server.
    fn strikes(&self, defect: Defect, seen: usize) -> bool {
        self.defect == defect && seen >= STRIKES_AFTER && !self.struck.swap(true, Ordering::Relaxed)
    }

    fn publish(&self, address: String, default_type: &str, body: &Value) -> Response {
        let mut log = self.log.lock().unwrap();
        let index = log.len() + 1;
        let id = body["id"].as_str().map_or_else(|| format!("own-{index}"), str::to_owned);
        if let Some(first) = self.known.lock().unwrap().get(&id) {
            return published(*first, &id, true);
        }
        let event_type = body["type"].as_str().unwrap_or(default_type).to_owned();
        self.known.lock().unwrap().insert(id.clone(), index);
        if self.strikes(Defect::AcknowledgesAndForgets, log.len()) {
            return published(index, &id, false);
        }
        let envelope = json!({
            "id": id, "type": event_type, "data": body["data"], "timestamp": "2026-01-01T00:00:00.000Z",
            "source": "small", "metadata": body["metadata"],
        });
        log.push(Arc::new(Entry { index, address, event_type, envelope: envelope.to_string() }));
        self.length.send_replace(log.len());
        published(index, &id, false)
    }
}

fn event_id(index: usize) -> String {
    format!("{EPOCH}-{index}-0")
}

fn index_of(id: &str) -> Option<usize> {
    id.strip_prefix(EPOCH)?.strip_prefix('-')?.split_once('-')?.0.parse().ok()
}

fn published(index: usize, id: &str, duplicate: bool) -> Response {
    let body = json!({"id": event_id(index), "messageId": id, "epoch": EPOCH, "duplicate": duplicate});
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

async fn to_all(State(server): State<Arc<Server>>, Json(body): Json<Value>) -> Response {
    server.publish("all".to_owned(), "MESSAGE", &body)
}

async fn to_client(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    server.publish(format!("client:{name}"), "DIRECT", &body)
}

async fn to_user(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    server.publish(format!("user:{name}"), "DIRECT", &body)
}

async fn to_topic(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    server.publish(format!("topic:{name}"), "MESSAGE", &body)
}

async fn history(
    State(server): State<Arc<Server>>,
    Query(query): Query<HashMap<String, String>>,
) -> Json<Value> {
    let after = query.get("after").and_then(|id| index_of(id)).unwrap_or(0);
    let limit = query.get("limit").and_then(|text| text.parse().ok()).unwrap_or(500);
    let log = server.log.lock().unwrap();
    let page: Vec<&Arc<Entry>> = log.iter().filter(|entry| entry.index > after).take(limit).collect();
    let newest = log.last().map_or(0, |entry| entry.index);
    let next = page.last().map(|entry| entry.index).filter(|last| *last < newest);
    let events: Vec<Value> = page
        .iter()
        .map(|entry| {
            let envelope: Value = serde_json::from_str(&entry.envelope).unwrap();
            json!({"id": event_id(entry.index), "address": entry.address, "envelope": envelope})
        })
        .collect();
    let mut body = json!({
        "epoch": EPOCH, "oldest": event_id(0), "newest": event_id(newest), "events": events,
    });
    if let Some(next) = next {
        body["next"] = json!(event_id(next));
    }
    Json(body)
}

/// One stream: whom it is for, and how far it has read the log.
struct Reader {
    server: Arc<Server>,
    wanted: Vec<String>,
    read: usize,
    written: usize,
    held: Option<Arc<Entry>>,
    length: watch::Receiver<usize>,
}

async fn stream(
    State(server): State<Arc<Server>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let name = |key: &str| query.get(key).cloned();
    let client = name("clientId").unwrap_or_else(|| "somebody".to_owned());
    let mut wanted = vec!["all".to_owned(), format!("client:{client}")];
    wanted.extend(name("userId").map(|user| format!("user:{user}")));
    let topics = name("topics").unwrap_or_default();
    wanted.extend(topics.split(',').filter(|topic| !topic.is_empty()).map(|topic| format!("topic:{topic}")));
    let newest = server.log.lock().unwrap().len();
    if server.defect == Defect::LocksOut && newest >= STRIKES_AFTER {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let asked = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let asked = asked.or_else(|| name("lastEventId"));
    let (read, resumed) = match asked.as_deref() {
        None | Some("") => (newest, "live"),
        Some("earliest") => (0, "replayed"),
        Some(id) => (resume(&server, index_of(id).unwrap_or(0), newest), "replayed"),
    };
    let asked = asked.as_deref().and_then(index_of);
    let connection = json!({
        "connectionId": format!("{client}-{newest}"), "clientId": client, "instanceId": "small",
        "instanceName": "Small", "serverTime": 0, "reconnectTime": 50, "name": "small", "enableCluster": false,
        "version": "0", "resumed": resumed, "message": "hello",
    });
    let mut hello = format!("retry: 50\nid: {}\nevent: CONNECTION\ndata: {connection}\n\n", event_id(read));
    if server.defect == Defect::KeepsFew && asked.is_some_and(|index| index < read) {
        hello += "event: GAP\ndata: {\"reason\":\"trimmed\"}\n\n";
    }
    let length = server.length.subscribe();
    server.streams.send_modify(|streams| *streams += 1);
    let reader = Reader { server, wanted, read, written: 0, held: None, length };
    let hello = futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from(hello))]);
    let events = futures_util::stream::unfold(reader, |mut reader| async move {
        if reader.server.defect == Defect::LocksOut && reader.written >= STRIKES_AFTER {
            return None;
        }
        let bytes = reader.next().await;
        Some((Ok::<_, Infallible>(bytes), reader))
    });
    let body = Body::from_stream(futures_util::StreamExt::chain(hello, events));
    ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], body)
        .into_response()
}

fn resume(server: &Server, index: usize, newest: usize) -> usize {
    match server.defect {
        Defect::ReplaysTooMuch => index.saturating_sub(3),
        Defect::JumpsSilently => newest,
        Defect::ReplaysFew | Defect::KeepsFew => index.max(newest.saturating_sub(FEW)),
        Defect::None
        | Defect::DropsOne
        | Defect::DeliversTwice
        | Defect::SwapsTwo
        | Defect::LeaksAnotherUsers
        | Defect::AcknowledgesAndForgets
        | Defect::AltersOne
        | Defect::RenamesOne
        | Defect::LocksOut => index,
    }
}

impl Reader {
    /// The bytes of what came next for this stream. Cancel-safe: nothing is moved before the bytes are made.
    async fn next(&mut self) -> Bytes {
        loop {
            let entry = self.server.log.lock().unwrap().get(self.read).cloned();
            let Some(entry) = entry else {
                // The sender lives in the server, which this reader holds.
                let read = self.read;
                self.length.wait_for(|length| *length > read).await.expect("the server is alive");
                continue;
            };
            self.read += 1;
            let text = self.treat(&entry);
            if !text.is_empty() {
                return Bytes::from(text);
            }
        }
    }

    fn treat(&mut self, entry: &Arc<Entry>) -> String {
        let server = Arc::clone(&self.server);
        let is_mine = self.wanted.contains(&entry.address);
        if !is_mine {
            let leaks =
                entry.address.starts_with("user:") && server.strikes(Defect::LeaksAnotherUsers, self.written);
            return if leaks { frame(entry) } else { String::new() };
        }
        self.written += 1;
        // Between two addresses there is no order: the held one follows the next one of its own.
        if let Some(held) = self.held.take_if(|held| held.address == entry.address) {
            return frame(entry) + &frame(&held);
        }
        if server.strikes(Defect::DropsOne, self.written) {
            return String::new();
        }
        if server.strikes(Defect::DeliversTwice, self.written) {
            return frame(entry) + &frame(entry);
        }
        if server.strikes(Defect::SwapsTwo, self.written) {
            self.held = Some(Arc::clone(entry));
            return String::new();
        }
        if server.strikes(Defect::AltersOne, self.written) {
            let envelope = entry.envelope.replacen("\"pad\":\"", "\"pad\":\"!", 1);
            return frame(&Entry { envelope, ..Entry::clone(entry) });
        }
        if server.strikes(Defect::RenamesOne, self.written) {
            return frame(&Entry { event_type: "OTHER".to_owned(), ..Entry::clone(entry) });
        }
        frame(entry)
    }
}

fn frame(entry: &Entry) -> String {
    format!("id: {}\nevent: {}\ndata: {}\n\n", event_id(entry.index), entry.event_type, entry.envelope)
}
