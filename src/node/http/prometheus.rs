//! `GET /metrics` in the text format of Prometheus (OpenMetrics). Names carry their units; no label grows with users.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::error::ApiError;
use super::{AppState, process};
use crate::broker::Bounds;

/// Upper bounds of the latency buckets, in microseconds.
const BUCKETS_US: [u32; 12] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
];

/// `GET /metrics`: the metrics as OpenMetrics text.
pub(crate) async fn text(State(app): State<Arc<AppState>>) -> Result<Response, ApiError> {
    let (bounds, log_answers) = app.bounds().await;
    let mut registry = Registry::default();
    let snapshot = Snapshot { app: Arc::clone(&app), bounds, log_answers };
    registry.register_collector(Box::new(snapshot));
    let mut out = String::new();
    encode(&mut out, &registry).map_err(|error| ApiError::Unavailable(format!("metrics: {error}")))?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], out).into_response())
}

/// The metrics of a node at one moment.
#[derive(Debug)]
struct Snapshot {
    app: Arc<AppState>,
    bounds: Bounds,
    log_answers: bool,
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let out = &mut encoder;
        self.gauges(out)?;
        self.counters(out)?;
        self.latency(out)
    }
}

impl Snapshot {
    fn gauges(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let (app, bounds) = (&self.app, &self.bounds);
        let window = app.window.size();
        gauge(out, "sse_node_connections", "Open streams", None, app.connections.len() as u64)?;
        gauge(out, "sse_node_draining", "1 while the node drains", None, u64::from(app.drain.is_draining()))?;
        let nodes = app.context.metrics.cluster_nodes.load(Ordering::Relaxed);
        gauge(out, "sse_node_cluster_nodes", "Nodes that are alive, this one included", None, nodes)?;
        gauge(out, "sse_node_log_up", "1 while the log answers", None, u64::from(self.log_answers))?;
        gauge(out, "sse_node_log_events", "Events that the log keeps", None, bounds.length)?;
        gauge(out, "sse_node_log_size", "Bytes that the log keeps", Some(&Unit::Bytes), bounds.bytes)?;
        let condition = app.broker.condition();
        gauge(
            out,
            "sse_node_log_disk_full",
            "1 while events are refused because the disk is full",
            None,
            u64::from(condition.is_full),
        )?;
        let help =
            "Seconds that the time of the log is ahead of the clock, which was set back (memory: and file:)";
        let ahead = condition.clock_ahead.as_secs();
        gauge(out, "sse_node_log_clock_ahead", help, Some(&Unit::Seconds), ahead)?;
        let lost = condition.lost.map_or(0, |lost| lost.events);
        let help = "Acknowledged events that the log in a directory lost, until they would have been trimmed";
        gauge(out, "sse_node_log_lost_events", help, None, lost)?;
        if let Some(free) = condition.free_bytes {
            let help = "Free bytes of the disk of the log";
            gauge(out, "sse_node_log_disk_free", help, Some(&Unit::Bytes), free)?;
        }
        gauge(out, "sse_node_mailboxes", "Mailboxes with unconfirmed messages", None, bounds.mailboxes)?;
        gauge(
            out,
            "sse_node_mailbox_messages",
            "Unconfirmed messages in mailboxes",
            None,
            bounds.mailbox_messages,
        )?;
        let help = "Bytes of unconfirmed messages in mailboxes (memory: and file:)";
        gauge(out, "sse_node_mailbox_size", help, Some(&Unit::Bytes), bounds.mailbox_bytes)?;
        gauge(out, "sse_node_window_frames", "Events in the window", None, window.frames)?;
        gauge(out, "sse_node_window_size", "Bytes in the window", Some(&Unit::Bytes), window.bytes)?;
        gauge(
            out,
            "sse_node_resident_memory",
            "Resident memory",
            Some(&Unit::Bytes),
            process::memory().used,
        )?;
        gauge(out, "sse_node_open_files", "Open file descriptors", None, process::open_files())
    }

    /// Name, help and value.
    fn counts(&self) -> impl IntoIterator<Item = (&'static str, &'static str, u64)> + use<> {
        let metrics = &self.app.context.metrics;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let repairs = self.app.broker.repairs();
        [
            ("sse_node_messages_sent", "Events written to connections", of(&metrics.sent)),
            ("sse_node_bytes_sent", "Bytes written to connections", of(&metrics.sent_bytes)),
            ("sse_node_messages_published", "Publishes that the log accepted", of(&metrics.published)),
            (
                "sse_node_messages_duplicate",
                "Publishes that repeated a message id and added no event",
                of(&metrics.duplicates),
            ),
            ("sse_node_publish_errors", "Publishes that were refused or failed", of(&metrics.publish_errors)),
            (
                "sse_node_requests_refused",
                "Requests refused for their Host, Origin or form",
                of(&metrics.requests_refused),
            ),
            (
                "sse_node_parameters_ignored",
                "Parameters of queries that are not known",
                of(&metrics.parameters_ignored),
            ),
            ("sse_node_messages_tailed", "Entries read by the tail", of(&metrics.tailed)),
            ("sse_node_tail_errors", "Reads of the log by the tail that failed", of(&metrics.tail_errors)),
            ("sse_node_connections_opened", "Streams opened", of(&metrics.opened)),
            ("sse_node_connections_resumed", "Streams that asked for a replay", of(&metrics.resumed)),
            ("sse_node_replay_pages", "Pages of the log read for replays", of(&metrics.replay_pages)),
            (
                "sse_node_syncs",
                "SYNC events sent: the log had lost events that the client already has, and has them again",
                of(&metrics.syncs),
            ),
            ("sse_node_mailbox_resent", "Mailbox messages sent again", of(&metrics.mailbox_resent)),
            ("sse_node_mailbox_confirmed", "Mailbox messages confirmed", of(&metrics.confirmed)),
            (
                "sse_node_log_histories_ended",
                "Histories of the log that ended: restarts and failovers of the broker",
                repairs.histories,
            ),
            (
                "sse_node_log_appended_again",
                "Events that the log had lost and this node appended again",
                repairs.appended_again,
            ),
            (
                "sse_node_log_published_again",
                "Acknowledged publishes that the log lost before this node read them, and that this node published again",
                repairs.published_again,
            ),
            (
                "sse_node_log_ids_forgotten",
                "Message ids forgotten before --idempotency-window, because of --idempotency-ids; a repeat of them adds an event",
                self.bounds.ids_forgotten,
            ),
            (
                "sse_node_beat_errors",
                "Beats of this node that the broker did not record; a beat tells the other nodes that this one is alive",
                of(&metrics.beat_errors),
            ),
            (
                "sse_node_sockets_shed",
                "Connections that ended while they waited for a request, since others needed their places",
                of(&metrics.sockets_shed),
            ),
            ("sse_node_peer_errors", "Requests to other nodes that failed", of(&metrics.peer_errors)),
        ]
    }

    fn counters(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let metrics = &self.app.context.metrics;
        for (name, help, value) in self.counts() {
            let metric = ConstCounter::new(value);
            metric.encode(out.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        let cpu = ConstCounter::new(process::cpu_seconds());
        let descriptor =
            out.encode_descriptor("sse_node_cpu", "CPU time used", Some(&Unit::Seconds), cpu.metric_type())?;
        cpu.encode(descriptor)?;
        by_reason(out, "sse_node_gaps", "GAP events sent, by reason", &metrics.gaps())?;
        let refused = metrics.refused_sockets();
        by_reason(out, "sse_node_sockets_refused", "Connections that got no place, by reason", &refused)?;
        by_reason(out, "sse_node_rejections", "Streams refused, by reason", &metrics.rejected())?;
        by_reason(out, "sse_node_disconnects", "Streams ended, by reason", &metrics.closed())
    }

    fn latency(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let histogram = self.app.context.metrics.latency_since_start();
        let mut buckets = Vec::with_capacity(BUCKETS_US.len() + 1);
        let mut from = 0;
        for bound in BUCKETS_US {
            buckets.push((f64::from(bound) / 1e6, histogram.count_between(from, u64::from(bound))));
            from = u64::from(bound) + 1;
        }
        // The infinite bound is written as `+Inf`; Prometheus refuses a histogram without it.
        buckets.push((f64::INFINITY, histogram.count_between(from, u64::MAX)));
        // Within a bucket all values count as its mean, which HdrHistogram keeps to three digits.
        let seconds = histogram.mean() / 1e6 * count_as_float(histogram.len());
        let help = "Time from the publish of an event to its write to a connection";
        let name = "sse_node_delivery_latency";
        let mut encoder = out.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        encoder.encode_histogram::<[(&str, &str); 0]>(seconds, histogram.len(), &buckets, None)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a mean needs no more than the 53 bits that a float keeps")]
fn count_as_float(count: u64) -> f64 {
    count as f64
}

fn gauge(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: u64,
) -> Result<(), Error> {
    let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    metric.encode(out.encode_descriptor(name, help, unit, metric.metric_type())?)
}

fn by_reason(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    counts: &BTreeMap<String, u64>,
) -> Result<(), Error> {
    let mut encoder = out.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (reason, count) in counts {
        let metric = ConstCounter::new(*count);
        metric.encode(encoder.encode_family(&[("reason", reason.as_str())])?)?;
    }
    Ok(())
}
