//! Small servers that speak as a plain EventSource endpoint, a Mercure hub and Centrifugo's `uni_sse` do by their
//! documentation, under the shipped profiles: what they keep is delivered, and what they do not is told.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::harness::{bench, in_time, serve};

/// As whom the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    Plain,
    Mercure,
    Centrifugo,
}

const SECRET: &str = "a-secret";

/// A server that runs until it is dropped.
struct Hub {
    base: String,
    _serving: JoinSet<()>,
}

struct Server {
    face: Face,
    /// Whether who comes back is given what it missed.
    keeps: bool,
    /// Channel and data, in order; the first has number 1.
    log: Mutex<Vec<(String, String)>>,
    length: watch::Sender<usize>,
}

impl Hub {
    async fn start(face: Face, keeps: bool) -> Self {
        let server = Server { face, keeps, log: Mutex::default(), length: watch::Sender::new(0) };
        let app = Router::new()
            .route("/events", get(stream))
            .route("/publish", post(publish))
            .route("/.well-known/mercure", get(stream).post(publish))
            .route("/connection/uni_sse", get(stream))
            .route("/api/publish", post(publish))
            .route("/moved", post(|| async { axum::response::Redirect::to("/health") }))
            .route("/health", get(|| async { "{}" }))
            .with_state(Arc::new(server));
        let (base, serving) = serve(app).await;
        Self { base, _serving: serving }
    }

    /// A shipped profile, shorter; its exit code, and the summary of its report.
    async fn judge(&self, profile: &str, more: &[&str]) -> (Option<i32>, Value) {
        let (code, report) = self.run(profile, more).await;
        (code, report["summary"].clone())
    }

    async fn run(&self, profile: &str, more: &[&str]) -> (Option<i32>, Value) {
        let dir = tempfile::tempdir().unwrap();
        let profile = format!("{}/scenarios/any-server/{profile}", env!("CARGO_MANIFEST_DIR"));
        let mut run = bench(&["run", "--quiet", &profile, "--target", &self.base, "--out"]);
        run.arg(dir.path()).args(["--set=clients.everybody.clients=20", "--set=duration=5s"]);
        run.args(["--set=warmup=1s", "--set=faults.0.at=2500ms"]).args(more);
        // No matter for a server whose tests share two cores.
        run.arg("--set=thresholds={}");
        let output =
            in_time(run.envs([("MERCURE_JWT", SECRET), ("CENTRIFUGO_API_KEY", SECRET)]).output()).await;
        let report = std::fs::read(dir.path().join("report.json")).unwrap_or_default();
        let report: Value = serde_json::from_slice(&report).unwrap_or_default();
        assert!(!report.is_null(), "{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code(), report)
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

/// Values of a form, or of a query, by their key.
fn values(text: &str, key: &str) -> Vec<String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| *name == key).map(|(_, value)| decoded(value)).collect()
}

async fn publish(State(server): State<Arc<Server>>, headers: HeaderMap, body: String) -> Response {
    let is_header = |name: &str, value: &str| headers.get(name).is_some_and(|found| found == value);
    let (channel, data) = match server.face {
        Face::Plain => ("all".to_owned(), body),
        Face::Mercure => {
            let is_form = is_header("content-type", "application/x-www-form-urlencoded");
            assert!(is_form && is_header("authorization", &format!("Bearer {SECRET}")), "{headers:?}");
            (values(&body, "topic").remove(0), values(&body, "data").remove(0))
        }
        Face::Centrifugo => {
            assert!(is_header("x-api-key", SECRET) && is_header("content-type", "application/json"));
            let body: Value = serde_json::from_str(&body).unwrap();
            if body["channel"].as_str().unwrap().starts_with("forbidden") {
                return Json(json!({"error": {"code": 102, "message": "unknown channel"}})).into_response();
            }
            (body["channel"].as_str().unwrap().to_owned(), body["data"].to_string())
        }
    };
    let mut log = server.log.lock().unwrap();
    log.push((channel, data));
    server.length.send_replace(log.len());
    (StatusCode::OK, "{}").into_response()
}

/// The channels that a stream asks for.
fn wanted(face: Face, query: &str) -> Vec<String> {
    match face {
        Face::Plain => vec!["all".to_owned()],
        Face::Mercure => values(query, "topic"),
        Face::Centrifugo => {
            let connect: Value = serde_json::from_str(&values(query, "cf_connect")[0]).unwrap();
            connect["subs"].as_object().unwrap().keys().cloned().collect()
        }
    }
}

async fn stream(
    State(server): State<Arc<Server>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let newest = server.log.lock().unwrap().len();
    let query = query.unwrap_or_default();
    let wanted = wanted(server.face, &query);
    let header = headers.get("last-event-id").and_then(|value| value.to_str().ok().map(str::to_owned));
    let cursor = header.or_else(|| values(&query, "last").pop());
    let read = cursor.and_then(|id| id.rsplit(':').next()?.parse().ok()).filter(|_| server.keeps);
    let hello = match server.face {
        Face::Plain => "event: ping\ndata: hello\n\n",
        Face::Mercure => ":\n",
        Face::Centrifugo => "data: {\"connect\":{\"client\":\"c\",\"ping\":25}}\n\ndata: {}\n\n",
    };
    let hello = futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from(hello))]);
    let length = server.length.subscribe();
    let reader = (server, wanted, read.unwrap_or(newest), length);
    let events = futures_util::stream::unfold(reader, |(server, wanted, mut read, mut length)| async move {
        loop {
            length.wait_for(|length| *length > read).await.ok()?;
            let (channel, data) = server.log.lock().unwrap()[read].clone();
            read += 1;
            if wanted.contains(&channel) {
                let frame = frame(server.face, read, &channel, &data);
                return Some((Ok::<_, Infallible>(Bytes::from(frame)), (server, wanted, read, length)));
            }
        }
    });
    let body = Body::from_stream(futures_util::StreamExt::chain(hello, events));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn frame(face: Face, number: usize, channel: &str, data: &str) -> String {
    match face {
        Face::Plain => format!("id: {number}\ndata: {data}\n\n"),
        Face::Mercure => format!("id: urn:uuid:{number}\ndata: {data}\n\n"),
        Face::Centrifugo => format!("data: {{\"channel\":\"{channel}\",\"pub\":{{\"data\":{data}}}}}\n\n"),
    }
}

#[track_caller]
fn assert_all_delivered(summary: &Value) {
    assert!(summary["events_ok"].as_u64().unwrap() > 500, "{summary:#}");
    assert_eq!(summary["events_ok"], summary["events_expected"], "{summary:#}");
}

fn failed(summary: &Value) -> Vec<&str> {
    summary["failed"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_endpoint_with_a_history_passes() {
    let hub = Hub::start(Face::Plain, true).await;
    let (code, summary) = hub.judge("eventsource.toml", &[]).await;
    assert_eq!(code, Some(0), "{summary:#}");
    assert_all_delivered(&summary);
}

/// The first event after a connect has no id (`ping`), and must not make the client forget its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_can_be_told_in_the_query() {
    let hub = Hub::start(Face::Plain, true).await;
    let more = ["--set=dialect.resume=query:last", "--set=publishers.main.rate=100"];
    let (code, summary) = hub.judge("eventsource.toml", &more).await;
    assert_eq!(code, Some(0), "{summary:#}");
    assert_all_delivered(&summary);
    // Nobody reads this one.
    let more = ["--set=dialect.resume=query:other", more[1]];
    let (code, summary) = hub.judge("eventsource.toml", &more).await;
    assert_eq!(code, Some(120), "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_is_sent_elsewhere_is_no_acknowledgement() {
    let hub = Hub::start(Face::Plain, true).await;
    let (code, summary) = hub.judge("eventsource.toml", &["--set=dialect.publish.path=/moved"]).await;
    assert_eq!((code, &summary["events_expected"]), (Some(121), &0.into()), "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_the_server_cannot_tell_apart_are_refused() {
    let hub = Hub::start(Face::Mercure, true).await;
    let dir = tempfile::tempdir().unwrap();
    let profile = format!("{}/scenarios/any-server/mercure.toml", env!("CARGO_MANIFEST_DIR"));
    let mut run = bench(&["run", "--quiet", &profile, "--target", &hub.base, "--out"]);
    run.arg(dir.path()).args(["--set=dialect.names.all=\"0\"", "--set=dialect.names.topic={name}"]);
    let output = in_time(run.output()).await;
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(104), "{told}");
    assert!(told.contains("all and topic:0 the same name, \"0\""), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_endpoint_without_a_history_is_convicted() {
    let hub = Hub::start(Face::Plain, false).await;
    let (code, summary) = hub.judge("eventsource.toml", &["--set=publishers.main.rate=100"]).await;
    assert_eq!(code, Some(120), "{summary:#}");
    assert!(failed(&summary).contains(&"lost"), "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mercure_hub_passes_topic_by_topic() {
    let hub = Hub::start(Face::Mercure, true).await;
    let (code, summary) = hub.judge("mercure.toml", &[]).await;
    assert_eq!(code, Some(0), "{summary:#}");
    assert_all_delivered(&summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn centrifugo_keeps_at_most_once_and_no_more() {
    let hub = Hub::start(Face::Centrifugo, true).await;
    let (code, summary) = hub.judge("centrifugo.toml", &[]).await;
    assert_eq!(code, Some(0), "{summary:#}");
    let more = ["--set=verify.delivery=at-least-once", "--set=publishers.main.rate=200"];
    let (code, summary) = hub.judge("centrifugo.toml", &more).await;
    assert_eq!(code, Some(120), "{summary:#}");
    assert!(failed(&summary).contains(&"lost"), "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_is_refused_with_200_is_no_acknowledgement() {
    let hub = Hub::start(Face::Centrifugo, true).await;
    let more = ["--set=dialect.names.topic=forbidden-{name}", "--set=publishers.main.mix={topic=1}"];
    let (code, summary) = hub.judge("centrifugo.toml", &more).await;
    // Nothing was acknowledged, so nothing is owed, and nothing is known.
    assert_eq!((code, &summary["events_expected"]), (Some(121), &0.into()), "{summary:#}");
    // Who is not told where to look takes 200 for an acknowledgement.
    let more = [more[0], more[1], "--set=dialect.publish.error=/nothing"];
    let (code, summary) = hub.judge("centrifugo.toml", &more).await;
    assert!(summary["events_expected"].as_u64().unwrap() > 100 && code != Some(0), "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_is_looked_for_in_the_wrong_place_is_told() {
    let hub = Hub::start(Face::Centrifugo, true).await;
    let (code, report) = hub.run("centrifugo.toml", &["--set=dialect.payload=/publication"]).await;
    let checks = report["verdict"]["checks"].as_array().unwrap();
    let told =
        checks.iter().find(|check| check["name"] == "nothing found").unwrap_or_else(|| panic!("{checks:#?}"));
    assert!(told["detail"].as_str().unwrap().contains("dialect.payload /publication"), "{told}");
    assert_ne!(code, Some(0), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_speak_the_dialect_too() {
    let hub = Hub::start(Face::Mercure, true).await;
    let (code, summary) = hub.judge("mercure.toml", &["--workers", "2"]).await;
    assert_eq!(code, Some(0), "{summary:#}");
    assert_all_delivered(&summary);
}
