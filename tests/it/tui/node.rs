//! A small server that answers the console as a node does.

use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use sse_lab::runtime::Tasks;
use tokio::net::TcpListener;

use super::terminal::LIMIT;

/// A node, as far as the console can see.
pub(super) struct Node {
    pub(super) url: String,
    tasks: Tasks,
}

impl Node {
    /// Answers, and knows these nodes beside itself.
    pub(super) async fn up(id: &'static str, roster: Vec<(&'static str, String)>) -> Self {
        let started = Instant::now();
        let servers = serde_json::json!({
            "currentInstance": id,
            "totalServers": roster.len(),
            "availableServers": roster.iter().map(|(id, url)| serde_json::json!({
                "instanceId": id, "instanceName": id, "url": url, "state": "ready", "connections": 1, "lag": 0,
                "version": "0.1.0", "startedAt": 1,
            })).collect::<Vec<_>>(),
        });
        let app = Router::new()
            .route("/api/sse/metrics", get(move || async move { metrics(id, started.elapsed()).to_string() }))
            .route("/api/sse/servers", get(move || async move { servers.to_string() }));
        Self::serve(app).await
    }

    /// Accepts, and never answers.
    pub(super) async fn hanging() -> Self {
        Self::serve(Router::new().fallback(std::future::pending::<String>)).await
    }

    async fn serve(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tasks = Tasks::new();
        let token = tasks.token().clone();
        tasks.spawn("node", async move {
            tokio::select! {
                served = axum::serve(listener, app).into_future() => served.unwrap(),
                () = token.cancelled() => {}
            }
        });
        Self { url, tasks }
    }

    /// Nobody listens any more.
    pub(super) async fn stop(self) -> String {
        self.tasks.token().cancel();
        self.tasks.join(LIMIT).await.unwrap();
        self.url
    }
}

pub(super) fn metrics(id: &str, age: Duration) -> serde_json::Value {
    let mut latency = Histogram::<u64>::new(3).unwrap();
    (1..=200_u64).for_each(|n| latency.record(n * 50).unwrap());
    let mut hdr = Vec::new();
    V2DeflateSerializer::new().serialize(&latency, &mut hdr).unwrap();
    let seconds = age.as_secs_f64();
    let grown = |per_second: u64| per_second * u64::try_from(age.as_millis()).unwrap() / 1_000;
    serde_json::json!({
        "instanceId": id, "instanceName": id, "uptime": age.as_secs(), "activeConnections": 4512,
        "totalMessagesSent": grown(9_000), "messagesPerMinute": 540_000,
        "memoryUsage": {"max": 1, "total": 1, "used": 433_000_000, "free": 1},
        "state": "ready", "version": "0.1.0", "totalMessagesPublished": grown(20),
        "totalMessagesTailed": 1, "tailLag": 3, "totalBytesSent": 1, "totalConnections": 5000, "gaps": {"trimmed": 2},
        "closed": {"client": 400, "slow": 1},
        "deliveryLatency": {
            "count": 200, "p50Us": 1, "p99Us": 1, "maxUs": 1,
            "hdr": base64::engine::general_purpose::STANDARD.encode(hdr),
        },
        "cpuSeconds": 0.3 * seconds, "openFiles": 4600,
        "log": {
            "broker": "memory", "epoch": "k3f9ab", "length": 1000, "bytes": 250_000,
            "oldest": "k3f9ab-1-0", "newest": "k3f9ab-2-0", "mailboxes": 0, "mailboxMessages": 0,
        },
        "windowFrames": 1000, "windowBytes": 250_000,
    })
}
