//! The slots of a window in log order, and the index from addresses to slots. Must not know locks and readers. Read
//! [`Slots`] first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::frame::WindowFrame;
use crate::broker::{Missing, Synced};
use crate::protocol::{Address, Cursor, Epoch};

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
    pub(super) fn cursor(&self) -> Cursor {
        match self {
            Self::Frame(frame) => frame.cursor,
            Self::Gap(missing) => missing.resumed_after,
            Self::Sync(sync) => sync.to,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.wire.len(),
            Self::Gap(_) | Self::Sync(_) => 0,
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
    /// Ordinals of the slots that concern every reader: gaps and ends of histories.
    marks: VecDeque<u64>,
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
        Self {
            first: 0,
            slots: VecDeque::new(),
            bytes: 0,
            by_address: HashMap::new(),
            marks: VecDeque::new(),
            histories: VecDeque::new(),
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
            Slot::Gap(_) | Slot::Sync(_) => self.marks.push_back(ordinal),
        }
        let epoch = slot.cursor().epoch;
        if self.histories.back().is_none_or(|(newest, _)| *newest != epoch) {
            self.histories.push_back((epoch, ordinal));
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
                Slot::Gap(_) | Slot::Sync(_) => {
                    self.marks.pop_front();
                }
            }
            if self.histories.get(1).is_some_and(|(_, begin)| *begin <= self.first) {
                self.histories.pop_front();
            }
        }
    }

    /// The oldest ordinal of this address has left the window.
    fn forget(&mut self, address: &Address) {
        let Some(ordinals) = self.by_address.get_mut(address) else { return };
        ordinals.pop_front();
        if ordinals.is_empty() {
            // Addresses come and go with users, so an empty entry for each would be a leak.
            self.by_address.remove(address);
        }
    }

    /// The first slot at or after `ordinal` that concerns a reader of these addresses.
    pub(super) fn next_for(&self, addresses: &[Address], ordinal: u64) -> Option<u64> {
        let first_from = |ordinals: &VecDeque<u64>| {
            let index = ordinals.partition_point(|known| *known < ordinal);
            ordinals.get(index).copied()
        };
        let addressed = addresses.iter().filter_map(|address| first_from(self.by_address.get(address)?));
        let to_all = self.by_address.get(&Address::All).and_then(first_from);
        addressed.chain(to_all).chain(first_from(&self.marks)).min()
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
