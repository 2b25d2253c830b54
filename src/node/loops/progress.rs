//! How a loop moves through the window with its level streams: where a pass begins, its slices, and what overtakes it.
//! Read [`EventLoop::begin`] first.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::event_loop::EventLoop;
use super::lists::Listeners;
use super::pass::{Pass, is_mark};
use crate::node::close::CloseCode;
use crate::node::window::{Place, Slot};

/// An event for more streams than this does not overtake a pass, and is worth waking the thread of a loop.
pub(super) const FEW: usize = 16;

impl EventLoop {
    /// Where a stream is level when its feed gets there.
    pub(super) fn goal(&self) -> Place {
        self.pass.as_ref().map_or(self.place, |pass| pass.to)
    }

    /// The place up to which a level stream has everything.
    pub(super) fn level_place(&self, served: u64) -> Place {
        match &self.pass {
            Some(pass) if served >= pass.to.ordinal => pass.to,
            Some(pass) => pass.from,
            None => self.place,
        }
    }

    /// Lets every level stream go on by itself from where it is.
    pub(super) fn detach_all(&mut self) {
        for index in 0..self.streams.places() {
            let Some((key, _)) = self.streams.at(index) else { continue };
            self.fall_behind(key, None);
            self.enqueue(key);
        }
    }

    pub(super) fn move_to(&mut self, place: Place) {
        self.place = place;
        self.handle.set_position(place.cursor);
        self.goal_moved();
    }

    pub(super) fn goal_moved(&mut self) {
        for key in std::mem::take(&mut self.ahead) {
            self.enqueue(key);
        }
    }

    pub(super) fn begin(&mut self) {
        let (window, from) = (&self.context.window, self.place);
        if self.streams.len() == 0 || from.ordinal >= window.end() {
            return;
        }
        self.slots.clear();
        if !window.slots(from.ordinal, self.settings.budget.batch_bytes, &mut self.slots) {
            // The loop itself was too slow for the window: each stream reads the log and learns what is missing.
            self.detach_all();
            let end = self.context.window.place();
            return self.move_to(end);
        }
        let marks = self.slots.iter().take_while(|slot| is_mark(slot)).count();
        if let Some(last) = marks.checked_sub(1) {
            self.detach_all();
            let cursor = self.slots[last].cursor();
            self.slots.clear();
            return self.move_to(Place { ordinal: from.ordinal + marks as u64, cursor });
        }
        let count = self.batch.fill(&self.slots, &mut self.lists);
        let cursor = self.slots[usize::try_from(count - 1).unwrap_or(0)].cursor();
        self.slots.clear();
        let to = Place { ordinal: from.ordinal + count, cursor };
        if self.batch.is_for_nobody() {
            self.batch.clear();
            return self.move_to(to);
        }
        self.passes = self.passes.wrapping_add(1);
        self.pass = Some(Pass::new((from, to), &self.batch, self.streams.places(), self.passes));
        self.looked = to.ordinal;
        self.goal_moved();
    }

    /// Lets streams that get a newer event for themselves go on by themselves, so that it does not wait for the pass.
    pub(super) fn overtake(&mut self) {
        let end = self.context.window.end();
        if self.looked >= end {
            return;
        }
        self.slots.clear();
        self.context.window.slots(self.looked, self.settings.budget.batch_bytes, &mut self.slots);
        let begin = self.looked;
        self.looked += self.slots.len() as u64;
        let mut few: Vec<(u32, u64)> = Vec::new();
        for (slot, ordinal) in self.slots.iter().zip(begin..) {
            let Slot::Frame(frame) = slot else { continue };
            match self.lists.of(&frame.address) {
                Listeners::These(streams) if streams.len() <= FEW => {
                    few.extend(streams.iter().map(|stream| (*stream, ordinal + 1)));
                }
                Listeners::These(_) | Listeners::All => {}
            }
        }
        self.slots.clear();
        for (stream, until) in few {
            let Some((key, _)) = self.streams.at(stream as usize) else { continue };
            self.fall_behind(key, None);
            let Some(work) = self.streams.get_mut(key).and_then(|stream| stream.work.as_mut()) else {
                continue;
            };
            work.until = until;
            if !work.blocked {
                self.enqueue(key);
            }
        }
    }

    /// A slice of the pass under way.
    pub(super) fn continue_pass(&mut self) {
        let Some(mut pass) = self.pass.take() else { return };
        let mut served = 0;
        let mut is_done = false;
        for _ in 0..self.settings.budget.slice {
            let Some((index, pairs)) = pass.next(&self.batch) else {
                is_done = true;
                break;
            };
            let Some((key, stream)) = self.streams.at(index) else { continue };
            if stream.work.is_some() || stream.served >= pass.to.ordinal {
                continue;
            }
            let piece = self.batch.piece(stream.form, pairs.clone());
            let Ok(count) = stream.transport.push(piece) else {
                self.close(key, CloseCode::ClientGone);
                continue;
            };
            stream.served = pass.to.ordinal;
            let is_whole = count == piece.len();
            if pairs.is_empty() && is_whole {
                served += 1;
                stream.note_bytes(count, &mut self.counts);
                let (events, told) = (self.batch.to_all().len() as u64, self.batch.told_all());
                stream.note(events, told, (&mut self.counts, &self.ticks));
                continue;
            }
            let frames = self.batch.frames_of(pairs);
            let Some((index, rest)) = stream.note_frames(frames, count, (&mut self.counts, &self.ticks))
            else {
                continue;
            };
            let at = Place {
                ordinal: pass.from.ordinal + index as u64 + 1,
                cursor: rest.told.unwrap_or(pass.to.cursor),
            };
            self.fall_behind(key, Some(at));
            if let Some(work) = self.streams.get_mut(key).and_then(|stream| stream.work.as_mut()) {
                work.block(rest, 0, &self.ticks);
            }
        }
        if served > 0 {
            self.counts.timed.extend(self.batch.to_all().map(|frame| (Arc::clone(frame), served)));
            for frame in self.batch.to_all() {
                frame.written.fetch_add(served, Ordering::Relaxed);
            }
        }
        if is_done {
            self.batch.clear();
            self.move_to(pass.to);
        } else {
            self.pass = Some(pass);
        }
    }
}
