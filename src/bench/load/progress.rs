//! Counts of a run so far, for the progress line and for readers of `live.jsonl`. The verdict never uses them. Read
//! [`Progress`] first.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::metrics::latency::{Latencies, LatencyCounts};
use crate::bench::verdict::ledger::PublishOutcome;

/// Counters that every worker adds to. All orderings are relaxed: a line on a terminal may be a moment behind.
#[derive(Debug, Default)]
pub struct Progress {
    connected: AtomicU64,
    delivered: AtomicU64,
    reconnects: AtomicU64,
    connect_errors: AtomicU64,
    publish_ok: AtomicU64,
    publish_bad: AtomicU64,
    publish_dropped: AtomicU64,
    gaps: AtomicU64,
    latencies: Latencies,
    /// Why the first failed connect failed: many fail alike, so one is enough.
    first_connect_error: OnceLock<String>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Streams open and confirmed.
    pub connected: u64,
    /// Events that arrived.
    pub delivered: u64,
    /// Streams opened after the first one of a client.
    pub reconnects: u64,
    /// Connects that failed.
    pub connect_errors: u64,
    /// Publishes that were acknowledged.
    pub publish_ok: u64,
    /// Publishes that were refused or are indeterminate.
    pub publish_bad: u64,
    /// Publishes that were due and never sent.
    pub publish_dropped: u64,
    /// `GAP` events received.
    pub gaps: u64,
}

impl Progress {
    /// A stream is confirmed.
    pub fn connected(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    /// A confirmed stream is over.
    pub fn disconnected(&self) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
    }

    /// An event arrived.
    pub fn delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    /// An event arrived that the run owed to the client, `latency` after it was due.
    pub fn delivered_after(&self, latency: Duration) {
        self.delivered();
        self.latencies.add(latency);
    }

    /// A client received a `GAP` event.
    pub fn gap(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// A client that had lost its stream has another one.
    pub fn reconnected(&self) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    /// A connect failed.
    pub fn connect_error(&self) {
        self.connect_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps the reason of the first failed connect. `why` is called only for that one.
    pub fn note_connect_error(&self, why: impl FnOnce() -> String) {
        let _first = self.first_connect_error.get_or_init(why);
    }

    /// The reason of the first failed connect of this process.
    #[must_use]
    pub fn first_connect_error(&self) -> Option<&str> {
        self.first_connect_error.get().map(String::as_str)
    }

    /// A publish was answered.
    pub fn published(&self, outcome: PublishOutcome) {
        let counter = match outcome {
            PublishOutcome::Acknowledged => &self.publish_ok,
            PublishOutcome::Refused | PublishOutcome::Indeterminate => &self.publish_bad,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A publish was not sent.
    pub fn publish_dropped(&self) {
        self.publish_dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Replaces the counters that another process reported before. Publishes are not among them.
    pub fn replace(&self, before: &Snapshot, now: &Snapshot) {
        // The difference wraps around as the counter does, so it may also go down.
        let add = |counter: &AtomicU64, before: u64, now: u64| {
            counter.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        };
        add(&self.connected, before.connected, now.connected);
        add(&self.delivered, before.delivered, now.delivered);
        add(&self.reconnects, before.reconnects, now.reconnects);
        add(&self.connect_errors, before.connect_errors, now.connect_errors);
        add(&self.gaps, before.gaps, now.gaps);
    }

    /// Adds latencies of another process.
    pub fn add_latencies(&self, latencies: &LatencyCounts) {
        self.latencies.add_all(latencies);
    }

    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            connected: read(&self.connected),
            delivered: read(&self.delivered),
            reconnects: read(&self.reconnects),
            connect_errors: read(&self.connect_errors),
            publish_ok: read(&self.publish_ok),
            publish_bad: read(&self.publish_bad),
            publish_dropped: read(&self.publish_dropped),
            gaps: read(&self.gaps),
        }
    }

    /// Latencies of the deliveries up to now.
    #[must_use]
    pub fn latencies(&self) -> LatencyCounts {
        self.latencies.counts()
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connected, {} delivered, {} published",
            self.connected, self.delivered, self.publish_ok
        )?;
        for (count, what) in [
            (self.publish_bad, "not acknowledged"),
            (self.publish_dropped, "dropped"),
            (self.reconnects, "reconnects"),
            (self.connect_errors, "failed connects"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_a_problem_only_when_there_is_one() {
        let progress = Progress::default();
        progress.connected();
        progress.delivered();
        progress.published(PublishOutcome::Acknowledged);
        assert_eq!(progress.snapshot().to_string(), "1 connected, 1 delivered, 1 published");
        progress.disconnected();
        progress.reconnected();
        progress.publish_dropped();
        let line = progress.snapshot().to_string();
        assert_eq!(line, "0 connected, 1 delivered, 1 published, 1 dropped, 1 reconnects");
    }
}
