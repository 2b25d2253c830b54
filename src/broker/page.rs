//! What a read of the log or of a mailbox returns. Read [`Page`] first.

use super::{Entry, Synced};
use crate::protocol::api::GapReason;
use crate::protocol::{Cursor, Position};

/// Entries that a reader should have received and will not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Why the answer is not complete.
    pub reason: GapReason,
    /// Reading went on after this position.
    pub resumed_after: Cursor,
    /// How many events are missing, where that is known: to a reader that asks from the start of the history.
    pub missed: Option<u64>,
}

/// Entries after a cursor, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Set when entries after the cursor are missing; they would come before `entries`.
    pub gap: Option<Missing>,
    /// Set when the cursor's history has ended and another one goes on. Comes before `gap`.
    pub sync: Option<Synced>,
    /// At most as many as were asked for. Empty at the end of the log, and nowhere else.
    pub entries: Vec<Entry>,
    /// More entries are known to follow.
    pub more: bool,
}

/// Where a reader is in a mailbox. The start by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MailCursor {
    /// The reader has everything up to this position.
    pub after: Position,
    /// Messages of the mailbox that were before the next one, which finds it sooner.
    pub index: usize,
}

/// A mailbox's content behind a [`MailCursor`].
#[derive(Debug, Clone, Default)]
pub struct Mailbox {
    /// Unconfirmed messages in log order.
    pub entries: Vec<Entry>,
    /// Messages of the mailbox before them.
    pub index: usize,
    /// More messages follow.
    pub more: bool,
    /// Messages that were dropped because the mailbox was full or they were too old. Counts all of them until a
    /// confirmation reaches the newest one.
    pub overflowed: u64,
}
