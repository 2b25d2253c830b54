//! The next slots of the window, taken once for all level streams of a loop: events to all are joined into one piece,
//! and for the others it is known which streams they are for. Read [`Batch`] first.

use std::ops::Range;
use std::sync::Arc;

use super::lists::{Listeners, Lists};
use crate::node::window::{Form, Place, Slot, WindowFrame};
use crate::protocol::Cursor;

/// Pairs of a stream and an event for it in one batch; one event more may be in it.
const PAIRS: usize = 64 * 1024;

/// An event of the batch that is not for all, and a stream that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    stream: u32,
    frame: u32,
}

/// Frames in log order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    frames: Vec<Arc<WindowFrame>>,
    /// Indices of those that are for all.
    to_all: Vec<u32>,
    /// Sorted, so that those of one stream stand together.
    pairs: Vec<Pair>,
    /// Those to all, joined, for each form.
    joined: [Vec<u8>; Form::COUNT],
    /// Those for the last stream that had some of its own, with those to all.
    own: Vec<u8>,
    own_of: Option<(Form, Range<usize>)>,
}

/// Whether streams must look at a slot one by one: some have had what it holds, others have not.
pub(super) fn is_mark(slot: &Slot) -> bool {
    match slot {
        Slot::Frame(frame) => !frame.origins.places().is_empty(),
        Slot::Gap(_) | Slot::Sync(_) => true,
    }
}

impl Batch {
    /// Takes the slots before the first mark; returns how many those are.
    pub(super) fn fill(&mut self, slots: &[Slot], lists: &mut Lists) -> u64 {
        self.clear();
        for slot in slots.iter().take_while(|slot| !is_mark(slot)) {
            let Slot::Frame(frame) = slot else { break };
            let index = u32::try_from(self.frames.len()).unwrap_or(u32::MAX);
            match lists.of(&frame.address) {
                Listeners::All => self.to_all.push(index),
                Listeners::These(streams) => {
                    self.pairs.extend(streams.iter().map(|stream| Pair { stream: *stream, frame: index }));
                }
            }
            self.frames.push(Arc::clone(frame));
            if self.pairs.len() >= PAIRS {
                break;
            }
        }
        self.pairs.sort_unstable();
        self.frames.len() as u64
    }

    /// Lets go of the frames.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.to_all.clear();
        self.pairs.clear();
        self.joined.iter_mut().for_each(Vec::clear);
        self.own_of = None;
    }

    pub(super) fn is_for_nobody(&self) -> bool {
        self.to_all.is_empty() && self.pairs.is_empty()
    }

    /// The frames that are for all.
    pub(super) fn to_all(&self) -> impl ExactSizeIterator<Item = &Arc<WindowFrame>> {
        self.to_all.iter().map(|index| &self.frames[*index as usize])
    }

    /// The position of the last frame that is for all.
    pub(super) fn told_all(&self) -> Option<Cursor> {
        self.to_all().last().map(|frame| frame.cursor)
    }

    /// The frames for a stream with these pairs, each with its index in the batch.
    pub(super) fn frames_of(&self, pairs: Range<usize>) -> impl Iterator<Item = (usize, &Arc<WindowFrame>)> {
        let mut all = self.to_all.iter().copied().peekable();
        let mut own = self.pairs[pairs].iter().map(|pair| pair.frame).peekable();
        std::iter::from_fn(move || match (all.peek(), own.peek()) {
            (Some(a), Some(b)) if b < a => own.next(),
            (Some(_), _) => all.next(),
            (None, _) => own.next(),
        })
        .map(|index| (index as usize, &self.frames[index as usize]))
    }

    /// The bytes for a stream with these pairs.
    pub(super) fn piece(&mut self, form: Form, pairs: Range<usize>) -> &[u8] {
        if pairs.is_empty() {
            let kind = form.index();
            if self.joined[kind].is_empty() {
                let mut joined = std::mem::take(&mut self.joined[kind]);
                self.frames_of(0..0).for_each(|(_, frame)| joined.extend_from_slice(frame.bytes(form)));
                self.joined[kind] = joined;
            }
            return &self.joined[kind];
        }
        let frames = |pairs: &Range<usize>| self.pairs[pairs.clone()].iter().map(|pair| pair.frame);
        let is_same =
            |(known, last): &(Form, Range<usize>)| *known == form && frames(last).eq(frames(&pairs));
        if !self.own_of.as_ref().is_some_and(is_same) {
            let mut own = std::mem::take(&mut self.own);
            own.clear();
            self.frames_of(pairs.clone()).for_each(|(_, frame)| own.extend_from_slice(frame.bytes(form)));
            self.own = own;
        }
        self.own_of = Some((form, pairs));
        &self.own
    }
}

/// How far a batch has got.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) from: Place,
    pub(super) to: Place,
    /// Over all streams; otherwise over those that have pairs.
    all: bool,
    /// The next stream, the number of those that are left, and of all.
    slot: usize,
    left: usize,
    places: usize,
    /// The next pair, and the number of those that are left.
    pair: usize,
    pairs_left: usize,
}

impl Pass {
    /// A pass that begins somewhere else each time, so that no stream is always last.
    pub(super) fn new((from, to): (Place, Place), batch: &Batch, places: usize, turn: usize) -> Self {
        let slot = turn.wrapping_mul(7919) % places;
        let pair = batch.pairs.partition_point(|pair| (pair.stream as usize) < slot);
        let all = !batch.to_all.is_empty();
        Self { from, to, all, slot, left: places, places, pair, pairs_left: batch.pairs.len() }
    }

    /// Streams that are left, about.
    pub(super) fn streams(&self) -> usize {
        if self.all { self.left } else { self.pairs_left }
    }

    /// The index of the next stream, and its pairs.
    pub(super) fn next(&mut self, batch: &Batch) -> Option<(usize, Range<usize>)> {
        if self.streams() == 0 {
            return None;
        }
        let pairs = &batch.pairs;
        if !self.all && self.pair == pairs.len() {
            self.pair = 0;
        }
        let stream = if self.all { self.slot } else { pairs[self.pair].stream as usize };
        let begin = self.pair;
        let own = pairs[begin..].iter().take_while(|pair| pair.stream as usize == stream).count();
        self.pair += own;
        self.pairs_left -= own;
        if self.all {
            self.left -= 1;
            self.slot += 1;
            if self.slot == self.places {
                (self.slot, self.pair) = (0, 0);
            }
        }
        Some((stream, begin..begin + own))
    }
}
