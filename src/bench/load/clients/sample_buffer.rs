//! A buffer of measurements between a client and a recorder. Ten thousand clients cannot each own histograms (one has tens of
//! kilobytes), and a lock for every event would be too slow. So each client buffers a few samples and flushes them together.
//! Read [`SampleBuffer`] first.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::bench::metrics::clock::RunClock;
use crate::bench::metrics::metric::{Counter, Trend};
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::tags::Tags;
use crate::bench::metrics::time::RunTime;

/// Samples in a full buffer: one lock for 64 samples, and 3 KiB for each client.
const CAPACITY: usize = 64;

/// A recorder that several clients share.
pub type SharedRecorder = Arc<Mutex<Recorder>>;

/// Measurements that are not in the recorder yet. Flushed on drop.
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
    /// An empty buffer.
    #[must_use]
    pub fn new(recorder: SharedRecorder, clock: RunClock) -> Self {
        Self { entries: Vec::new(), recorder, clock }
    }

    /// Buffers a duration.
    pub fn record(&mut self, trend: Trend, tags: Tags, value: Duration) {
        let now = self.clock.now();
        // A delivery counts in the second in which it was due, as its phase is the one in which it was due.
        let at = if trend == Trend::DeliveryLatency { now.minus(value) } else { now };
        self.push(Entry::Trend(trend, tags, at, value));
    }

    /// Buffers a count.
    pub fn count(&mut self, counter: Counter, tags: Tags, by: u64) {
        self.push(Entry::Counter(counter, tags, by));
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
        if self.entries.len() >= CAPACITY {
            self.flush();
        }
    }

    fn flush(&mut self) {
        // A poisoned lock means that another client panicked while it flushed. The histograms are still intact.
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
        self.flush();
    }
}
