//! A reader: a position in the window, and the frames that it takes from there. Read [`Reader::take`] first.

use std::sync::Arc;

use super::frame::WindowFrame;
use super::shared::Window;
use super::slots::{Slot, Slots};
use super::wake::{Wake, lock};
use crate::broker::{Missing, Origins, Synced};
use crate::protocol::{Address, Cursor};

/// Histories whose end position a reader remembers. Each restart or failover of the broker ends one.
const HISTORIES: usize = 16;

/// A position in the window, and the addresses whose frames the reader takes.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(super) window: Window,
    pub(super) id: u64,
    pub(super) wake: Arc<Wake>,
    pub(super) addresses: Vec<Address>,
    /// The reader has examined every slot before this ordinal.
    pub(super) ordinal: u64,
    /// The reader has examined the log up to this position.
    pub(super) cursor: Cursor,
    /// The position up to which the reader has everything, in each of the last [`HISTORIES`] older histories. Events
    /// up to there that were lost and appended again are repetitions for this reader.
    pub(super) had: Vec<Cursor>,
    /// At its last look the reader found no frame between its ordinal and the end of the window.
    pub(super) idle: bool,
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
    /// The position up to which the reader has examined the log. A client that resumes here misses no event and gets
    /// none twice.
    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Wakes the reader.
    pub(crate) fn wake_handle(&self) -> Arc<Wake> {
        Arc::clone(&self.wake)
    }

    /// The addresses whose frames the reader takes, beside [`Address::All`].
    pub(crate) fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Number of slots between this reader and the end of the window.
    pub(crate) fn lag(&self) -> u64 {
        if self.idle { 0 } else { self.window.read().end().saturating_sub(self.ordinal) }
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
        self.ordinal = ordinal;
        self.cursor = cursor;
        self.idle = false;
        true
    }

    /// Takes the next frames, at most `frames` of them and about `bytes` bytes.
    pub(crate) fn take(&mut self, frames: usize, bytes: usize) -> Taken {
        // Read `settled` before `pending`, and both before the slots: a frame that is published meanwhile wakes the
        // reader again.
        let settled = *lock(&self.window.shared.settled);
        let skip_to = self.wake.take().unwrap_or(settled);
        if self.idle && skip_to.ordinal > self.ordinal {
            // The reader slept all the time: slots before that one concerned other readers.
            self.ordinal = skip_to.ordinal;
            self.advance_to(skip_to.before);
        }
        let window = self.window.clone();
        let inner = window.read();
        if self.ordinal < inner.first {
            self.idle = false;
            return Taken::Behind;
        }
        self.collect(&inner, frames, bytes)
    }

    fn collect(&mut self, inner: &Slots, frames: usize, bytes: usize) -> Taken {
        let mut taken = Vec::new();
        let mut taken_bytes = 0;
        while taken.len() < frames && taken_bytes < bytes {
            let Some(ordinal) = inner.next_for(&self.addresses, self.ordinal) else {
                self.ordinal = inner.end();
                self.advance_to(inner.tip);
                self.idle = true;
                break;
            };
            match inner.slot(ordinal) {
                // A read of the log has put this reader ahead of the tail, so it has these events or knows of the gap.
                Slot::Gap(missing) if !self.is_new(missing.resumed_after) => {
                    self.ordinal = ordinal + 1;
                    self.idle = false;
                }
                // Likewise: the log itself has reported this change of history.
                Slot::Sync(sync) if sync.to.epoch == self.cursor.epoch => {
                    self.ordinal = ordinal + 1;
                    self.idle = false;
                }
                Slot::Gap(_) | Slot::Sync(_) if !taken.is_empty() => break,
                Slot::Sync(sync) => {
                    self.ordinal = ordinal + 1;
                    self.idle = false;
                    // The reader has examined all slots before this one; a read of the log may have gone further.
                    let is_ahead =
                        self.cursor.epoch == sync.from.epoch && self.cursor.position > sync.from.position;
                    let sync = if is_ahead { sync.of(self.cursor) } else { sync.clone() };
                    self.record_sync(&sync);
                    self.cursor = sync.to;
                    if sync.is_lost() {
                        return Taken::Sync(sync);
                    }
                }
                Slot::Gap(missing) => {
                    self.ordinal = ordinal + 1;
                    self.cursor = missing.resumed_after;
                    self.idle = false;
                    return Taken::Gap(*missing);
                }
                Slot::Frame(frame) => {
                    self.ordinal = ordinal + 1;
                    self.idle = false;
                    if self.is_new(frame.cursor) {
                        self.cursor = frame.cursor;
                        if self.has_had(&frame.origins) {
                            continue;
                        }
                        taken_bytes += frame.wire.len();
                        taken.push(Arc::clone(frame));
                    }
                }
            }
        }
        if taken.is_empty() && self.idle { Taken::Idle } else { Taken::Frames(taken) }
    }

    /// Whether a position is new to this reader. After a read of the log it may be ahead of the tail, and then has the
    /// frames that the tail publishes next.
    fn is_new(&self, cursor: Cursor) -> bool {
        cursor.epoch != self.cursor.epoch || cursor.position > self.cursor.position
    }

    fn advance_to(&mut self, tip: Cursor) {
        if self.is_new(tip) {
            self.cursor = tip;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        lock(&self.window.shared.readers).remove(self.id, &self.addresses);
    }
}
