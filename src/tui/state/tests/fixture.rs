//! For tests only: moments, readings, parts of lists, events and a bench run, as nodes and the bench send them.

use std::time::Duration;

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};

use crate::protocol::api::{ConnectionList, ConnectionRow, HistogramDump, NodeMetrics, Servers};
use crate::tui::state::bench_run::{Run, RunUpdate};
use crate::tui::state::connections::Page;
use crate::tui::state::events::ReceivedEvent;
use crate::tui::state::message::{Answer, Failed, Message, Polled};
use crate::tui::state::moment::Moment;
use crate::tui::state::reading::{FetchError, Latency, Reading};
use crate::tui::text::sanitize::SafeText;
use crate::tui::text::url::NodeUrl;

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

/// The answer of a node that started `scale` hours ago and serves `scale` thousand streams. Built from JSON, so
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

/// The reading of a node `seconds` after the console's start: counters grow evenly.
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
pub(crate) fn failed(number: u16, seconds: f64, error: FetchError, tries: u32) -> Message {
    let outcome = Err(Failed { error, tries, retry_in: Duration::from_millis(2400) });
    Message::Polled(Box::new(Polled { url: url(number), at: at(seconds), outcome }))
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

pub(crate) fn received_event(seconds: f64, id: &str) -> ReceivedEvent {
    let payload = r#"{"order":17,"state":"paid"}"#;
    ReceivedEvent {
        number: 0,
        at: at(seconds),
        id: SafeText::new(id),
        kind: SafeText::new("MESSAGE"),
        source: SafeText::new("node-1"),
        message: SafeText::new("01K4A7ZQ0V"),
        payload: SafeText::new(payload),
        lines: ["{", "  \"order\": 17,", "  \"state\": \"paid\"", "}"].map(SafeText::new).to_vec(),
        bytes: 212,
    }
}

/// A run of the bench after seven tenths of its time: one fault is over, one is at work, one is planned.
pub(crate) fn run() -> Run {
    let mut run = Run::new("runs/fanout-failover");
    let fault = |name: &str, from: f64, until: f64| serde_json::json!({ "name": name, "title": name, "planned_ms": from, "planned_heal_ms": until });
    let mut tell = |line: serde_json::Value| {
        let line = serde_json::from_value(line).unwrap();
        run.take(RunUpdate::Line(Box::new(line)));
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

/// A latency that is worse the larger `scale` is.
pub(crate) fn slow(scale: u64) -> Latency {
    let mut metrics = metrics("node-1", 1);
    metrics.delivery_latency = dump((1..=100).map(|n| n * n * scale * 2));
    Reading::new(metrics, Err(FetchError::Refused)).latency
}
