//! One direction of a connection with all its toxics in a row: the pure core of the proxy. Chunks and times go in, chunks and
//! times come out; no clock, no socket, no task. Its memory is bounded: a full pipeline wants no more, so its sender is
//! held back as by TCP. Read [`Pipeline::step`] first.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::toxic_stage::{Chunk, Outcome, Taken, ToxicStage};
use crate::bench::scenario::plan::Seeds;
use crate::bench::scenario::{Direction, Toxic, ToxicKind};

/// Bytes that may wait in one direction; with a latency of 200 ms that still carries 2.6 MB/s.
pub(super) const BYTES_MAX: usize = 512 * 1024;
/// Chunks that may wait in one direction.
pub(super) const CHUNKS_MAX: usize = 4_096;

/// The next step of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write these bytes.
    Write(Bytes),
    /// Close the writing side.
    End,
    /// End the whole connection.
    Finish(Outcome),
    /// Wait: until this time if it is known, or until something arrives or changes.
    Wait(Option<Duration>),
}

/// One direction of one connection. Times count from the start of the connection, and never go back.
#[derive(Debug)]
pub struct Pipeline {
    direction: Direction,
    /// Makes the seed of each toxic on this connection.
    seeds: Seeds,
    inlet: VecDeque<Chunk>,
    /// The stages with their toxics' names, in the order in which the toxics were added.
    stages: Vec<(String, ToxicStage)>,
    /// Chunks of removed toxics.
    outlet: VecDeque<Chunk>,
    /// Bytes that wait in all stages.
    bytes: usize,
    has_ended: bool,
    outcome: Option<Outcome>,
}

impl Pipeline {
    /// For a new connection. `seed` is the connection's: both directions get the same.
    #[must_use]
    pub fn new(direction: Direction, seed: u64, toxics: &[Toxic]) -> Self {
        let mut pipeline = Self {
            direction,
            seeds: Seeds::new(seed),
            inlet: VecDeque::new(),
            stages: Vec::new(),
            outlet: VecDeque::new(),
            bytes: 0,
            has_ended: false,
            outcome: None,
        };
        for toxic in toxics.iter().filter(|toxic| is_of_bytes(toxic, direction)) {
            pipeline.add(Duration::ZERO, toxic, true);
        }
        pipeline
    }

    fn add(&mut self, now: Duration, toxic: &Toxic, is_new: bool) {
        let seed = self.seeds.of(&self.direction.to_string(), &toxic.name);
        let is_hit = self.is_hit(toxic) && !(is_new && toxic.kind == ToxicKind::HalfOpen);
        self.stages.push((toxic.name.clone(), ToxicStage::new(toxic.kind.clone(), is_hit, now, seed)));
    }

    /// One draw for each toxic and connection, the same in both directions: a spared connection stays spared.
    fn is_hit(&self, toxic: &Toxic) -> bool {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seeds.of("toxicity", &toxic.name));
        rng.random::<f64>() < toxic.toxicity
    }

    /// Replaces the toxics.
    pub fn set_toxics(&mut self, now: Duration, toxics: &[Toxic]) {
        let mine: Vec<&Toxic> = toxics.iter().filter(|toxic| is_of_bytes(toxic, self.direction)).collect();
        let mut index = 0;
        while index < self.stages.len() {
            if mine.iter().any(|toxic| toxic.name == self.stages[index].0) {
                index += 1;
            } else {
                self.remove(now, index);
            }
        }
        for toxic in mine {
            let is_hit = self.is_hit(toxic);
            match self.stages.iter_mut().find(|(name, _)| *name == toxic.name) {
                // A connection that was spared by a removed toxic stays spared.
                Some(_) if toxic.kind == ToxicKind::HalfOpen => {}
                Some((_, stage)) => stage.change(toxic.kind.clone(), is_hit),
                None => self.add(now, toxic, false),
            }
        }
    }

    /// Passes what waited in a removed stage to the next one, before anything later.
    fn remove(&mut self, now: Duration, index: usize) {
        let (_, stage) = self.stages.remove(index);
        let (waiting, outcome) = stage.into_remaining();
        for chunk in waiting {
            match self.stages.get_mut(index) {
                Some((_, next)) => self.bytes -= next.admit(now, chunk).min(self.bytes),
                None => self.outlet.push_back(chunk),
            }
        }
        self.outcome = self.outcome.max(outcome);
    }

    /// Whether the pipeline is stopped: it neither reads nor writes.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.stages.iter().any(|(_, stage)| stage.is_stalled())
    }

    /// Whether not even a connection can be made.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.stages.iter().any(|(_, stage)| stage.is_stalled() || stage.swallows())
    }

    /// Whether it takes more bytes.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        !self.has_ended && self.bytes < BYTES_MAX && self.chunks() < CHUNKS_MAX && !self.is_stalled()
    }

    fn chunks(&self) -> usize {
        let inside: usize = self.stages.iter().map(|(_, stage)| stage.waiting()).sum();
        self.inlet.len() + inside + self.outlet.len()
    }

    /// Takes in what was read.
    pub fn push(&mut self, chunk: Chunk) {
        if self.has_ended {
            return;
        }
        match &chunk {
            Chunk::Data(bytes) if bytes.is_empty() => return,
            Chunk::Data(bytes) => self.bytes += bytes.len(),
            Chunk::End | Chunk::Broken | Chunk::Close => self.has_ended = true,
        }
        self.inlet.push_back(chunk);
    }

    /// When a toxic ends the connection, even if earlier bytes could not be written by then.
    #[must_use]
    pub fn finish_at(&self) -> Option<Duration> {
        let verdict = if self.is_stalled() { None } else { self.verdict() };
        verdict.map(|(at, _)| at)
    }

    fn verdict(&self) -> Option<(Duration, Outcome)> {
        self.stages.iter().filter_map(|(_, stage)| stage.verdict()).min()
    }

    /// The next step. Call it again after each step.
    pub fn step(&mut self, now: Duration) -> Step {
        if let Some(outcome) = self.outcome {
            return Step::Finish(outcome);
        }
        if self.is_stalled() {
            return Step::Wait(None);
        }
        let verdict = self.verdict();
        if let Some((_, outcome)) = verdict.filter(|(at, _)| *at <= now) {
            return self.finish(outcome);
        }
        match self.link_down(self.stages.len(), now) {
            Taken::Chunk(Chunk::Data(bytes)) => {
                self.bytes = self.bytes.saturating_sub(bytes.len());
                Step::Write(bytes)
            }
            Taken::Chunk(Chunk::End) => Step::End,
            Taken::Chunk(Chunk::Broken) => self.finish(Outcome::Reset),
            Taken::Chunk(Chunk::Close) => self.finish(Outcome::Closed),
            Taken::Wait(until) => Step::Wait(earlier(until, verdict.map(|(at, _)| at))),
        }
    }

    fn finish(&mut self, outcome: Outcome) -> Step {
        self.outcome = Some(outcome);
        Step::Finish(outcome)
    }

    /// The chunks that leave the first `count` stages.
    fn link_down(&mut self, count: usize, now: Duration) -> Taken {
        if count == self.stages.len()
            && let Some(chunk) = self.outlet.pop_front()
        {
            return Taken::Chunk(chunk);
        }
        let Some(last) = count.checked_sub(1) else {
            return self.inlet.pop_front().map_or(Taken::Wait(None), Taken::Chunk);
        };
        let before = loop {
            match self.link_down(last, now) {
                Taken::Chunk(chunk) => {
                    let gone = self.stages[last].1.admit(now, chunk);
                    self.bytes -= gone.min(self.bytes);
                }
                Taken::Wait(until) => break until,
            }
        };
        match self.stages[last].1.take(now) {
            Taken::Wait(until) => Taken::Wait(earlier(before, until)),
            taken @ Taken::Chunk(_) => taken,
        }
    }
}

/// Event toxics have met the connection before its pipelines.
fn is_of_bytes(toxic: &Toxic, direction: Direction) -> bool {
    toxic.stream.meets(direction) && !matches!(toxic.kind, ToxicKind::Event(_))
}

fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}
