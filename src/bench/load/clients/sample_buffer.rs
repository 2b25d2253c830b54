//! A buffer of measurements between a client and a recorder. Ten thousand clients cannot each own histograms (one has tens of
//! kilobytes), and a lock for every event would be too slow. So each client buffers a few samples and flushes them together.
//! Read [`SampleBuffer`] first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    capacity: usize,
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
        Self { entries: Vec::new(), capacity: CAPACITY, recorder, clock }
    }

    /// As [`Self::new`], for clients of one thread: nobody else holds the lock of their recorder, so nothing is buffered.
    #[must_use]
    pub fn unbuffered(recorder: SharedRecorder, clock: RunClock) -> Self {
        Self { entries: Vec::new(), capacity: 1, recorder, clock }
    }

    /// Buffers a duration of now.
    pub fn record(&mut self, trend: Trend, tags: Tags, value: Duration) {
        self.record_at(trend, tags, self.clock.now(), value);
    }

    /// Buffers a duration that belongs to a time.
    pub fn record_at(&mut self, trend: Trend, tags: Tags, at: RunTime, value: Duration) {
        self.push(Entry::Trend(trend, tags, at, value));
    }

    /// Buffers a count.
    pub fn count(&mut self, counter: Counter, tags: Tags, by: u64) {
        self.push(Entry::Counter(counter, tags, by));
    }

    fn push(&mut self, entry: Entry) {
        if self.capacity <= 1 {
            return entry.enter(&mut self.recorder());
        }
        self.entries.push(entry);
        if self.entries.len() >= self.capacity {
            self.flush();
        }
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        // A poisoned lock means that another client panicked while it flushed. The histograms are still intact.
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        let mut recorder = self.recorder();
        entries.iter().for_each(|entry| entry.enter(&mut recorder));
        drop(recorder);
        self.entries = entries;
        self.entries.clear();
    }
}

impl Entry {
    fn enter(self, recorder: &mut Recorder) {
        match self {
            Self::Trend(trend, tags, at, value) => recorder.record_at(trend, tags, at, value),
            Self::Counter(counter, tags, by) => recorder.count(counter, tags, by),
        }
    }
}

impl Drop for SampleBuffer {
    fn drop(&mut self) {
        self.flush();
    }
}
