//! A reader: a position in the window, and the frames that it takes from there. Read [`Reader::take`] first.

use std::sync::Arc;

use super::frame::WindowFrame;
use super::shared::Window;
use super::slots::{Place, Slot, Slots};
use crate::broker::{Missing, Origins, Synced};
use crate::protocol::{Address, Cursor};

/// Histories whose end position a reader remembers. Each restart or failover of the broker ends one.
const HISTORIES: usize = 16;
/// Slots that a reader looks at in one step, so that one that gets few of them does not hold up the others.
const LOOKS: u64 = 1024;

/// A position in the window, and the addresses whose frames the reader takes.
#[derive(Debug)]
pub(crate) struct Reader {
    window: Window,
    addresses: Vec<Address>,
    /// The reader has examined every slot before this ordinal, and the log up to this position.
    at: Place,
    /// The position up to which the reader has everything, in each of the last [`HISTORIES`] older histories. Events
    /// up to there that were lost and appended again are repetitions for this reader.
    had: Vec<Cursor>,
}

/// The result of [`Reader::take`].
#[derive(Debug)]
pub(crate) enum Taken {
    /// Frames for this reader, in log order.
    Frames(Vec<Arc<WindowFrame>>),
    /// Events of the log are missing here.
    Gap(Missing),
    /// The history ended and lost events that this reader has had; the log continues under another epoch.
    Sync(Synced),
    /// No frame is left for now.
    Idle,
    /// The next frames have left the window: read the log after [`Reader::cursor`].
    Behind,
}

impl Reader {
    pub(super) fn new(window: Window, addresses: Vec<Address>, at: Place) -> Self {
        Self { window, addresses, at, had: Vec::new() }
    }

    /// The same reader, which has had everything up to these positions of older histories.
    pub(crate) fn with_had(self, had: Vec<Cursor>) -> Self {
        Self { had, ..self }
    }

    /// What [`Self::with_had`] takes, for a later reader of the same client.
    pub(crate) fn into_had(self) -> Vec<Cursor> {
        self.had
    }

    /// The ordinal of the next slot to examine, and the position up to which the reader has examined the log. A client
    /// that resumes at that position misses no event and gets none twice.
    pub(crate) fn place(&self) -> Place {
        self.at
    }

    /// Whether an event of this address is for the reader.
    pub(crate) fn concerns(&self, address: &Address) -> bool {
        *address == Address::All || self.addresses.contains(address)
    }

    /// Number of slots between this reader and the end of the window.
    pub(crate) fn lag(&self) -> u64 {
        self.window.end().saturating_sub(self.at.ordinal)
    }

    /// Moves the reader behind a cursor. Returns whether everything after the cursor is in the window; if not, the
    /// reader stays where it is. Only the log knows whether a cursor that is not in the window is valid.
    pub(crate) fn seek(&mut self, cursor: Cursor) -> bool {
        let ordinal = self.window.read().after(cursor);
        self.move_to(ordinal, cursor)
    }

    /// Like [`Reader::seek`], for a cursor that the log itself has just returned. It may be ahead of the tail; the
    /// reader then skips the frames up to it that the tail publishes later.
    pub(crate) fn join(&mut self, cursor: Cursor) -> bool {
        let ordinal = {
            let inner = self.window.read();
            let ahead = cursor.epoch == inner.tip.epoch && cursor.position > inner.tip.position;
            if ahead { Some(inner.end()) } else { inner.after(cursor) }
        };
        self.move_to(ordinal, cursor)
    }

    /// Records that the reader comes from older histories and has everything in them up to the passed positions.
    pub(crate) fn record_sync(&mut self, sync: &Synced) {
        self.had.extend(sync.passed());
        let excess = self.had.len().saturating_sub(HISTORIES);
        self.had.drain(..excess);
    }

    /// Whether this reader has had a message at one of its earlier positions.
    pub(crate) fn has_had(&self, origins: &Origins) -> bool {
        let was_there = |origin: &Cursor| {
            self.had.iter().any(|had| origin.epoch == had.epoch && origin.position <= had.position)
        };
        origins.places().iter().any(was_there)
    }

    fn move_to(&mut self, ordinal: Option<u64>, cursor: Cursor) -> bool {
        let Some(ordinal) = ordinal else { return false };
        self.at = Place { ordinal, cursor };
        true
    }

    /// Takes the next frames before the ordinal `until`, at most `frames` of them and about `bytes` bytes.
    pub(crate) fn take(&mut self, until: u64, frames: usize, bytes: usize) -> Taken {
        let window = self.window.clone();
        let inner = window.read();
        if self.at.ordinal < inner.first {
            return Taken::Behind;
        }
        self.collect(&inner, until.min(inner.end()), (frames, bytes))
    }

    fn collect(&mut self, inner: &Slots, until: u64, (frames, bytes): (usize, usize)) -> Taken {
        let mut taken = Vec::new();
        let mut taken_bytes = 0;
        let begin = self.at.ordinal;
        if begin >= until {
            return Taken::Idle;
        }
        while self.at.ordinal < until.min(begin + LOOKS) && taken.len() < frames && taken_bytes < bytes {
            match inner.slot(self.at.ordinal) {
                // A read of the log has put this reader ahead of the tail, so it has these events or knows of the gap.
                Slot::Gap(missing) if !self.is_new(missing.resumed_after) => {}
                // Likewise: the log itself has reported this change of history.
                Slot::Sync(sync) if sync.to.epoch == self.at.cursor.epoch => {}
                Slot::Gap(_) | Slot::Sync(_) if !taken.is_empty() => break,
                Slot::Sync(sync) => {
                    // The reader has examined all slots before this one; a read of the log may have gone further.
                    let (from, cursor) = (sync.from, self.at.cursor);
                    let is_ahead = cursor.epoch == from.epoch && cursor.position > from.position;
                    let sync = if is_ahead { sync.of(cursor) } else { sync.clone() };
                    self.record_sync(&sync);
                    self.at.cursor = sync.to;
                    if sync.is_lost() {
                        self.at.ordinal += 1;
                        return Taken::Sync(sync);
                    }
                }
                Slot::Gap(missing) => {
                    self.at = Place { ordinal: self.at.ordinal + 1, cursor: missing.resumed_after };
                    return Taken::Gap(*missing);
                }
                Slot::Frame(frame) if self.is_new(frame.cursor) => {
                    self.at.cursor = frame.cursor;
                    if self.concerns(&frame.address) && !self.has_had(&frame.origins) {
                        taken_bytes += frame.size();
                        taken.push(Arc::clone(frame));
                    }
                }
                Slot::Frame(_) => {}
            }
            self.at.ordinal += 1;
        }
        Taken::Frames(taken)
    }

    /// Whether a position is new to this reader. After a read of the log it may be ahead of the tail, and then has the
    /// frames that the tail publishes next.
    fn is_new(&self, cursor: Cursor) -> bool {
        cursor.epoch != self.at.cursor.epoch || cursor.position > self.at.cursor.position
    }
}
