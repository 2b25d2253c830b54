//! A plain SSE server of which a test decides how each event is written and where a stream that comes back goes on. One
//! log in memory, names of channels in the query, `Last-Event-ID`. Read [`OddServer::start`] first.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::harness::{Lab, Ran, check_evidence, serve};

/// Everybody and three rooms; all lose their connection once.
const SCENARIO: &str = r#"
schema = 1
name = "odd"
seed = 7
duration = "2s"

[cluster]
attach = ["SERVER"]

[dialect]
stream = "/events?names={addresses}"

[dialect.names]
all = "all"
topic = "room-{name}"

[dialect.publish]
path = "/publish/{name}"

[clients.everybody]
clients = 12
subscribe = { topics = ["{i%3}"] }
reconnect = { policy = "browser", max_delay = "200ms" }

[publishers.main]
rate = 150
mix = { broadcast = 1, topic = 1 }
payload = 300

[[faults]]
at = "1s"
type = "reconnect-storm"

[verify]
delivery = "exactly-once"
order = "none"
quiesce = { idle = "1s", timeout = "15s" }

[thresholds]
generator_lag = ["p(99)<60s"]
"#;

/// What all lose their connection by.
const STORM: &str = "[[faults]]\nat = \"1s\"\ntype = \"reconnect-storm\"\n";

/// An event on its way into a stream.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    /// Number among the deliveries of all streams, from 1.
    pub(crate) count: usize,
    /// Number of the stream, from 1, in the order of connecting.
    pub(crate) stream: usize,
    /// Position in the log, from 1.
    pub(crate) id: usize,
    pub(crate) name: &'a str,
    pub(crate) data: &'a str,
    /// The last position when the stream began.
    pub(crate) newest: usize,
    /// Whether it was in the log before the stream began.
    pub(crate) is_replay: bool,
}

impl Delivery<'_> {
    /// Whether it is one of every `n`.
    pub(crate) fn is_one_of(&self, n: usize) -> bool {
        self.count.is_multiple_of(n)
    }
}

/// As an honest server writes it.
pub(crate) fn honest(event: &Delivery<'_>) -> String {
    written(event.id, "", event.data)
}

/// With this type; none where it is empty. In as many lines as the data have.
pub(crate) fn written(id: usize, kind: &str, data: &str) -> String {
    let kind = if kind.is_empty() { String::new() } else { format!("event: {kind}\n") };
    let data: String = data.lines().map(|line| format!("data: {line}\n")).collect();
    format!("id: {id}\n{kind}{data}\n")
}

type Frame = Box<dyn Fn(&Delivery<'_>) -> String + Send + Sync>;
/// Where a stream with this cursor goes on: the last event that it is taken to have.
type Resume = Box<dyn Fn(usize) -> usize + Send + Sync>;

/// A server that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct OddServer {
    base: String,
    _serving: JoinSet<()>,
}

struct Server {
    frame: Frame,
    resume: Resume,
    log: Mutex<Vec<(String, String)>>,
    length: watch::Sender<usize>,
    deliveries: AtomicUsize,
    streams: AtomicUsize,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl OddServer {
    /// A server that writes its events so.
    pub(crate) async fn start(frame: impl Fn(&Delivery<'_>) -> String + Send + Sync + 'static) -> Self {
        Self::resuming(frame, |id| id).await
    }

    /// A server that also decides where a stream goes on.
    pub(crate) async fn resuming(
        frame: impl Fn(&Delivery<'_>) -> String + Send + Sync + 'static,
        resume: impl Fn(usize) -> usize + Send + Sync + 'static,
    ) -> Self {
        let server = Server {
            frame: Box::new(frame),
            resume: Box::new(resume),
            log: Mutex::default(),
            length: watch::Sender::new(0),
            deliveries: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
        };
        let app = Router::new()
            .route("/events", get(stream))
            .route("/publish/{name}", post(publish))
            .with_state(Arc::new(server));
        let (base, serving) = serve(app).await;
        Self { base, _serving: serving }
    }

    /// The scenario above, with these settings.
    pub(crate) async fn judge(&self, set: &[&str]) -> Ran {
        self.judge_with(set, &[]).await
    }

    /// The scenario above without the reconnect storm.
    pub(crate) async fn judge_undisturbed(&self, set: &[&str]) -> Ran {
        self.run(&SCENARIO.replace(STORM, ""), set, &[]).await
    }

    /// The scenario above, with these settings and arguments.
    pub(crate) async fn judge_with(&self, set: &[&str], more: &[&str]) -> Ran {
        self.run(SCENARIO, set, more).await
    }

    async fn run(&self, scenario: &str, set: &[&str], more: &[&str]) -> Ran {
        let lab = Lab::new(&scenario.replace("SERVER", &self.base));
        let set: Vec<String> = set.iter().map(|set| format!("--set={set}")).collect();
        let args: Vec<&str> = set.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let ran = lab.run(&args).await;
        assert!(ran.report.is_object(), "no report\n{}\n{}", ran.stdout, ran.stderr);
        check_evidence(&lab, &ran).await;
        ran
    }
}

/// The names of all checks that failed.
pub(crate) fn failed(ran: &Ran) -> Vec<&str> {
    let failed = ran.report["summary"]["failed"].as_array().unwrap();
    failed.iter().filter_map(serde_json::Value::as_str).collect()
}

/// Nothing is wrong with it.
#[track_caller]
pub(crate) fn acquitted(ran: &Ran, what: &str) {
    let summary = &ran.report["summary"];
    assert_eq!(ran.code, Some(0), "{what}\n{}", ran.stdout);
    assert!(summary["events_ok"].as_u64().unwrap() > 500, "{what}: {summary:#}");
}

/// It failed by these names, and no other.
#[track_caller]
pub(crate) fn convicted(ran: &Ran, names: &[&str], what: &str) {
    assert_eq!((ran.code, failed(ran).as_slice()), (Some(120), names), "{what}\n{}", ran.stdout);
}

/// A finding says it in these words, with this evidence and what to change.
#[track_caller]
pub(crate) fn diagnosed(ran: &Ran, what: &str, evidence: &[&str]) {
    let findings = ran.report["diagnosis"].as_array().unwrap();
    let text = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let found = findings.iter().find(|finding| text(finding, "what").starts_with(what));
    let found = found.unwrap_or_else(|| panic!("no {what:?} in {findings:#?}"));
    for word in evidence {
        assert!(text(found, "evidence").contains(word), "{word:?} is not in {found:#}");
    }
    assert!(!text(found, "remedy").is_empty(), "{found:#}");
}

async fn publish(State(server): State<Arc<Server>>, Path(name): Path<String>, body: String) -> StatusCode {
    let mut log = server.log.lock().unwrap();
    log.push((name, body));
    server.length.send_replace(log.len());
    StatusCode::OK
}

async fn stream(
    State(server): State<Arc<Server>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let newest = server.log.lock().unwrap().len();
    let query = query.unwrap_or_default();
    let names = query.split_once("names=").map(|(_, names)| names.split('&').next().unwrap_or_default());
    let wanted: Vec<String> = names.unwrap_or_default().split(',').map(str::to_owned).collect();
    let cursor = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let read = cursor.map_or(newest, |cursor| (server.resume)(cursor));
    let number = server.streams.fetch_add(1, Ordering::Relaxed) + 1;
    let length = server.length.subscribe();
    let reader = (server, wanted, read, length);
    let events =
        futures_util::stream::unfold(reader, move |(server, wanted, mut read, mut length)| async move {
            loop {
                length.wait_for(|length| *length > read).await.ok()?;
                let (name, data) = server.log.lock().unwrap()[read].clone();
                read += 1;
                if !wanted.contains(&name) {
                    continue;
                }
                let count = server.deliveries.fetch_add(1, Ordering::Relaxed) + 1;
                let (name, data, is_replay) = (&*name, &*data, read <= newest);
                let event = Delivery { count, stream: number, id: read, name, data, newest, is_replay };
                let text = (server.frame)(&event);
                if !text.is_empty() {
                    return Some((Ok::<_, Infallible>(Bytes::from(text)), (server, wanted, read, length)));
                }
            }
        });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}
