//! Counters and latency histograms of a node. The parts increment them; `http/ops` and `http/prometheus` read them. No
//! label may grow with users, topics or clients. Read [`Metrics`] first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use tokio::time::Instant;

use super::close::CloseCode;
use super::sockets::NoPlace;
use crate::protocol::api::{GapReason, HistogramDump};

/// Shards of the latency histogram, so that loops rarely share a lock.
const SHARDS: usize = 16;
/// Intervals in the last minute.
const INTERVALS: usize = 6;
/// Length of one interval of the last minute.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
/// Largest latency that is recorded as it is, one hour in microseconds; larger ones count as this.
const LATENCY_MAX_US: u64 = 3_600_000_000;

/// All counters and histograms of a node.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// When the node started.
    pub(crate) started: Instant,
    /// Events written to connections.
    pub(crate) sent: AtomicU64,
    /// Bytes written to connections.
    pub(crate) sent_bytes: AtomicU64,
    /// Publishes that the log accepted.
    pub(crate) published: AtomicU64,
    /// Publishes that repeated an earlier message id and added no event.
    pub(crate) duplicates: AtomicU64,
    /// Publishes that were refused or that failed.
    pub(crate) publish_errors: AtomicU64,
    /// Requests refused for their host, origin or form.
    pub(crate) requests_refused: AtomicU64,
    /// Parameters of queries that no path knows.
    pub(crate) parameters_ignored: AtomicU64,
    /// Entries that the tail read.
    pub(crate) tailed: AtomicU64,
    /// Reads of the log by the tail that failed.
    pub(crate) tail_errors: AtomicU64,
    /// Streams opened since the start.
    pub(crate) opened: AtomicU64,
    /// Streams that asked for a replay.
    pub(crate) resumed: AtomicU64,
    /// Pages of the log read for replays.
    pub(crate) replay_pages: AtomicU64,
    /// Messages sent again from mailboxes.
    pub(crate) mailbox_resent: AtomicU64,
    /// `SYNC` events that were sent.
    pub(crate) syncs: AtomicU64,
    /// Mailbox messages that were confirmed.
    pub(crate) confirmed: AtomicU64,
    /// Beats of this node that the broker did not record.
    pub(crate) beat_errors: AtomicU64,
    /// Requests to other nodes that failed.
    pub(crate) peer_errors: AtomicU64,
    /// Connections that ended while they waited for a request, since others needed their places.
    pub(crate) sockets_shed: AtomicU64,
    refused_sockets: [AtomicU64; 2],
    /// Nodes in the roster when this node last read it.
    pub(crate) cluster_nodes: AtomicU64,
    /// Since when the tail has been behind the log; `None` while it is not.
    tail_behind_since: Mutex<Option<Instant>>,
    gaps: [AtomicU64; GAP_REASONS.len()],
    closed: [AtomicU64; CloseCode::ALL.len()],
    rejected: [AtomicU64; CloseCode::ALL.len()],
    latency: Latency,
}

const GAP_REASONS: [GapReason; 5] =
    [GapReason::Trimmed, GapReason::Epoch, GapReason::Rollback, GapReason::Overflow, GapReason::Malformed];

#[derive(Debug)]
struct Latency {
    shards: Vec<Mutex<Histogram<u64>>>,
    past: Mutex<VecDeque<Interval>>,
    /// All ended intervals since the start.
    ended: Mutex<Histogram<u64>>,
}

#[derive(Debug)]
struct Interval {
    latency: Histogram<u64>,
    sent: u64,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("the bounds are constants in order")
}

impl Metrics {
    pub(crate) fn new(now: Instant) -> Self {
        let latency = Latency {
            shards: (0..SHARDS).map(|_| Mutex::new(histogram())).collect(),
            past: Mutex::new(VecDeque::new()),
            ended: Mutex::new(histogram()),
        };
        Self {
            started: now,
            sent: AtomicU64::default(),
            sent_bytes: AtomicU64::default(),
            published: AtomicU64::default(),
            duplicates: AtomicU64::default(),
            publish_errors: AtomicU64::default(),
            requests_refused: AtomicU64::default(),
            parameters_ignored: AtomicU64::default(),
            tailed: AtomicU64::default(),
            tail_errors: AtomicU64::default(),
            opened: AtomicU64::default(),
            resumed: AtomicU64::default(),
            replay_pages: AtomicU64::default(),
            mailbox_resent: AtomicU64::default(),
            syncs: AtomicU64::default(),
            confirmed: AtomicU64::default(),
            beat_errors: AtomicU64::default(),
            peer_errors: AtomicU64::default(),
            sockets_shed: AtomicU64::default(),
            refused_sockets: Default::default(),
            cluster_nodes: AtomicU64::default(),
            tail_behind_since: Mutex::new(None),
            gaps: Default::default(),
            closed: Default::default(),
            rejected: Default::default(),
            latency,
        }
    }

    /// Records whether the tail has read all of the log.
    pub(crate) fn note_tail(&self, caught_up: bool, now: Instant) {
        let mut since = self.tail_behind_since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = if caught_up { None } else { since.or(Some(now)) };
    }

    /// How long the tail has been behind the log. Measured in time and not in positions: after an hour without events
    /// the first one would make every tail an hour late.
    pub(crate) fn tail_lag(&self, now: Instant) -> Duration {
        let since = *self.tail_behind_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Counts a `GAP` that was sent.
    pub(crate) fn count_gap(&self, reason: GapReason) {
        if let Some(index) = GAP_REASONS.iter().position(|known| *known == reason) {
            self.gaps[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a stream that ended.
    pub(crate) fn count_closed(&self, code: CloseCode) {
        self.closed[code.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a stream that was refused.
    pub(crate) fn count_rejected(&self, code: CloseCode) {
        self.rejected[code.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a socket that got no place; returns how many such there were.
    pub(crate) fn count_refused_socket(&self, why: NoPlace) -> u64 {
        self.refused_sockets[why as usize].fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Number of refused sockets by reason.
    pub(crate) fn refused_sockets(&self) -> BTreeMap<String, u64> {
        let counts = ["address", "full"].into_iter().zip(&self.refused_sockets);
        counts.map(|(reason, count)| (reason.to_owned(), count.load(Ordering::Relaxed))).collect()
    }

    /// Records the times in microseconds between the publish of events and their write to a socket, each with the number
    /// of sockets. `shard` is any number that differs between loops.
    pub(crate) fn record_latency(&self, shard: u64, latencies_us: impl Iterator<Item = (u64, u64)>) {
        let index = usize::try_from(shard % SHARDS as u64).unwrap_or(0);
        let mut histogram = self.latency.shards[index].lock().unwrap_or_else(PoisonError::into_inner);
        for (latency_us, sockets) in latencies_us {
            histogram.saturating_record_n(latency_us.max(1), sockets);
        }
    }

    /// Ends an interval of the last minute. Must be called every [`INTERVAL`].
    pub(crate) fn rotate(&self) {
        let mut latency = histogram();
        for shard in &self.latency.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            add(&mut latency, &shard);
            shard.reset();
        }
        add(&mut self.latency.ended.lock().unwrap_or_else(PoisonError::into_inner), &latency);
        let mut past = self.latency.past.lock().unwrap_or_else(PoisonError::into_inner);
        past.push_back(Interval { latency, sent: self.sent.load(Ordering::Relaxed) });
        while past.len() > INTERVALS {
            past.pop_front();
        }
    }

    fn current(&self) -> Histogram<u64> {
        let mut sum = histogram();
        for shard in &self.latency.shards {
            add(&mut sum, &shard.lock().unwrap_or_else(PoisonError::into_inner));
        }
        sum
    }

    /// Latency in microseconds since the node started.
    pub(crate) fn latency_since_start(&self) -> Histogram<u64> {
        let mut sum = self.current();
        add(&mut sum, &self.latency.ended.lock().unwrap_or_else(PoisonError::into_inner));
        sum
    }

    /// Latency in microseconds of the last minute.
    pub(crate) fn latency(&self) -> Histogram<u64> {
        let mut sum = self.current();
        for interval in self.latency.past.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            add(&mut sum, &interval.latency);
        }
        sum
    }

    /// Events written in the last minute, give or take one interval.
    pub(crate) fn sent_last_minute(&self) -> u64 {
        let past = self.latency.past.lock().unwrap_or_else(PoisonError::into_inner);
        let before =
            if past.len() < INTERVALS { 0 } else { past.front().map_or(0, |interval| interval.sent) };
        self.sent.load(Ordering::Relaxed).saturating_sub(before)
    }

    /// Number of `GAP` events by reason.
    pub(crate) fn gaps(&self) -> BTreeMap<String, u64> {
        let counts = GAP_REASONS.iter().zip(&self.gaps);
        counts.map(|(reason, count)| (reason.as_str().to_owned(), count.load(Ordering::Relaxed))).collect()
    }

    /// Number of ended streams by reason.
    pub(crate) fn closed(&self) -> BTreeMap<String, u64> {
        by_code(&self.closed)
    }

    /// Number of refused streams by reason.
    pub(crate) fn rejected(&self) -> BTreeMap<String, u64> {
        by_code(&self.rejected)
    }
}

fn by_code(counts: &[AtomicU64]) -> BTreeMap<String, u64> {
    let counts = CloseCode::ALL.iter().zip(counts);
    counts.map(|(code, count)| (code.label().to_owned(), count.load(Ordering::Relaxed))).collect()
}

fn add(sum: &mut Histogram<u64>, part: &Histogram<u64>) {
    sum.add(part).expect("all latency histograms have the same bounds");
}

/// A histogram in its JSON form; `hdr` is base64 of the V2 deflate format of HdrHistogram.
pub(crate) fn dump(histogram: &Histogram<u64>) -> HistogramDump {
    let mut bytes = Vec::new();
    // Writing to memory fails only above 4 GiB; an empty text then means "not known".
    let hdr = match V2DeflateSerializer::new().serialize(histogram, &mut bytes) {
        Ok(_length) => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(&bytes)
        }
        Err(error) => {
            tracing::error!(?error, "a latency histogram cannot be serialised");
            String::new()
        }
    };
    HistogramDump {
        count: histogram.len(),
        p50_us: histogram.value_at_quantile(0.5),
        p99_us: histogram.value_at_quantile(0.99),
        max_us: histogram.max(),
        hdr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_minute_forgets_what_is_older() {
        let metrics = Metrics::new(Instant::now());
        metrics.record_latency(1, [(1_000, 1)].into_iter());
        metrics.rotate();
        assert_eq!(metrics.latency().len(), 1);
        metrics.record_latency(2, [(2_000, 2)].into_iter());
        assert_eq!(metrics.latency().len(), 3);
        for _ in 0..INTERVALS + 1 {
            metrics.rotate();
        }
        assert_eq!(metrics.latency().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_tail_is_late_from_when_it_first_was_until_it_has_all() {
        let metrics = Metrics::new(Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(metrics.tail_lag(Instant::now()), Duration::ZERO);
        metrics.note_tail(false, Instant::now());
        tokio::time::advance(second).await;
        metrics.note_tail(false, Instant::now());
        tokio::time::advance(second).await;
        assert_eq!(metrics.tail_lag(Instant::now()), 2 * second);
        metrics.note_tail(true, Instant::now());
        assert_eq!(metrics.tail_lag(Instant::now()), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dump_is_read_by_the_histogram_library() {
        use base64::Engine as _;
        let metrics = Metrics::new(Instant::now());
        metrics.record_latency(7, [(10, 1), (20, 1), (5_000_000_000, 1)].into_iter());
        let dumped = dump(&metrics.latency());
        let bytes = base64::engine::general_purpose::STANDARD.decode(&dumped.hdr).unwrap();
        let read: Histogram<u64> = hdrhistogram::serialization::Deserializer::new()
            .deserialize(&mut std::io::Cursor::new(bytes))
            .unwrap();
        assert_eq!((read.len(), dumped.count), (3, 3));
    }
}
