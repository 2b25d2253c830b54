//! For tests only: small HTTP servers that answer as nodes do, hang or fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::runtime::Tasks;
use crate::tui::state::tests::fixture::{connection, metrics, servers};
use crate::tui::text::url::NodeUrl;

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

    /// A node without a roster.
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

    /// A node with `count` connections.
    pub(crate) async fn with_connections(count: usize) -> Self {
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

    /// A stream of these bytes, which stays open.
    pub(crate) async fn streaming(body: String) -> Self {
        let stream = move || {
            let first = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(body.clone())]);
            let body = futures_util::StreamExt::chain(first, futures_util::stream::pending());
            async { ([("content-type", "text/event-stream")], axum::body::Body::from_stream(body)) }
        };
        Self::serve(Router::new().route("/api/sse/stream", get(stream)), Arc::default()).await
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
