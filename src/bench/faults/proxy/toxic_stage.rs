//! One toxic at work on one direction of one connection: chunks and times in, chunks and times out. Knows no clock, no
//! socket and no task. Loses nothing that its toxic does not throw away. Read [`ToxicStage::admit`] and [`ToxicStage::take`].

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use crate::bench::scenario::ToxicKind;

/// What passes through a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes.
    Data(Bytes),
    /// The sender will say nothing more.
    End,
    /// The sender broke the connection off.
    Broken,
    /// A toxic closes the connection, once what is before this has arrived.
    Close,
}

impl Chunk {
    /// Bytes in it.
    fn size(&self) -> usize {
        match self {
            Self::Data(bytes) => bytes.len(),
            Self::End | Self::Broken | Self::Close => 0,
        }
    }
}

/// How a whole connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Both sides are closed.
    Closed,
    /// Both sides are reset.
    Reset,
}

/// What a stage gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taken {
    /// To the next one.
    Chunk(Chunk),
    /// Not yet: at this time, if it is known.
    Wait(Option<Duration>),
}

/// How much a bandwidth lets pass at once: what fits into a tenth of a second.
const SLICES_PER_SECOND: u64 = 10;

/// A toxic on one direction of one connection. Times count from the beginning of the connection.
#[derive(Debug)]
pub(super) struct ToxicStage {
    kind: ToxicKind,
    /// Whether it meets this connection. Else everything passes.
    is_hit: bool,
    /// Since when it is there.
    since: Duration,
    /// What waits in it, with the time from which on it may go.
    queue: VecDeque<(Duration, Chunk)>,
    /// When the line is free for the next piece.
    free_at: Duration,
    /// Bytes that went through.
    passed: u64,
    /// Whether its limit is reached: nothing goes through any more.
    is_shut: bool,
    /// Whether something was thrown away: bytes, or an end.
    has_hole: bool,
    rng: ChaCha8Rng,
}

impl ToxicStage {
    pub(super) fn new(kind: ToxicKind, is_hit: bool, since: Duration, seed: u64) -> Self {
        Self {
            kind,
            is_hit,
            since,
            queue: VecDeque::new(),
            free_at: Duration::ZERO,
            passed: 0,
            is_shut: false,
            has_hole: false,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Other attributes, or another toxicity. What waits keeps its time; counts stay; and a connection that has lost
    /// something is not spared any more.
    pub(super) fn change(&mut self, kind: ToxicKind, is_hit: bool) {
        (self.kind, self.is_hit) = (kind, is_hit || self.has_hole);
    }

    /// How many chunks wait in it.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether this connection is stopped by it.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_hit && self.kind == ToxicKind::Stall
    }

    /// Whether it throws everything away, so that not even a connection can be made.
    pub(super) fn swallows(&self) -> bool {
        self.is_hit && matches!(self.kind, ToxicKind::Drop | ToxicKind::HalfOpen)
    }

    /// Takes something in. Gives back how many bytes are gone for good.
    pub(super) fn admit(&mut self, now: Duration, chunk: Chunk) -> usize {
        if let Some(size) = self.swallowed(&chunk) {
            self.has_hole = true;
            return size;
        }
        if self.is_exhausted() {
            self.shut(now);
            return chunk.size();
        }
        let due = self.due(now, &chunk);
        self.queue.push_back((due, chunk));
        0
    }

    fn swallowed(&self, chunk: &Chunk) -> Option<usize> {
        match self.kind {
            _ if !self.is_hit => None,
            ToxicKind::Drop | ToxicKind::HalfOpen => Some(chunk.size()),
            ToxicKind::Timeout { .. } if matches!(chunk, Chunk::Data(_)) => Some(chunk.size()),
            _ => None,
        }
    }

    fn is_exhausted(&self) -> bool {
        matches!(self.kind, ToxicKind::LimitData { bytes } if self.is_hit && self.passed >= bytes)
    }

    /// The connection is closed behind what went through.
    fn shut(&mut self, now: Duration) {
        if !std::mem::replace(&mut self.is_shut, true) {
            self.queue.clear();
            self.queue.push_back((now, Chunk::Close));
        }
    }

    /// From when on it may go, as far as that does not depend on what is before it.
    fn due(&mut self, now: Duration, chunk: &Chunk) -> Duration {
        if !self.is_hit {
            return now;
        }
        let due = match (self.kind, chunk) {
            (ToxicKind::Latency { latency, jitter }, _) => {
                let most = latency.saturating_add(jitter);
                now + millis(self.rng.random_range(latency.saturating_sub(jitter)..=most))
            }
            (ToxicKind::SlowClose { delay }, Chunk::End | Chunk::Broken) => now + millis(delay),
            _ => now,
        };
        // Nothing overtakes: TCP keeps the order, whatever a packet's own delay was.
        let before = self.queue.back().map_or(Duration::ZERO, |(due, _)| *due);
        due.max(before)
    }

    /// What is ready now.
    pub(super) fn take(&mut self, now: Duration) -> Taken {
        match self.ready_at() {
            Some(ready) if ready <= now => self.pass(now, ready).map_or(Taken::Wait(None), Taken::Chunk),
            later => Taken::Wait(later),
        }
    }

    /// How and when the connection ends because of this toxic, whatever is said on it.
    pub(super) fn verdict(&self) -> Option<(Duration, Outcome)> {
        if !self.is_hit {
            return None;
        }
        match self.kind {
            ToxicKind::ResetPeer { timeout } => Some((self.since + millis(timeout), Outcome::Reset)),
            ToxicKind::Timeout { timeout } if timeout > 0 => {
                Some((self.since + millis(timeout), Outcome::Closed))
            }
            ToxicKind::Cut { time } => Some((self.since + millis(time), Outcome::Closed)),
            _ => None,
        }
    }

    /// When the head of the queue may go; `None`: nobody knows.
    fn ready_at(&self) -> Option<Duration> {
        let (due, head) = self.queue.front()?;
        if !self.is_hit {
            return Some(*due);
        }
        match (self.kind, head) {
            (ToxicKind::Stall | ToxicKind::ResetPeer { .. }, _)
            | (ToxicKind::Bandwidth { rate: 0 }, Chunk::Data(_)) => None,
            (ToxicKind::Bandwidth { rate }, Chunk::Data(bytes)) => {
                Some(self.free_at.max(*due) + time_of(next_chunk_len(bytes, rate), rate))
            }
            (ToxicKind::Slicer { .. }, Chunk::Data(_)) => Some(self.free_at.max(*due)),
            _ => Some(*due),
        }
    }

    /// Lets the head of the queue go, or a piece of it.
    fn pass(&mut self, now: Duration, ready: Duration) -> Option<Chunk> {
        let (due, head) = self.queue.pop_front()?;
        let Chunk::Data(mut bytes) = head else { return Some(head) };
        let piece = match self.kind {
            _ if !self.is_hit => bytes.len(),
            ToxicKind::Bandwidth { rate } => {
                self.free_at = ready;
                next_chunk_len(&bytes, rate)
            }
            ToxicKind::Slicer { average_size, size_variation, delay } => {
                self.free_at = now + Duration::from_micros(delay);
                self.slice_of(average_size, size_variation).min(bytes.len())
            }
            ToxicKind::LimitData { bytes: limit } => {
                to_usize(limit.saturating_sub(self.passed)).min(bytes.len())
            }
            _ => bytes.len(),
        };
        let first = bytes.split_to(piece);
        if !bytes.is_empty() {
            self.queue.push_front((due, Chunk::Data(bytes)));
        }
        self.passed += first.len() as u64;
        if self.is_exhausted() {
            self.shut(now);
        }
        Some(Chunk::Data(first))
    }

    fn slice_of(&mut self, average: u64, variation: u64) -> usize {
        let sizes = average.saturating_sub(variation)..=average.saturating_add(variation);
        to_usize(self.rng.random_range(sizes)).max(1)
    }

    /// Its end: what waits in it, in order, and how the connection ends if it cannot go on.
    pub(super) fn into_remaining(self) -> (impl Iterator<Item = Chunk>, Option<Outcome>) {
        let outcome = match self.kind {
            ToxicKind::Timeout { .. } if self.is_hit => Some(Outcome::Closed),
            ToxicKind::Drop | ToxicKind::HalfOpen if self.has_hole => Some(Outcome::Reset),
            _ => None,
        };
        (self.queue.into_iter().map(|(_, chunk)| chunk), outcome)
    }
}

/// Bytes of the next piece that a bandwidth lets pass.
fn next_chunk_len(bytes: &Bytes, rate: u64) -> usize {
    bytes.len().min(to_usize(rate.saturating_mul(1_000) / SLICES_PER_SECOND).max(1))
}

/// How long so many bytes take at 1,000 bytes per second and unit of `rate`.
fn time_of(bytes: usize, rate: u64) -> Duration {
    Duration::from_nanos((bytes as u64).saturating_mul(1_000_000) / rate.max(1))
}

fn millis(value: u64) -> Duration {
    // A year is for ever, and can be added to any time.
    Duration::from_millis(value.min(365 * 24 * 3_600_000))
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
