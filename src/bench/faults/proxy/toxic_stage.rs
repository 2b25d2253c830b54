//! One toxic on one direction of one connection: chunks and times go in, chunks and times come out. No clock, no socket, no
//! task. Loses only what its toxic discards. Read [`ToxicStage::admit`] and [`ToxicStage::take`].

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use crate::bench::scenario::ToxicKind;

/// A piece of what passes through a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes of the stream.
    Data(Bytes),
    /// The sender closed its side (FIN).
    End,
    /// The sender reset the connection (RST).
    Broken,
    /// A toxic closes the connection once everything before this has arrived.
    Close,
}

impl Chunk {
    /// Number of bytes in it.
    pub(super) fn size(&self) -> usize {
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

/// What a stage gives when it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taken {
    /// A chunk for the next stage.
    Chunk(Chunk),
    /// Nothing before this time, if it is known.
    Wait(Option<Duration>),
}

/// Burst of a bandwidth toxic: the bytes of a tenth of a second.
const SLICES_PER_SECOND: u64 = 10;

/// A toxic on one direction of one connection. Times count from the start of the connection.
#[derive(Debug)]
pub(super) struct ToxicStage {
    kind: ToxicKind,
    /// Whether the toxic meets this connection. Otherwise everything passes.
    is_hit: bool,
    /// When the toxic was added.
    since: Duration,
    /// Waiting chunks, each with the time from which it may leave.
    queue: VecDeque<(Duration, Chunk)>,
    /// When the line is free for the next piece.
    free_at: Duration,
    /// Bytes that went through.
    passed: u64,
    /// Whether the limit of bytes is reached: nothing passes any more.
    is_shut: bool,
    /// Whether anything was discarded: bytes, or an end.
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

    /// Changes attributes or toxicity. Waiting chunks keep their times, counts stay, and a connection that has lost
    /// something is no longer spared.
    pub(super) fn change(&mut self, kind: ToxicKind, is_hit: bool) {
        (self.kind, self.is_hit) = (kind, is_hit || self.has_hole);
    }

    /// Number of waiting chunks.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether the toxic stops this connection.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_hit && self.kind == ToxicKind::Stall
    }

    /// Whether the toxic discards everything, so that not even a connection can be made.
    pub(super) fn swallows(&self) -> bool {
        self.is_hit && matches!(self.kind, ToxicKind::Drop | ToxicKind::HalfOpen)
    }

    /// Takes a chunk in. Returns how many bytes are discarded.
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

    /// Closes the connection behind what went through.
    fn shut(&mut self, now: Duration) {
        if !std::mem::replace(&mut self.is_shut, true) {
            self.queue.clear();
            self.queue.push_back((now, Chunk::Close));
        }
    }

    /// When a chunk may leave, as far as that does not depend on the chunks before it.
    fn due(&mut self, now: Duration, chunk: &Chunk) -> Duration {
        if !self.is_hit {
            return now;
        }
        let due = match (&self.kind, chunk) {
            (&ToxicKind::Latency { latency, jitter }, _) => {
                let most = latency.saturating_add(jitter);
                now + millis(self.rng.random_range(latency.saturating_sub(jitter)..=most))
            }
            (ToxicKind::SlowClose { delay }, Chunk::End | Chunk::Broken) => now + millis(*delay),
            _ => now,
        };
        // TCP keeps the order, whatever the delay of one packet was, so nothing overtakes.
        let before = self.queue.back().map_or(Duration::ZERO, |(due, _)| *due);
        due.max(before)
    }

    /// The next chunk, if one is ready now.
    pub(super) fn take(&mut self, now: Duration) -> Taken {
        match self.ready_at() {
            Some(ready) if ready <= now => self.pass(now, ready).map_or(Taken::Wait(None), Taken::Chunk),
            later => Taken::Wait(later),
        }
    }

    /// How and when this toxic ends the connection, independent of its bytes.
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

    /// When the head of the queue may leave; `None`: unknown.
    fn ready_at(&self) -> Option<Duration> {
        let (due, head) = self.queue.front()?;
        if !self.is_hit {
            return Some(*due);
        }
        match (&self.kind, head) {
            (ToxicKind::Stall | ToxicKind::ResetPeer { .. }, _)
            | (ToxicKind::Bandwidth { rate: 0 }, Chunk::Data(_)) => None,
            (&ToxicKind::Bandwidth { rate }, Chunk::Data(bytes)) => {
                Some(self.free_at.max(*due) + time_of(next_chunk_len(bytes, rate), rate))
            }
            (ToxicKind::Slicer { .. }, Chunk::Data(_)) => Some(self.free_at.max(*due)),
            _ => Some(*due),
        }
    }

    /// Removes the head of the queue, or a slice of it.
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

    /// Removes the stage: the waiting chunks in order, and how the connection ends if it cannot go on.
    pub(super) fn into_remaining(self) -> (impl Iterator<Item = Chunk>, Option<Outcome>) {
        let outcome = match self.kind {
            ToxicKind::Timeout { .. } if self.is_hit => Some(Outcome::Closed),
            ToxicKind::Drop | ToxicKind::HalfOpen if self.has_hole => Some(Outcome::Reset),
            _ => None,
        };
        (self.queue.into_iter().map(|(_, chunk)| chunk), outcome)
    }
}

/// Bytes of the next slice that a bandwidth toxic lets pass.
fn next_chunk_len(bytes: &Bytes, rate: u64) -> usize {
    bytes.len().min(to_usize(rate.saturating_mul(1_000) / SLICES_PER_SECOND).max(1))
}

/// How long `bytes` take; a unit of `rate` is 1,000 bytes a second.
fn time_of(bytes: usize, rate: u64) -> Duration {
    Duration::from_nanos((bytes as u64).saturating_mul(1_000_000) / rate.max(1))
}

fn millis(value: u64) -> Duration {
    // A year stands for ever, and can be added to any time without overflow.
    Duration::from_millis(value.min(365 * 24 * 3_600_000))
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
