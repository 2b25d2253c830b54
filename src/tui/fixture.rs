//! For tests only: readings, moments, a cluster in mixed states, and small HTTP servers that answer, hang or fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use ratatui::layout::Size;
use tokio::net::TcpListener;

use super::listing::{Listed, Page};
use super::message::{Answer, Effect, Failed, Message, Moment, Polled};
use super::model::Model;
use super::plain::Plain;
use super::reading::{Reading, Trouble};
use super::run::{Run, RunNews};
use super::tail::{Arrival, Batch, Link};
use super::theme::{Theme, ThemeName};
use super::update::update;
use super::url::NodeUrl;
use crate::protocol::api::{ConnectionList, ConnectionRow, HistogramDump, NodeMetrics, Servers};
use crate::runtime::Tasks;

pub(crate) const INTERVAL: Duration = Duration::from_secs(1);
/// 2026-09-01 14:00:00 UTC.
const START: Duration = Duration::from_secs(1_788_271_200);

/// So many seconds after the console's start.
pub(crate) fn at(seconds: f64) -> Moment {
    let elapsed = Duration::from_secs_f64(seconds);
    Moment { elapsed, unix: START + elapsed }
}

/// The address of the node with this number.
pub(crate) fn url(number: u16) -> NodeUrl {
    format!("http://127.0.0.1:{}", 8080 + number).parse().unwrap()
}

/// A histogram of these microseconds, as a node sends it.
pub(crate) fn dump(values: impl IntoIterator<Item = u64>) -> HistogramDump {
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    values.into_iter().for_each(|value| histogram.record(value).unwrap());
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(&histogram, &mut bytes).unwrap();
    HistogramDump {
        count: histogram.len(),
        p50_us: histogram.value_at_quantile(0.5),
        p99_us: histogram.value_at_quantile(0.99),
        max_us: histogram.max(),
        hdr: base64::engine::general_purpose::STANDARD.encode(bytes),
    }
}

/// What a node that started `scale` hours before and serves `scale` thousand streams answers. Built from JSON, so
/// that it holds the names on the wire as well.
pub(crate) fn metrics(id: &str, scale: u64) -> NodeMetrics {
    let latency = dump((1..=100).map(|n| n * n * scale));
    let json = serde_json::json!({
        "instanceId": id,
        "instanceName": format!("{id} in the rack"),
        "uptime": 3600 * scale + 700,
        "activeConnections": 15_040 * scale,
        "totalMessagesSent": 1_000_000 * scale,
        "messagesPerMinute": 6_000 * scale,
        "memoryUsage": {"max": 8_000_000_000_u64, "total": 2_000_000_000, "used": 433_000_000 * scale, "free": 1},
        "state": "ready",
        "version": "0.1.0",
        "totalMessagesPublished": 70_000 * scale,
        "totalMessagesTailed": 71_000 * scale,
        "tailLag": scale - 1,
        "totalBytesSent": 300_000_000 * scale,
        "totalConnections": 20_000 * scale,
        "gaps": {"trimmed": 0, "epoch": 0},
        "closed": {"client": 4_960 * scale, "slow": 4 * (scale - 1)},
        "deliveryLatency": latency,
        "cpuSeconds": 400.0 * scale as f64,
        "openFiles": 15_060 * scale,
        "log": {
            "broker": "file", "epoch": "k3f9ab", "length": 1_000_000, "bytes": 312_000_000,
            "oldest": "k3f9ab-1788267600000-0", "newest": "k3f9ab-1788271200000-7",
            "mailboxes": 12, "mailboxMessages": 340, "rttUs": 380 + 30 * scale,
            "server": {
                "place": "127.0.0.1:6379", "version": "7.2.4", "uptime": 93_000, "memory": 412_000_000,
                "memoryMax": 1_073_741_824, "clients": 12, "commandsPerSecond": 4_120, "replicas": 1, "saves": true,
            },
        },
        "windowFrames": 200_000,
        "windowBytes": 63_000_000,
    });
    serde_json::from_value(json).unwrap()
}

/// A roster of these nodes and addresses.
pub(crate) fn servers(nodes: &[(&str, &str)]) -> Servers {
    let server = |(id, url): &(&str, &str)| {
        serde_json::json!({
            "instanceId": id, "instanceName": id, "url": url, "state": "ready", "connections": 1, "lag": 0,
            "version": "0.1.0", "startedAt": 1_788_260_000_000_u64,
        })
    };
    let all: Vec<_> = nodes.iter().map(server).collect();
    let json = serde_json::json!({
        "currentInstance": "node-1", "totalServers": all.len(), "availableServers": all,
    });
    serde_json::from_value(json).unwrap()
}

/// What a node has to say so many seconds after the console's start: counters grow, evenly.
pub(crate) fn reading(id: &str, seconds: f64) -> Reading {
    let scale = id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(1);
    let mut reading = Reading::new(metrics(id, scale), Ok(servers(&[])));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a test's seconds are few")]
    let grown = |per_second: u64| (seconds * per_second as f64) as u64;
    reading.uptime += Duration::from_secs_f64(seconds);
    reading.counters.published += grown(812 * scale);
    reading.counters.sent += grown(36_000 * scale);
    reading.counters.tailed += grown(2_430);
    reading.counters.bytes += grown(11_000_000 * scale);
    reading.counters.cpu_seconds += 0.21 * scale as f64 * seconds;
    reading
}

/// A node answered with this.
pub(crate) fn answered(number: u16, seconds: f64, reading: Reading) -> Message {
    let rtt = Duration::from_micros(380 + 30 * u64::from(number));
    let polled = Polled { url: url(number), at: at(seconds), outcome: Ok(Answer { rtt, reading }) };
    Message::Polled(Box::new(polled))
}

/// A node did not answer.
pub(crate) fn failed(number: u16, seconds: f64, trouble: Trouble, tries: u32) -> Message {
    let outcome = Err(Failed { trouble, tries, retry_in: Duration::from_millis(2400) });
    Message::Polled(Box::new(Polled { url: url(number), at: at(seconds), outcome }))
}

/// A console that was told of these nodes and saw nothing yet, on a screen of this size.
pub(crate) fn console(nodes: &[u16], size: (u16, u16)) -> Model {
    let urls: Vec<_> = nodes.iter().map(|number| url(*number)).collect();
    let mut model = Model::new(&urls, INTERVAL, Theme::new(ThemeName::Dark, false));
    update(&mut model, Message::Resized(Size { width: size.0, height: size.1 }));
    update(&mut model, Message::Tick(at(0.1)));
    model
}

/// A connection of the list.
pub(crate) fn connection(number: usize) -> ConnectionRow {
    let state = ["live", "live", "slow", "replaying", "closing"][number % 5];
    serde_json::from_value(serde_json::json!({
        "connectionId": format!("c-{number:04}"), "clientId": format!("u-{:05}", number * 37 % 100_000),
        "userId": number.is_multiple_of(3).then(|| format!("user-{number}")),
        "topics": if number.is_multiple_of(2) { vec!["orders", "prices"] } else { vec!["chat"] },
        "instanceId": format!("node-{}", number % 3 + 1), "remote": format!("10.0.0.{}", number % 250),
        "connectedAt": 1_788_271_200_000_u64 - 61_000 * number as u64, "lastEventId": "k3f9ab-1788271200000-7",
        "sent": 21_000 + 7 * number, "bytes": 1_200_000 + 4_000 * number, "lag": 412_usize.saturating_sub(3 * number),
        "state": state,
    }))
    .unwrap()
}

/// A page of the list.
pub(crate) fn page(rows: std::ops::Range<usize>, matched: u64) -> Page {
    let rows: Vec<_> = rows.map(connection).collect();
    let list = serde_json::json!({
        "instanceId": "node-1", "instanceName": "node-1", "totalConnections": 45_120, "matched": matched, "page": 1,
        "limit": rows.len(), "clients": rows,
    });
    let list: ConnectionList = serde_json::from_value(list).unwrap();
    Page::new(0, list)
}

/// An event.
pub(crate) fn arrival(seconds: f64, id: &str) -> Arrival {
    let payload = r#"{"order":17,"state":"paid"}"#;
    Arrival {
        number: 0,
        at: at(seconds),
        id: Plain::new(id),
        kind: Plain::new("MESSAGE"),
        source: Plain::new("node-1"),
        message: Plain::new("01K4A7ZQ0V"),
        payload: Plain::new(payload),
        lines: ["{", "  \"order\": 17,", "  \"state\": \"paid\"", "}"].map(Plain::new).to_vec(),
        bytes: 212,
    }
}

/// Gives the console the lists that it asked for.
pub(crate) fn fill(model: &mut Model) {
    if let Some(query) = model.asked_list.clone() {
        let rows = query.offset..query.offset + query.limit.min(200);
        let mut page = page(rows, 31_204);
        page.offset = query.offset;
        let listed = Listed { query, at: model.now(), outcome: Ok(Arc::new(page)) };
        update(model, Message::Listed(Box::new(listed)));
    }
    let now = model.now();
    let events =
        (0..18).map(|number| Arrival { at: now, ..arrival(0.0, &format!("k3f9ab-1788271260{number:03}-0")) });
    let events = events.collect();
    let batch = Batch { at: now, link: Link::Open, events, left_out: 182, per_second: 2_000.0 };
    update(model, Message::Streamed(Box::new(batch)));
}

/// A run of the bench after seven tenths of its time: one fault is over, one is at work, one is planned.
pub(crate) fn run() -> Run {
    let mut run = Run::new("runs/fanout-failover");
    let fault = |name: &str, from: f64, until: f64| serde_json::json!({ "name": name, "title": name, "planned_ms": from, "planned_heal_ms": until });
    let mut tell = |line: serde_json::Value| {
        let line = serde_json::from_value(line).unwrap();
        run.take(RunNews::Line(Box::new(line)));
    };
    tell(serde_json::json!({
        "kind": "begin", "schema": 1, "scenario": "fanout-failover", "description": "ten thousand readers, a failover",
        "seed": 7, "duration_ms": 60_000, "clients": 10_000, "nodes": ["n1", "n2", "n3"],
        "faults": [
            fault("kill-n2", 15_000.0, 20_000.0), fault("redis-stop", 40_000.0, 45_000.0),
            fault("rolling-restart", 50_000.0, 55_000.0),
        ],
    }));
    for second in 1..=42_u64 {
        let wave = 1.0 + 0.3 * (second as f64 / 5.0).sin();
        let healed: &[&str] = if second >= 20 { &["kill-n2"] } else { &[] };
        let active: &[&str] = if second >= 40 { &["redis-stop"] } else { &[] };
        tell(serde_json::json!({
            "kind": "second", "elapsed_ms": second * 1_000, "phase": if second >= 40 { "fault:redis-stop" } else { "steady" },
            "connected": 9_990, "connections": [3_330, 3_330, 3_330], "delivered": second * 100_000,
            "delivered_per_s": 100_000.0 * wave, "published": second * 10, "published_per_s": 10.0, "reconnects": 3_330,
            "p50_ms": 2.0 * wave, "p99_ms": 14.0 * wave, "max_ms": 80.0, "faults": active, "healed": healed,
        }));
    }
    run
}

/// Keys as they are typed; `⇥` is Tab, `⎋` is Escape, `⏎` is Enter, `←` and `→` are themselves, `␃` is Control-C.
pub(crate) fn keys(model: &mut Model, keys: &str) -> Vec<Effect> {
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    let key = |key| match key {
        '⇥' => (KeyCode::Tab, KeyModifiers::NONE),
        '⎋' => (KeyCode::Esc, KeyModifiers::NONE),
        '⏎' => (KeyCode::Enter, KeyModifiers::NONE),
        '←' => (KeyCode::Left, KeyModifiers::NONE),
        '→' => (KeyCode::Right, KeyModifiers::NONE),
        '␃' => (KeyCode::Char('c'), KeyModifiers::CONTROL),
        key => (KeyCode::Char(key), KeyModifiers::NONE),
    };
    let mut effects = Vec::new();
    for (code, modifiers) in keys.chars().map(key) {
        effects.extend(update(model, Message::Key(KeyEvent::new(code, modifiers))));
    }
    effects
}

/// Four nodes after a minute and a half: one is up, one drains, one fell silent, one refuses. Loads go up and down,
/// so that there is something to see.
pub(crate) fn mixed() -> Model {
    let mut model = console(&[1, 2, 3, 10], (120, 40));
    let mut sent = [0_u64; 4];
    for second in 1..=90_u32 {
        let seconds = f64::from(second);
        for (index, number) in [1_u16, 2, 3].into_iter().enumerate() {
            if number == 3 && second > 84 {
                update(
                    &mut model,
                    failed(3, seconds, Trouble::Timeout(Duration::from_millis(800)), second - 84),
                );
                continue;
            }
            let mut reading = reading(&format!("node-{number}"), seconds);
            let wave = 1.0 + 0.4 * (seconds / 9.0 + f64::from(number)).sin();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a wave around 20,000"
            )]
            let load = (20_000.0 * wave * f64::from(number)) as u64;
            sent[index] += load;
            reading.counters.sent = sent[index];
            if number == 2 && second > 60 {
                reading.serving = super::reading::Serving::Draining;
                reading.gaps = vec![(Plain::new("trimmed"), 3)];
            }
            if second % 7 == 0 {
                reading.latency = slow(u64::from(number));
            }
            update(&mut model, answered(number, seconds, reading));
        }
        if second < 30 {
            update(&mut model, answered(10, seconds, reading("node-10", seconds)));
        } else if second % 5 == 0 {
            update(&mut model, failed(10, seconds, Trouble::Refused, (second - 30) / 5 + 1));
        }
        update(&mut model, Message::Tick(at(seconds + 0.05)));
    }
    fill(&mut model);
    model
}

fn slow(scale: u64) -> super::reading::Latency {
    let mut metrics = metrics("node-1", 1);
    metrics.delivery_latency = dump((1..=100).map(|n| n * n * scale * 2));
    Reading::new(metrics, Err(Trouble::Refused)).latency
}

/// A server on a free port of this machine, and how often it was asked for metrics.
pub(crate) struct Server {
    pub(crate) url: NodeUrl,
    asked: Arc<AtomicUsize>,
    tasks: Tasks,
}

impl Server {
    /// A node that is up.
    pub(crate) async fn up(id: &str) -> Self {
        Self::node(id, Some(Vec::new())).await
    }

    /// A node that does not tell its roster.
    pub(crate) async fn without_roster(id: &str) -> Self {
        Self::node(id, None).await
    }

    /// A node whose roster names these beside itself.
    pub(crate) async fn node(id: &str, roster: Option<Vec<(String, NodeUrl)>>) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let (id, counter) = (id.to_owned(), Arc::clone(&asked));
        let metrics = move || {
            let seen = counter.fetch_add(1, Ordering::SeqCst) as u64;
            let mut metrics = metrics(&id, 1);
            metrics.total_messages_sent += seen * 1000;
            metrics.uptime += seen;
            async move { serde_json::to_string(&metrics).unwrap() }
        };
        let mut app = Router::new().route("/api/sse/metrics", get(metrics));
        if let Some(roster) = roster {
            let rows: Vec<_> = roster.iter().map(|(id, url)| (id.clone(), url.to_string())).collect();
            let answer = move || {
                let rows: Vec<_> = rows.iter().map(|(id, url)| (id.as_str(), url.as_str())).collect();
                let body = serde_json::to_string(&servers(&rows)).unwrap();
                async move { body }
            };
            app = app.route("/api/sse/servers", get(answer));
        }
        Self::serve(app, asked).await
    }

    /// A node with so many connections.
    pub(crate) async fn listing(count: usize) -> Self {
        use axum::extract::Query;
        type Asked = Query<std::collections::HashMap<String, String>>;
        let answer = move |Query(query): Asked| async move {
            let number = |key: &str| query.get(key).and_then(|text| text.parse().ok()).unwrap_or(0);
            let (from, limit): (usize, usize) = (number("offset"), number("limit"));
            let rows: Vec<_> = (from..(from + limit).min(count)).map(connection).collect();
            serde_json::json!({
                "instanceId": "node-1", "instanceName": "node-1", "totalConnections": count, "matched": count,
                "page": 1, "limit": limit, "clients": rows,
            })
            .to_string()
        };
        Self::serve(Router::new().route("/api/sse/connections", get(answer)), Arc::default()).await
    }

    /// Answers everything with this.
    pub(crate) async fn answering(status: u16, body: &str) -> Self {
        let (status, body) = (StatusCode::from_u16(status).unwrap(), body.to_owned());
        Self::serve(Router::new().fallback(move || async move { (status, body) }), Arc::default()).await
    }

    /// Accepts, and never answers.
    pub(crate) async fn hanging() -> Self {
        Self::serve(Router::new().fallback(std::future::pending::<StatusCode>), Arc::default()).await
    }

    async fn serve(app: Router, asked: Arc<AtomicUsize>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let tasks = Tasks::new();
        let token = tasks.token().clone();
        tasks.spawn("server", async move {
            tokio::select! {
                served = axum::serve(listener, app).into_future() => served.unwrap(),
                () = token.cancelled() => {}
            }
        });
        Self { url, asked, tasks }
    }

    /// How often it was asked for metrics.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Nobody listens any more.
    pub(crate) async fn stop(self) {
        self.tasks.token().cancel();
        self.tasks.join(Duration::from_secs(10)).await.unwrap();
    }
}
