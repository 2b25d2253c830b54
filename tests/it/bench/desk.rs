//! A small server of another make whose publishing is done in a way that a test chooses: when it answers, with which status,
//! in which order events come into its log, and whom it lets in.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::harness::serve;

/// How long a batch waits for more events.
const BATCH_WAITS: Duration = Duration::from_millis(100);

/// How a [`Desk`] takes events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways {
    /// The answer to an event that was taken.
    pub(crate) status: u16,
    /// Every so many-th event is answered with this instead.
    pub(crate) refuses: Option<(usize, u16)>,
    /// Whether an event that is refused is in the log all the same.
    pub(crate) keeps_refused: bool,
    /// So many events wait for each other, and come into the log in reverse.
    pub(crate) batch: usize,
    /// Whether an event is answered before its batch is in the log.
    pub(crate) answers_early: bool,
    /// Whether only those are let in who bring their own token: `p-sesame-0`, and `c-sesame-N` for client `desk-N`.
    pub(crate) is_locked: bool,
}

impl Ways {
    /// Each event is in the log when it is answered with 200.
    pub(crate) const PLAIN: Self = Self {
        status: 200,
        refuses: None,
        keeps_refused: false,
        batch: 1,
        answers_early: false,
        is_locked: false,
    };
}

/// A server that runs until it is dropped.
pub(crate) struct Desk {
    pub(crate) base: String,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

struct Shared {
    ways: Ways,
    taken: Mutex<Taken>,
    /// Length of the log.
    length: watch::Sender<usize>,
    /// Number of batches that are in the log.
    batches: watch::Sender<usize>,
    /// Events that are answered and not yet in the log.
    early: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Taken {
    log: Vec<String>,
    waiting: Vec<String>,
    most_waiting: usize,
    events: usize,
}

impl Desk {
    pub(crate) async fn start(ways: Ways) -> Self {
        let shared = Shared {
            ways,
            taken: Mutex::default(),
            length: watch::Sender::new(0),
            batches: watch::Sender::new(0),
            early: Mutex::default(),
        };
        let shared = Arc::new(shared);
        let app = Router::new()
            .route("/events", get(stream))
            .route("/publish", post(publish))
            .route("/ready", get(ready))
            .with_state(Arc::clone(&shared));
        let (base, serving) = serve(app).await;
        Self { base, shared, _serving: serving }
    }

    /// The largest number of events that waited for each other.
    pub(crate) fn most_waiting(&self) -> usize {
        self.shared.taken.lock().unwrap().most_waiting
    }
}

impl Shared {
    fn lets_in(&self, headers: &HeaderMap, token: &str) -> bool {
        let expected = format!("Bearer {token}");
        !self.ways.is_locked || headers.get(header::AUTHORIZATION).is_some_and(|found| *found == *expected)
    }

    /// Puts the waiting events into the log, the newest first.
    fn flush(&self, taken: &mut Taken) {
        let mut waiting = std::mem::take(&mut taken.waiting);
        waiting.reverse();
        taken.log.append(&mut waiting);
        self.length.send_replace(taken.log.len());
        self.batches.send_modify(|batches| *batches += 1);
    }

    /// Adds an event to the batch, and waits until that is in the log.
    async fn put(&self, event: String) {
        let mut batches = self.batches.subscribe();
        let mine = {
            let mut taken = self.taken.lock().unwrap();
            let mine = *batches.borrow_and_update();
            taken.waiting.push(event);
            taken.most_waiting = taken.most_waiting.max(taken.waiting.len());
            if taken.waiting.len() >= self.ways.batch {
                self.flush(&mut taken);
            }
            mine
        };
        if tokio::time::timeout(BATCH_WAITS, batches.wait_for(|batches| *batches > mine)).await.is_err() {
            let mut taken = self.taken.lock().unwrap();
            if *self.batches.borrow() == mine {
                self.flush(&mut taken);
            }
        }
    }
}

async fn ready(State(desk): State<Arc<Shared>>, headers: HeaderMap) -> StatusCode {
    if desk.lets_in(&headers, "p-sesame-0") { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
}

async fn publish(State(desk): State<Arc<Shared>>, headers: HeaderMap, event: String) -> StatusCode {
    if !desk.lets_in(&headers, "p-sesame-0") {
        return StatusCode::UNAUTHORIZED;
    }
    let number = {
        let mut taken = desk.taken.lock().unwrap();
        taken.events += 1;
        taken.events
    };
    let refused =
        desk.ways.refuses.filter(|(every, _)| number.is_multiple_of(*every)).map(|(_, status)| status);
    if refused.is_none() || desk.ways.keeps_refused {
        let putter = Arc::clone(&desk);
        let putting = async move { putter.put(event).await };
        if desk.ways.answers_early {
            desk.early.lock().unwrap().spawn(putting);
        } else {
            putting.await;
        }
    }
    StatusCode::from_u16(refused.unwrap_or(desk.ways.status)).unwrap()
}

async fn stream(State(desk): State<Arc<Shared>>, RawQuery(client): RawQuery, headers: HeaderMap) -> Response {
    let number = client.as_deref().and_then(|client| client.strip_prefix("client=desk-")).unwrap_or_default();
    if !desk.lets_in(&headers, &format!("c-sesame-{number}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let cursor = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let newest = desk.taken.lock().unwrap().log.len();
    let length = desk.length.subscribe();
    let reader = (desk, cursor.unwrap_or(newest), length);
    let events = futures_util::stream::unfold(reader, |(desk, mut read, mut length)| async move {
        length.wait_for(|length| *length > read).await.ok()?;
        let data = desk.taken.lock().unwrap().log[read].clone();
        read += 1;
        let frame = format!("id: {read}\ndata: {data}\n\n");
        Some((Ok::<_, Infallible>(Bytes::from(frame)), (desk, read, length)))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}
