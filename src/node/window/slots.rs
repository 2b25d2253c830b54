//! The slots of a window in log order. Must not know locks and readers. Read [`Slots`] first.

use std::collections::VecDeque;
use std::sync::Arc;

use super::frame::WindowFrame;
use crate::broker::{Missing, Synced};
use crate::protocol::{Cursor, Epoch};

/// How much a window may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowLimits {
    /// Most slots of the window.
    pub(crate) frames: usize,
    /// Most bytes of all frames together.
    pub(crate) bytes: usize,
}

/// A slot of the window: an event, a hole in the log that the tail skipped, or the end of a history.
#[derive(Debug, Clone)]
pub(crate) enum Slot {
    /// An encoded event.
    Frame(Arc<WindowFrame>),
    /// Events are missing here, for every reader.
    Gap(Missing),
    /// The history ended here; the log continues under another epoch.
    Sync(Synced),
}

impl Slot {
    /// The position behind it.
    pub(crate) fn cursor(&self) -> Cursor {
        match self {
            Self::Frame(frame) => frame.cursor,
            Self::Gap(missing) => missing.resumed_after,
            Self::Sync(sync) => sync.to,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.size(),
            Self::Gap(_) | Self::Sync(_) => 0,
        }
    }
}

/// A place between two slots, by both of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Ordinal of the slot behind it.
    pub(crate) ordinal: u64,
    /// Everything up to here lies before it.
    pub(crate) cursor: Cursor,
}

#[derive(Debug)]
pub(super) struct Slots {
    /// Ordinal of the first slot.
    pub(super) first: u64,
    pub(super) slots: VecDeque<Slot>,
    pub(super) bytes: usize,
    /// Each history in the window, with the ordinal of its first slot. Positions are ordered within one history only.
    histories: VecDeque<(Epoch, u64)>,
    /// Everything after this cursor is in the window.
    pub(super) start: Cursor,
    /// Newest position in the window.
    pub(super) tip: Cursor,
}

impl Slots {
    /// No slots yet, after this position.
    pub(super) fn new(tip: Cursor) -> Self {
        Self { first: 0, slots: VecDeque::new(), bytes: 0, histories: VecDeque::new(), start: tip, tip }
    }

    /// Ordinal after the last slot.
    pub(super) fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    pub(super) fn slot(&self, ordinal: u64) -> &Slot {
        let index =
            usize::try_from(ordinal - self.first).expect("a window is smaller than the address space");
        &self.slots[index]
    }

    pub(super) fn push(&mut self, slot: Slot) {
        let ordinal = self.end();
        let epoch = slot.cursor().epoch;
        if self.histories.back().is_none_or(|(newest, _)| *newest != epoch) {
            self.histories.push_back((epoch, ordinal));
        }
        self.bytes += slot.bytes();
        self.tip = slot.cursor();
        self.slots.push_back(slot);
    }

    pub(super) fn trim(&mut self, limits: WindowLimits) {
        while self.slots.len() > limits.frames || self.bytes > limits.bytes {
            let Some(slot) = self.slots.pop_front() else { return };
            self.first += 1;
            self.bytes -= slot.bytes();
            self.start = slot.cursor();
            if self.histories.get(1).is_some_and(|(_, begin)| *begin <= self.first) {
                self.histories.pop_front();
            }
        }
    }

    /// The ordinal after this cursor, if everything after the cursor is in the window.
    pub(super) fn after(&self, cursor: Cursor) -> Option<u64> {
        if cursor == self.tip {
            return Some(self.end());
        }
        if cursor == self.start {
            return Some(self.first);
        }
        let (begin, end) = self.history(cursor.epoch)?;
        let (mut low, mut high) = (begin, end);
        // Binary search for the first slot of this history that is not before the cursor.
        while low < high {
            let middle = low + (high - low) / 2;
            if self.slot(middle).cursor().position < cursor.position {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low < end && self.slot(low).cursor() == cursor).then_some(low + 1)
    }

    /// The first ordinal of a history, and the ordinal after its last.
    fn history(&self, epoch: Epoch) -> Option<(u64, u64)> {
        let index = self.histories.iter().position(|(known, _)| *known == epoch)?;
        let end = self.histories.get(index + 1).map_or(self.end(), |(_, begin)| *begin);
        Some((self.histories[index].1.max(self.first), end))
    }
}
