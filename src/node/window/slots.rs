//! The slots of a window in their order, and where each address has its own. Knows no lock and no reader. Read
//! [`Slots`] first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::frame::WindowFrame;
use crate::broker::Missing;
use crate::protocol::{Address, Cursor};

/// How much the window holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowLimits {
    /// Slots.
    pub(crate) frames: usize,
    /// Bytes of frames.
    pub(crate) bytes: usize,
}

/// A place in the window: an event, or a hole in the log that the tail had to jump over.
#[derive(Debug, Clone)]
pub(crate) enum Slot {
    /// An event.
    Frame(Arc<WindowFrame>),
    /// Events are missing here, for every reader.
    Gap(Missing),
}

impl Slot {
    pub(super) fn cursor(&self) -> Cursor {
        match self {
            Self::Frame(frame) => frame.cursor,
            Self::Gap(missing) => missing.resumed_after,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.wire.len(),
            Self::Gap(_) => 0,
        }
    }
}

#[derive(Debug)]
pub(super) struct Slots {
    /// Ordinal of the first slot.
    pub(super) first: u64,
    pub(super) slots: VecDeque<Slot>,
    pub(super) bytes: usize,
    by_address: HashMap<Address, VecDeque<u64>>,
    gaps: VecDeque<u64>,
    /// Everything after this cursor is here.
    pub(super) start: Cursor,
    /// Newest position here.
    pub(super) tip: Cursor,
}

impl Slots {
    /// None yet, behind this position.
    pub(super) fn new(tip: Cursor) -> Self {
        Self {
            first: 0,
            slots: VecDeque::new(),
            bytes: 0,
            by_address: HashMap::new(),
            gaps: VecDeque::new(),
            start: tip,
            tip,
        }
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

    pub(super) fn push(&mut self, slot: Slot) -> u64 {
        let ordinal = self.end();
        match &slot {
            Slot::Frame(frame) => {
                self.by_address.entry(frame.address.clone()).or_default().push_back(ordinal);
            }
            Slot::Gap(_) => self.gaps.push_back(ordinal),
        }
        self.bytes += slot.bytes();
        self.tip = slot.cursor();
        self.slots.push_back(slot);
        ordinal
    }

    pub(super) fn trim(&mut self, limits: WindowLimits) {
        while self.slots.len() > limits.frames || self.bytes > limits.bytes {
            let Some(slot) = self.slots.pop_front() else { return };
            self.first += 1;
            self.bytes -= slot.bytes();
            self.start = slot.cursor();
            match &slot {
                Slot::Frame(frame) => self.forget(&frame.address),
                Slot::Gap(_) => {
                    self.gaps.pop_front();
                }
            }
        }
    }

    /// The oldest ordinal of this address has left the window.
    fn forget(&mut self, address: &Address) {
        let Some(ordinals) = self.by_address.get_mut(address) else { return };
        ordinals.pop_front();
        if ordinals.is_empty() {
            // Addresses come and go with users; an entry for each of them for ever would be a leak.
            self.by_address.remove(address);
        }
    }

    /// The next slot from `ordinal` on that concerns a reader of these addresses.
    pub(super) fn next_for(&self, addresses: &[Address], ordinal: u64) -> Option<u64> {
        let first_from = |ordinals: &VecDeque<u64>| {
            let index = ordinals.partition_point(|known| *known < ordinal);
            ordinals.get(index).copied()
        };
        let addressed = addresses.iter().filter_map(|address| first_from(self.by_address.get(address)?));
        let to_all = self.by_address.get(&Address::All).and_then(first_from);
        addressed.chain(to_all).chain(first_from(&self.gaps)).min()
    }

    /// The ordinal behind this cursor, if everything after the cursor is here.
    pub(super) fn after(&self, cursor: Cursor) -> Option<u64> {
        if cursor == self.tip {
            return Some(self.end());
        }
        if cursor == self.start {
            return Some(self.first);
        }
        // A jump of the tail may change the epoch within the window; positions are ordered within one epoch only.
        let same_epoch = |slot: &Slot| slot.cursor().epoch == cursor.epoch;
        if !(self.slots.front().is_some_and(same_epoch) && self.slots.back().is_some_and(same_epoch)) {
            return None;
        }
        let found = self.slots.binary_search_by_key(&cursor.position, |slot| slot.cursor().position);
        found.ok().map(|index| self.first + index as u64 + 1)
    }
}
