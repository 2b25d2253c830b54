//! Counts of a run so far, for the progress line and for readers of `live.jsonl`. The verdict never uses them. Read
//! [`Progress`] first.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::metrics::latency::{Latencies, LatencyCounts};
use crate::bench::verdict::ledger::PublishOutcome;

/// Lanes of counts of deliveries: as many threads count them without waiting for each other.
const LANES: usize = 4;

thread_local!(static LANE: usize = {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    THREADS.fetch_add(1, Ordering::Relaxed) % LANES
});

/// Counts of deliveries, in a cache line of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane {
    delivered: AtomicU64,
    latencies: Latencies,
}

/// Counters that every worker adds to. All orderings are relaxed: a line on a terminal may be a moment behind.
#[derive(Debug, Default)]
pub struct Progress {
    lanes: [Lane; LANES],
    connected: AtomicU64,
    reconnects: AtomicU64,
    connect_errors: AtomicU64,
    publish_ok: AtomicU64,
    publish_bad: AtomicU64,
    publish_dropped: AtomicU64,
    gaps: AtomicU64,
    refused_for_good: AtomicU64,
    gave_up: AtomicU64,
    unreadable: AtomicU64,
    /// Why the first failed connect failed: many fail alike, so one is enough.
    first_connect_error: OnceLock<String>,
    /// As [`Self::first_connect_error`], of the connects whose answer is final.
    first_refusal: OnceLock<String>,
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
    /// Clients whose first connect got an answer that waiting does not change.
    pub refused_for_good: u64,
    /// Clients that gave up without ever having a stream.
    pub gave_up: u64,
    /// Clients that gave up because their stream cannot be read.
    pub unreadable: u64,
}

/// Why connects failed: the first failed one, and the first one whose answer is final. `None`: there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectFailures {
    pub first: Option<String>,
    pub first_final: Option<String>,
}

impl Snapshot {
    /// How many of `wanted` clients will never connect, where `connected` of them did; `None`: waiting may still help.
    /// Nobody can connect if every client was refused for good, whatever its policy; and nothing changes any more once
    /// all others gave up.
    #[must_use]
    pub fn refused(&self, connected: u64, wanted: u64) -> Option<u64> {
        if connected == 0 && self.refused_for_good >= wanted {
            return Some(self.refused_for_good);
        }
        (self.gave_up > 0 && connected + self.gave_up >= wanted).then_some(self.gave_up)
    }
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
        self.lane().delivered.fetch_add(1, Ordering::Relaxed);
    }

    fn lane(&self) -> &Lane {
        &self.lanes[LANE.with(|lane| *lane)]
    }

    /// An event arrived that the run owed to the client, `latency` after it was due.
    pub fn delivered_after(&self, latency: Duration) {
        self.delivered();
        self.lane().latencies.add(latency);
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

    /// The first connect of a client got an answer that waiting does not change. `why` is called only for the first.
    pub fn refused_for_good(&self, why: impl FnOnce() -> String) {
        self.refused_for_good.fetch_add(1, Ordering::Relaxed);
        let _first = self.first_refusal.get_or_init(why);
    }

    /// A client gave up without ever having a stream.
    pub fn gave_up(&self) {
        self.gave_up.fetch_add(1, Ordering::Relaxed);
    }

    /// A client gave up because its stream cannot be read.
    pub fn unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    /// Why clients could not connect: a final answer rather than a passing one; `None`: no connect failed.
    #[must_use]
    pub fn connect_failure(&self) -> Option<&str> {
        self.first_refusal.get().or(self.first_connect_error.get()).map(String::as_str)
    }

    /// The reasons, for another process.
    #[must_use]
    pub fn connect_failures(&self) -> ConnectFailures {
        let (first, first_final) = (&self.first_connect_error, &self.first_refusal);
        ConnectFailures { first: first.get().cloned(), first_final: first_final.get().cloned() }
    }

    /// Takes over reasons of another process, where this one has none.
    pub fn note_failures(&self, of: &ConnectFailures) {
        let reasons = [(&self.first_connect_error, &of.first), (&self.first_refusal, &of.first_final)];
        for (known, reason) in reasons {
            if let Some(reason) = reason {
                let _first = known.get_or_init(|| reason.clone());
            }
        }
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
        add(&self.lane().delivered, before.delivered, now.delivered);
        add(&self.reconnects, before.reconnects, now.reconnects);
        add(&self.connect_errors, before.connect_errors, now.connect_errors);
        add(&self.gaps, before.gaps, now.gaps);
        add(&self.refused_for_good, before.refused_for_good, now.refused_for_good);
        add(&self.gave_up, before.gave_up, now.gave_up);
        add(&self.unreadable, before.unreadable, now.unreadable);
    }

    /// Adds latencies of another process.
    pub fn add_latencies(&self, latencies: &LatencyCounts) {
        self.lane().latencies.add_all(latencies);
    }

    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            connected: read(&self.connected),
            // Counts of other processes wrap around in one lane as in all.
            delivered: self.lanes.iter().map(|lane| read(&lane.delivered)).fold(0, u64::wrapping_add),
            reconnects: read(&self.reconnects),
            connect_errors: read(&self.connect_errors),
            publish_ok: read(&self.publish_ok),
            publish_bad: read(&self.publish_bad),
            publish_dropped: read(&self.publish_dropped),
            gaps: read(&self.gaps),
            refused_for_good: read(&self.refused_for_good),
            gave_up: read(&self.gave_up),
            unreadable: read(&self.unreadable),
        }
    }

    /// Latencies of the deliveries up to now.
    #[must_use]
    pub fn latencies(&self) -> LatencyCounts {
        let mut all = LatencyCounts::default();
        self.lanes.iter().for_each(|lane| all.merge(&lane.latencies.counts()));
        all
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
    fn waiting_is_in_vain_once_everybody_has_a_stream_or_gave_up() {
        let snapshot =
            |refused_for_good, gave_up| Snapshot { refused_for_good, gave_up, ..Snapshot::default() };
        assert_eq!(snapshot(2, 0).refused(0, 3), None, "the third may connect");
        assert_eq!(snapshot(3, 0).refused(0, 3), Some(3));
        assert_eq!(snapshot(2, 0).refused(1, 3), None, "they try again, and the server has let one in");
        assert_eq!(snapshot(2, 2).refused(1, 3), Some(2));
        assert_eq!(snapshot(0, 3).refused(0, 3), Some(3), "final for them, though not for everybody");
        assert_eq!(snapshot(0, 0).refused(3, 3), None);
    }

    #[test]
    fn what_threads_count_is_one_count() {
        let (progress, each) = (Progress::default(), 2 * LANES as u64);
        std::thread::scope(|scope| {
            for ms in 1..=each {
                let progress = &progress;
                scope.spawn(move || progress.delivered_after(Duration::from_millis(ms)));
            }
        });
        assert_eq!((progress.snapshot().delivered, progress.latencies().count()), (each, each));
        // The reports of a worker are taken over by whatever thread hears of them.
        let reported = |delivered| Snapshot { delivered, ..Snapshot::default() };
        std::thread::scope(|scope| _ = scope.spawn(|| progress.replace(&reported(9), &reported(2))));
        assert_eq!(progress.snapshot().delivered, each - 7);
    }

    #[test]
    fn a_final_answer_is_named_before_a_passing_one() {
        let (one, other) = (Progress::default(), Progress::default());
        one.note_connect_error(|| "refused".to_owned());
        assert_eq!(one.connect_failure(), Some("refused"));
        one.refused_for_good(|| "401".to_owned());
        other.note_failures(&one.connect_failures());
        assert_eq!(other.connect_failure(), Some("401"));
    }

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
