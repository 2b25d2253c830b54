//! Measurements of one client on their way to a recorder. Ten thousand clients cannot each own histograms (one is
//! tens of kilobytes), and a lock for every event would be one too many: so each client writes a short tape, and hands
//! it in when it is full.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::bench::metrics::clock::RunClock;
use crate::bench::metrics::metric::{Counter, Trend};
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::tags::Tags;
use crate::bench::metrics::time::RunTime;

/// Entries on a full tape: 64 make one lock for 64 measurements, in 3 KiB a client.
const LENGTH: usize = 64;

/// A recorder that some clients share.
pub type SharedRecorder = Arc<Mutex<Recorder>>;

/// Measurements that are not handed in yet. Handed in on drop.
#[derive(Debug)]
pub struct SampleBuffer {
    entries: Vec<Entry>,
    recorder: SharedRecorder,
    clock: RunClock,
}

#[derive(Debug, Clone, Copy)]
enum Entry {
    Trend(Trend, Tags, RunTime, Duration),
    Counter(Counter, Tags, u64),
}

impl SampleBuffer {
    /// An empty tape.
    #[must_use]
    pub fn new(recorder: SharedRecorder, clock: RunClock) -> Self {
        Self { entries: Vec::new(), recorder, clock }
    }

    /// Notes a duration.
    pub fn record(&mut self, trend: Trend, tags: Tags, value: Duration) {
        let now = self.clock.now();
        // A delivery belongs to the second in which it was due, as it belongs to the phase in which it was due.
        let at = if trend == Trend::DeliveryLatency { now.minus(value) } else { now };
        self.push(Entry::Trend(trend, tags, at, value));
    }

    /// Notes a count.
    pub fn count(&mut self, counter: Counter, tags: Tags, by: u64) {
        self.push(Entry::Counter(counter, tags, by));
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
        if self.entries.len() >= LENGTH {
            self.hand_in();
        }
    }

    fn hand_in(&mut self) {
        // Poison means that another client panicked while it handed in; the histograms are whole all the same.
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in self.entries.drain(..) {
            match entry {
                Entry::Trend(trend, tags, at, value) => recorder.record_at(trend, tags, at, value),
                Entry::Counter(counter, tags, by) => recorder.count(counter, tags, by),
            }
        }
    }
}

impl Drop for SampleBuffer {
    fn drop(&mut self) {
        self.hand_in();
    }
}
