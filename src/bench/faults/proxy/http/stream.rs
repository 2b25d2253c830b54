//! One response with events: its units go through the stages of a connection. Holds at most one unfinished unit.
//! Read [`EventStream::feed`] first.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::lines::{Lines, Shape};
use super::stage::{EventStage, Out};
use super::unit::Unit;

/// Longest unit that is read as a whole, in bytes; a longer one passes as it comes, and no toxic meets it.
const UNIT_MAX: usize = 16 * 1024 * 1024;

/// The stream of one response.
#[derive(Debug)]
pub(super) struct EventStream {
    /// What the client asked for.
    pub(super) target: String,
    lines: Lines,
    /// The unfinished unit, where units are read.
    unfinished: BytesMut,
    /// The unfinished unit has begun to pass, so its rest passes too.
    passes_rest: bool,
    /// Whether units are read and go through the stages.
    is_read: bool,
    pub(super) is_silent: bool,
    /// Why its units cannot be read.
    pub(super) unreadable: Option<String>,
}

/// What leaves a stream: bytes, the time before which they do not leave, and whether they are a piece of their own.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    pub(super) due: Duration,
    pub(super) is_cut: bool,
}

/// What came out of a stream.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    pub(super) pieces: Vec<Piece>,
    /// The connection ends behind the pieces.
    pub(super) closes: bool,
}

impl EventStream {
    pub(super) fn new(target: String) -> Self {
        Self {
            target,
            lines: Lines::default(),
            unfinished: BytesMut::new(),
            passes_rest: false,
            is_read: false,
            is_silent: false,
            unreadable: None,
        }
    }

    /// Whether its units go through the stages; otherwise it is only followed.
    pub(super) fn is_read(&self) -> bool {
        self.is_read
    }

    /// From here on its units go through the stages.
    pub(super) fn begin_reading(&mut self) {
        self.is_read = true;
        self.passes_rest = !self.lines.is_between_units();
    }

    /// From here on it is only followed. What it and its stages kept leaves.
    pub(super) fn end_reading(&mut self, now: Duration, stages: &mut [EventStage]) -> Leaving {
        self.is_read = false;
        self.finish(now, stages)
    }

    /// Follows bytes that pass as they are.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        if self.unreadable.is_some() {
            return;
        }
        while let Some((end, _)) = self.lines.unit_end(bytes) {
            bytes = &bytes[end..];
        }
    }

    /// Takes payload, and returns what leaves.
    pub(super) fn feed(&mut self, now: Duration, mut payload: Bytes, stages: &mut [EventStage]) -> Leaving {
        let mut leaving = Leaving::default();
        while !leaving.closes && !payload.is_empty() {
            let found = self.lines.unit_end(&payload);
            let bytes = payload.split_to(found.map_or(payload.len(), |(end, _)| end));
            let whole = found.map(|(_, shape)| shape);
            if self.passes_rest || self.unfinished.len() + bytes.len() > UNIT_MAX {
                self.pass_rest(now, bytes, stages, &mut leaving);
                self.passes_rest = whole.is_none();
                continue;
            }
            let Some(shape) = whole else {
                self.unfinished.extend_from_slice(&bytes);
                return leaving;
            };
            let bytes = if self.unfinished.is_empty() {
                bytes
            } else {
                self.unfinished.extend_from_slice(&bytes);
                std::mem::take(&mut self.unfinished).freeze()
            };
            self.send(Unit { bytes, shape, due: now }, stages, 0, &mut leaving);
        }
        leaving
    }

    /// Bytes of a unit that has begun to pass, or is too long to be read.
    fn pass_rest(&mut self, now: Duration, bytes: Bytes, stages: &mut [EventStage], leaving: &mut Leaving) {
        if !self.passes_rest {
            let why = format!("an event of more than {UNIT_MAX} bytes passed as it was");
            stages.iter().filter(|stage| stage.is_on_stream()).for_each(|stage| stage.note_unreadable(&why));
        }
        for bytes in [std::mem::take(&mut self.unfinished).freeze(), bytes] {
            let rest = Unit { bytes, shape: Shape::Rest, due: now };
            self.send(rest, stages, 0, leaving);
        }
    }

    /// What was kept long enough.
    pub(super) fn release(&mut self, now: Duration, stages: &mut [EventStage]) -> Leaving {
        self.let_go(now, Some(now), stages)
    }

    /// The stream ends, or is only followed from here on: nothing is kept any more.
    pub(super) fn finish(&mut self, now: Duration, stages: &mut [EventStage]) -> Leaving {
        let mut leaving = self.let_go(now, None, stages);
        if !self.unfinished.is_empty() {
            let bytes = std::mem::take(&mut self.unfinished).freeze();
            self.send(Unit { bytes, shape: Shape::Rest, due: now }, stages, 0, &mut leaving);
        }
        leaving
    }

    fn let_go(&mut self, now: Duration, until: Option<Duration>, stages: &mut [EventStage]) -> Leaving {
        let mut leaving = Leaving::default();
        for index in 0..stages.len() {
            if let Some(unit) = stages[index].release(until) {
                self.send(unit.not_before(now), stages, index + 1, &mut leaving);
            }
        }
        leaving
    }

    /// What a stage kept that is removed now, through the stages behind it.
    pub(super) fn send_on(&mut self, now: Duration, unit: Unit, behind: &mut [EventStage]) -> Leaving {
        let mut leaving = Leaving::default();
        self.send(unit.not_before(now), behind, 0, &mut leaving);
        leaving
    }

    /// Sends a unit through the stages from this one on.
    fn send(&mut self, unit: Unit, stages: &mut [EventStage], from: usize, leaving: &mut Leaving) {
        if self.is_silent || leaving.closes || unit.bytes.is_empty() {
            return;
        }
        let Some(stage) = stages.get_mut(from) else {
            return cut(&unit, stages, leaving);
        };
        let mut out = Vec::new();
        stage.pass(unit, &mut out);
        for out in out {
            match out {
                Out::Unit(unit) => self.send(unit, stages, from + 1, leaving),
                Out::Silence => self.is_silent = true,
                Out::Close => leaving.closes = true,
            }
        }
    }
}

/// The bytes of a unit, in the pieces that the stages want.
fn cut(unit: &Unit, stages: &mut [EventStage], leaving: &mut Leaving) {
    let mut places: Vec<usize> =
        stages.iter_mut().flat_map(|stage| stage.places_to_cut(unit.bytes.len())).collect();
    places.sort_unstable();
    places.dedup();
    let is_cut = !places.is_empty();
    let mut from = 0;
    for place in places.into_iter().chain([unit.bytes.len()]) {
        leaving.pieces.push(Piece { bytes: unit.bytes.slice(from..place), due: unit.due, is_cut });
        from = place;
    }
}
