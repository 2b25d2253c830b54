//! A small broadcast server that is no node: one log in memory, streams at `/events`, publishes at `/publish`. What it
//! sends first, how it wraps its events, how it compresses, and what it answers instead of a stream, is chosen by a
//! [`Manner`].

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::harness::{Lab, serve};

/// Makes the bytes of an event from its number and its payload.
pub(super) type Frame = fn(usize, &str) -> Vec<u8>;

/// How the server behaves.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    /// The answer instead of a stream, to those who get one.
    pub(super) refuses: fn() -> Option<Response>,
    /// What each stream begins with.
    pub(super) hello: Bytes,
    /// Makes each event.
    pub(super) frame: Frame,
    /// Compresses for those who ask for it, and flushes after so many events.
    pub(super) gzip: Option<usize>,
}

impl Manner {
    /// Events with ids, after a comment.
    pub(super) fn honest() -> Self {
        let frame = |number, payload: &str| format!("id: {number}\ndata: {payload}\n\n").into_bytes();
        Self { refuses: || None, hello: Bytes::from_static(b": hi\n\n"), frame, gzip: None }
    }

    pub(super) fn refusing(refuses: fn() -> Option<Response>) -> Self {
        Self { refuses, ..Self::honest() }
    }

    pub(super) fn greeting(hello: impl Into<Bytes>) -> Self {
        Self { hello: hello.into(), ..Self::honest() }
    }
}

/// A server that runs until it is dropped.
pub(super) struct PlainServer {
    pub(super) base: String,
    _serving: JoinSet<()>,
}

struct Server {
    manner: Manner,
    log: Mutex<Vec<String>>,
    length: watch::Sender<usize>,
}

impl PlainServer {
    pub(super) async fn start(manner: Manner) -> Self {
        let server = Server { manner, log: Mutex::default(), length: watch::Sender::new(0) };
        let app = Router::new()
            .route("/events", get(stream))
            .route("/publish", post(publish))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::new(server));
        let (base, serving) = serve(app).await;
        Self { base, _serving: serving }
    }

    /// A run of two seconds against it, with more keys of a group of six clients, of the dialect, and more sections.
    pub(super) fn lab(&self, clients: &str, dialect: &str, more: &str) -> Lab {
        Lab::new(&format!(
            r#"
schema = 1
name = "plain"
seed = 3
duration = "2s"

[cluster]
attach = ["{}"]

[dialect]
stream = "/events"
{dialect}
[dialect.publish]
path = "/publish"

[clients.all]
clients = 6
{clients}

[publishers.main]
rate = 50
mix = {{ broadcast = 1 }}

[verify]
quiesce = {{ idle = "2s", timeout = "30s" }}

[thresholds]
generator_lag = ["p(99)<60s"]

{more}
"#,
            self.base
        ))
    }
}

async fn publish(State(server): State<Arc<Server>>, body: String) -> StatusCode {
    let mut log = server.log.lock().unwrap();
    log.push(body);
    server.length.send_replace(log.len());
    StatusCode::OK
}

async fn stream(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    if let Some(refusal) = (server.manner.refuses)() {
        return refusal;
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let newest = server.log.lock().unwrap().len();
    let read = text(header::HeaderName::from_static("last-event-id")).parse().unwrap_or(newest);
    let is_packed = server.manner.gzip.is_some() && text(header::ACCEPT_ENCODING).contains("gzip");
    let packer = is_packed.then(|| GzEncoder::new(Vec::new(), Compression::default()));
    let length = server.length.subscribe();
    let reader = Reader { server, read, written: 0, length, packer };
    let bytes = futures_util::stream::unfold(reader, |mut reader| async move {
        let bytes = reader.next().await;
        Some((Ok::<_, Infallible>(bytes), reader))
    });
    let bytes = bytes.filter(|bytes| std::future::ready(!bytes.as_ref().is_ok_and(Bytes::is_empty)));
    let mut response =
        ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(bytes)).into_response();
    if is_packed {
        response.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
    }
    response
}

/// One stream and how far it has read the log.
struct Reader {
    server: Arc<Server>,
    read: usize,
    written: usize,
    length: watch::Receiver<usize>,
    packer: Option<GzEncoder<Vec<u8>>>,
}

impl Reader {
    async fn next(&mut self) -> Bytes {
        let plain = if self.written == 0 {
            self.server.manner.hello.to_vec()
        } else {
            let read = self.read;
            self.length.wait_for(|length| *length > read).await.expect("the server is alive");
            self.read += 1;
            (self.server.manner.frame)(self.read, &self.server.log.lock().unwrap()[read])
        };
        self.written += 1;
        let Some(packer) = &mut self.packer else { return plain.into() };
        packer.write_all(&plain).unwrap();
        let every = self.server.manner.gzip.unwrap_or(1);
        if self.written == 1 || self.written.is_multiple_of(every) {
            packer.flush().unwrap();
        }
        std::mem::take(packer.get_mut()).into()
    }
}
