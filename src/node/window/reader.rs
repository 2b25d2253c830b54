//! A reader: a place in the window, and what it takes from there. Read [`Reader::take`] first.

use std::sync::Arc;

use super::frame::WindowFrame;
use super::shared::Window;
use super::slots::{Slot, Slots};
use super::wake::{Wake, lock};
use crate::broker::{Missing, Origins, Synced};
use crate::protocol::{Address, Cursor};
use crate::runtime::mutant::{self, Mutant};

/// Histories of which a reader remembers what it has had: each is a restart or failover of the broker.
const HISTORIES: usize = 16;

/// A place in the window, and the addresses that it reads for.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(super) window: Window,
    pub(super) id: u64,
    pub(super) wake: Arc<Wake>,
    pub(super) addresses: Vec<Address>,
    /// Everything before this ordinal has been looked at.
    pub(super) ordinal: u64,
    /// The log's position up to which everything has been looked at.
    pub(super) cursor: Cursor,
    /// Up to where it has everything of older histories: what was lost of them and comes again it has had. The newest
    /// [`HISTORIES`] of them.
    pub(super) had: Vec<Cursor>,
    /// Nothing for this reader stood between its ordinal and the end of the window when it last looked.
    pub(super) idle: bool,
}

/// What a reader finds.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Frames for this reader, in log order.
    Frames(Vec<Arc<WindowFrame>>),
    /// The log has a hole here.
    Gap(Missing),
    /// The history lost what this reader has had of it, and goes on under another epoch.
    Sync(Synced),
    /// Nothing more for now.
    Idle,
    /// What comes next has left the window: read the log after [`Reader::cursor`].
    Behind,
}

impl Reader {
    /// Up to where everything has been looked at. A client that resumes here misses nothing and sees nothing twice.
    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// How the reader is woken.
    pub(crate) fn wake_handle(&self) -> Arc<Wake> {
        Arc::clone(&self.wake)
    }

    /// What it reads for.
    pub(crate) fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Slots between this reader and the end of the window.
    pub(crate) fn lag(&self) -> u64 {
        if self.idle { 0 } else { self.window.read().end().saturating_sub(self.ordinal) }
    }

    /// Goes to the place behind a cursor. Returns whether everything after it is in the window; if not, the reader
    /// stays where it is. Only the log can tell whether a cursor that is not in the window is sound.
    pub(crate) fn seek(&mut self, cursor: Cursor) -> bool {
        let ordinal = self.window.read().after(cursor);
        let ordinal = ordinal.map(|ordinal| ordinal + u64::from(mutant::is_on(Mutant::ReplayLate)));
        if mutant::is_on(Mutant::ReplayEarly) {
            return self.go(ordinal.map(|at| at.saturating_sub(1)), Cursor::start_of(cursor.epoch));
        }
        self.go(ordinal, cursor)
    }

    /// As [`Reader::seek`], for a cursor that the log itself has just given: it may also be ahead of the tail, and
    /// what the tail then publishes up to it is skipped.
    pub(crate) fn join(&mut self, cursor: Cursor) -> bool {
        let ordinal = {
            let inner = self.window.read();
            let ahead = cursor.epoch == inner.tip.epoch && cursor.position > inner.tip.position;
            if ahead { Some(inner.end()) } else { inner.after(cursor) }
        };
        self.go(ordinal, cursor)
    }

    /// It comes from other histories, and has everything up to its cursor in them.
    pub(crate) fn come_from(&mut self, sync: &Synced) {
        self.had.extend(sync.passed());
        let excess = self.had.len().saturating_sub(HISTORIES);
        self.had.drain(..excess);
    }

    /// Whether this reader has had a message, where it stood before it was lost.
    pub(crate) fn has_had(&self, origins: &Origins) -> bool {
        let was_there = |origin: &Cursor| {
            self.had.iter().any(|had| origin.epoch == had.epoch && origin.position <= had.position)
        };
        !mutant::is_on(Mutant::RollbackRepeats) && origins.places().iter().any(was_there)
    }

    fn go(&mut self, ordinal: Option<u64>, cursor: Cursor) -> bool {
        let Some(ordinal) = ordinal else { return false };
        self.ordinal = ordinal;
        self.cursor = cursor;
        self.idle = false;
        true
    }

    /// Takes the next frames, at most `frames` of them and about `bytes`.
    pub(crate) fn take(&mut self, frames: usize, bytes: usize) -> Taken {
        // `settled` before `pending`, and both before looking: what is published while we look wakes us again.
        let settled = *lock(&self.window.shared.settled);
        let skip_to = self.wake.take().unwrap_or(settled);
        if self.idle && skip_to.ordinal > self.ordinal {
            // Asleep all the while: what was published before that slot concerned others.
            self.ordinal = skip_to.ordinal;
            self.advance_to(skip_to.before);
        }
        let window = self.window.clone();
        let inner = window.read();
        if mutant::is_on(Mutant::SlowSkips) {
            self.ordinal = self.ordinal.max(inner.first);
        }
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
                // Ahead of the tail by a read of the log: this reader has what the tail missed, or knows already.
                Slot::Gap(missing) if !self.is_new(missing.resumed_after) => {
                    self.ordinal = ordinal + 1;
                    self.idle = false;
                }
                // Likewise: it was told by the log itself.
                Slot::Sync(sync) if sync.to.epoch == self.cursor.epoch => {
                    self.ordinal = ordinal + 1;
                    self.idle = false;
                }
                Slot::Gap(_) | Slot::Sync(_) if !taken.is_empty() => break,
                Slot::Sync(sync) => {
                    self.ordinal = ordinal + 1;
                    self.idle = false;
                    // Everything in front of this slot has been looked at; a read of the log may have gone further.
                    let is_ahead =
                        self.cursor.epoch == sync.from.epoch && self.cursor.position > sync.from.position;
                    let sync = if is_ahead { sync.of(self.cursor) } else { sync.clone() };
                    self.come_from(&sync);
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

    /// A reader that came from a log read may be ahead of the tail: what the tail then publishes it has had already.
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
