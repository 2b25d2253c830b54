//! The baseline of the measurement: an echo over loopback through the same HTTP client and the same decoder, without a node;
//! and through a fault proxy where the clients of the run pass one. No latency of the run can be lower than this.
//! Read [`measure`] first.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::header;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bench::door::{guard, guarded};
use crate::bench::faults::proxy::{ProxySpec, ProxyTask};
use crate::bench::metrics::latency::Latencies;
use crate::bench::verdict::history::facts::HarnessBaseline;
use crate::client::{self, Received, Request, Stream};

/// Echoes that are measured.
const ECHOES: u32 = 300;
/// Echoes before them, which open connections and load code.
const WARM_UP: u32 = 30;
/// Time limit of the whole measurement.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an echo's data, about those of an event.
const BYTES: usize = 256;

/// Measures the baseline, through a fault proxy or without one. `None` where this machine does not finish in time; the
/// run goes on without a baseline.
pub(super) async fn measure(
    streams: &reqwest::Client,
    publishing: &reqwest::Client,
    through_proxy: bool,
) -> Option<HarnessBaseline> {
    // Dropping it at the end ends the server and its proxy.
    let mut tasks = JoinSet::new();
    let measuring = async {
        let address = serve(&mut tasks).await.map_err(|error| error.to_string())?;
        let address = if through_proxy { proxied(&mut tasks, address).await? } else { address };
        let measured = echo(&format!("http://{address}"), streams, publishing).await?;
        Ok::<_, String>(HarnessBaseline { through_proxy, ..measured })
    };
    match tokio::time::timeout(TIMEOUT, measuring).await {
        Ok(Ok(baseline)) => Some(baseline),
        Ok(Err(reason)) => {
            tracing::warn!(reason, "the baseline could not be measured");
            None
        }
        Err(_) => {
            tracing::warn!("the baseline could not be measured within {TIMEOUT:?}");
            None
        }
    }
}

/// The server: it writes what is posted into its only stream.
struct Echo {
    into: mpsc::Sender<Result<Bytes, Infallible>>,
    /// Taken by the first stream.
    from: Mutex<Option<mpsc::Receiver<Result<Bytes, Infallible>>>>,
}

async fn serve(tasks: &mut JoinSet<()>) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (into, from) = mpsc::channel(1);
    let echo = std::sync::Arc::new(Echo { into, from: Mutex::new(Some(from)) });
    let app = Router::new().route("/stream", get(stream)).route("/echo", post(answer)).with_state(echo);
    let app = guarded(app, guard(address, Vec::new(), None));
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::warn!(%error, "the echo server ended");
        }
    });
    Ok(address.to_string())
}

/// Puts a proxy without toxics in front of the server.
async fn proxied(tasks: &mut JoinSet<()>, upstream: String) -> Result<String, String> {
    let name = "baseline".to_owned();
    let (proxy, task) = ProxyTask::new(ProxySpec { name, listen: "127.0.0.1:0".into(), upstream, seed: 0 });
    let serving = proxy.clone();
    tasks.spawn(async move {
        task.run().await;
        drop(serving);
    });
    proxy.enable().await.map_err(|error| error.to_string())?;
    Ok(proxy.listen())
}

async fn stream(State(echo): State<std::sync::Arc<Echo>>) -> Response {
    let Some(mut from) = echo.from.lock().await.take() else {
        return http::StatusCode::CONFLICT.into_response();
    };
    let events = futures_util::stream::poll_fn(move |context| from.poll_recv(context));
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

async fn answer(State(echo): State<std::sync::Arc<Echo>>, body: Bytes) -> http::StatusCode {
    let event = [b"data: ".as_slice(), &body, b"\n\n"].concat();
    match echo.into.send(Ok(event.into())).await {
        Ok(()) => http::StatusCode::ACCEPTED,
        Err(_) => http::StatusCode::GONE,
    }
}

/// Sends one echo after the other. Each is timed from just before it is sent until it is read.
async fn echo(
    base: &str,
    streams: &reqwest::Client,
    publishing: &reqwest::Client,
) -> Result<HarnessBaseline, String> {
    let url = format!("{base}/stream").parse().map_err(|_| format!("{base} is no URL"))?;
    let mut stream = client::connect(streams, &Request::new(url)).await.map_err(|error| error.to_string())?;
    let latencies = Latencies::default();
    let data = Bytes::from("x".repeat(BYTES));
    for number in 0..WARM_UP + ECHOES {
        let sent = Instant::now();
        let post = publishing.post(format!("{base}/echo")).body(data.clone()).send();
        let (answered, heard) = tokio::join!(post, next_event(&mut stream));
        let heard = heard?;
        let response = answered.map_err(|error| error.to_string())?;
        // Read to the end, so that the connection can be reused.
        drop(response.bytes().await);
        if number >= WARM_UP {
            latencies.add(heard - sent);
        }
    }
    let counts = latencies.counts();
    let millis =
        |percent| counts.percentile(percent).map_or(0.0, |at| (at.as_secs_f64() * 1e6).round() / 1e3);
    Ok(HarnessBaseline {
        echoes: counts.count(),
        p50_ms: millis(50),
        p99_ms: millis(99),
        max_ms: millis(100),
        through_proxy: false,
    })
}

async fn next_event(stream: &mut Stream) -> Result<Instant, String> {
    loop {
        match stream.next().await {
            Ok(Received::Event(_)) => return Ok(Instant::now()),
            Ok(Received::Comment(_) | Received::Retry(_) | Received::IdCommitted(_)) => {}
            Err(ending) => return Err(format!("the echo's stream ended: {ending}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::HttpOptions;

    #[tokio::test]
    async fn the_floor_is_measured_through_the_loopback_and_through_a_proxy() {
        for through_proxy in [false, true] {
            let http = HttpOptions { idle_connections: 4, ..HttpOptions::default() }.build().unwrap();
            let streams = HttpOptions::default().build().unwrap();
            let baseline = measure(&streams, &http, through_proxy).await.unwrap();
            assert_eq!((baseline.echoes, baseline.through_proxy), (u64::from(ECHOES), through_proxy));
            let HarnessBaseline { p50_ms, p99_ms, max_ms, .. } = baseline;
            assert!(0.0 < p50_ms && p50_ms <= p99_ms && p99_ms <= max_ms, "{baseline:?}");
        }
    }
}
