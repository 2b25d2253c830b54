//! `--prometheus` and `output.prometheus`: the current counters in Prometheus' text format (OpenMetrics) while a run lasts.
//! Read [`Scrape`] first.

use std::fmt::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::outcome::RunError;
use crate::bench::door::{guard, guarded};
use crate::bench::faults::FaultBoard;
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::metrics::latency::LatencyCounts;

/// Upper bounds of the latency buckets, in microseconds.
const BUCKETS_US: [u32; 13] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];

/// The listener. It is bound before anything else starts, so that a run whose address is in use does not
/// begin.
#[derive(Debug)]
pub(super) struct Scrape {
    listener: TcpListener,
    address: SocketAddr,
}

impl Scrape {
    /// Binds the address, and logs the URL.
    pub(super) async fn bind(address: SocketAddr) -> Result<Self, RunError> {
        let bound = TcpListener::bind(address).await;
        let listener = bound.map_err(|source| RunError::Bind { address, source })?;
        if let Ok(address) = listener.local_addr() {
            tracing::info!("metrics are at http://{address}/metrics");
        }
        Ok(Self { listener, address })
    }

    /// Answers requests until `stop` is cancelled.
    pub(super) async fn serve(
        self,
        context: Arc<SwarmContext>,
        faults: Arc<FaultBoard>,
        stop: CancellationToken,
    ) {
        let app =
            Router::new().route("/metrics", get(metrics)).with_state(MetricsCollector { context, faults });
        let app = guarded(app, guard(self.address, Vec::new(), None));
        if let Some(Err(error)) =
            stop.run_until_cancelled(axum::serve(self.listener, app).into_future()).await
        {
            tracing::warn!(%error, "the metrics server ended");
        }
    }
}

async fn metrics(State(collector): State<MetricsCollector>) -> Response {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(collector));
    let mut out = String::new();
    match encode(&mut out, &registry) {
        Ok(()) => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, content_type)], out).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("metrics: {error}\n")).into_response(),
    }
}

/// The counters at the moment of a request.
#[derive(Debug, Clone)]
struct MetricsCollector {
    context: Arc<SwarmContext>,
    faults: Arc<FaultBoard>,
}

impl Collector for MetricsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let out = &mut encoder;
        self.gauges(out)?;
        self.counters(out)?;
        latency(out, &self.context.progress.latencies())
    }
}

impl MetricsCollector {
    fn gauges(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let context = &self.context;
        let elapsed = context.clock.now().since_start();
        let gauges = [
            ("sse_bench_clients", "Clients of the plan", None, context.plan.subscribers.len() as u64),
            (
                "sse_bench_clients_connected",
                "Streams open and confirmed",
                None,
                context.progress.snapshot().connected,
            ),
            ("sse_bench_elapsed", "Since the start of the clock", Some(&Unit::Seconds), elapsed.as_secs()),
            (
                "sse_bench_duration",
                "Planned duration of the load",
                Some(&Unit::Seconds),
                context.plan.duration.as_secs(),
            ),
        ];
        for (name, help, unit, value) in gauges {
            let metric = gauge(value);
            metric.encode(out.encode_descriptor(name, help, unit, metric.metric_type())?)?;
        }
        let name = "sse_bench_connections";
        let mut encoder = out.encode_descriptor(name, "Streams by node", None, MetricType::Gauge)?;
        for (node, open) in context.plan.nodes.iter().zip(context.balancer.open()) {
            gauge(open.into()).encode(encoder.encode_family(&[("node", node.as_str())])?)?;
        }
        let states = self.faults.look();
        let name = "sse_bench_fault_active";
        let help = "1 while a fault is active";
        let mut encoder = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for fault in &context.plan.faults {
            let is_active = states.active().any(|active| active == fault.name);
            let metric = gauge(u64::from(is_active));
            metric.encode(encoder.encode_family(&[("fault", fault.name.as_str())])?)?;
        }
        Ok(())
    }

    fn counters(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let now = self.context.progress.snapshot();
        let counters = [
            ("sse_bench_deliveries", "Events that arrived at clients", now.delivered),
            ("sse_bench_reconnects", "Streams opened after the first one of a client", now.reconnects),
            ("sse_bench_connect_errors", "Connects that failed", now.connect_errors),
            ("sse_bench_gaps", "GAP events that reached clients", now.gaps),
        ];
        for (name, help, value) in counters {
            let metric = ConstCounter::new(value);
            metric.encode(out.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        let help = "Publishes that were due, by how they ended";
        let mut encoder = out.encode_descriptor("sse_bench_publishes", help, None, MetricType::Counter)?;
        for (outcome, count) in
            [("ok", now.publish_ok), ("not_acknowledged", now.publish_bad), ("dropped", now.publish_dropped)]
        {
            ConstCounter::new(count).encode(encoder.encode_family(&[("outcome", outcome)])?)?;
        }
        Ok(())
    }
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

fn latency(out: &mut DescriptorEncoder<'_>, counts: &LatencyCounts) -> Result<(), Error> {
    let mut below = 0;
    let mut buckets = Vec::with_capacity(BUCKETS_US.len() + 1);
    for bound in BUCKETS_US {
        let up_to = counts.up_to(Duration::from_micros(bound.into()));
        buckets.push((f64::from(bound) / 1e6, up_to - below));
        below = up_to;
    }
    // Only the infinite bound is written as `+Inf`, without which Prometheus refuses the histogram.
    buckets.push((f64::INFINITY, counts.count() - below));
    let (name, help) = ("sse_bench_delivery_latency", "From when an event was due to its arrival");
    let mut encoder = out.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    encoder.encode_histogram::<[(&str, &str); 0]>(counts.sum().as_secs_f64(), counts.count(), &buckets, None)
}
