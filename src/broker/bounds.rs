//! Numbers about a log: what it keeps, and how often it was repaired. Read [`Bounds`] first.

use crate::protocol::{Cursor, Epoch, Position};

/// What the log keeps, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Epoch of the present history.
    pub epoch: Epoch,
    /// Everything after this position is kept: the last trimmed entry, or [`Position::ZERO`].
    pub start: Position,
    /// Position of the newest entry ever appended in this history, or [`Position::ZERO`].
    pub newest: Position,
    /// Entries that are kept.
    pub length: u64,
    /// Bytes kept: envelopes, message ids, addresses and types, without the store's own overhead.
    pub bytes: u64,
    /// Mailboxes that hold at least one message.
    pub mailboxes: u64,
    /// Messages in all mailboxes.
    pub mailbox_messages: u64,
    /// Their bytes; 0 where they are not counted.
    pub mailbox_bytes: u64,
    /// Message ids that were forgotten before their time, because there were too many.
    pub ids_forgotten: u64,
}

impl Bounds {
    /// The cursor after which everything is kept.
    #[must_use]
    pub fn start_cursor(&self) -> Cursor {
        Cursor::new(self.epoch, self.start)
    }

    /// The cursor of the newest entry: nothing comes after it yet.
    #[must_use]
    pub fn newest_cursor(&self) -> Cursor {
        Cursor::new(self.epoch, self.newest)
    }
}

/// Acknowledged events that a log in a directory no longer holds, although nobody trimmed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The number of these events.
    pub events: u64,
    /// They stood after this position of the history that ended with the loss,
    pub after: Cursor,
    /// and before this one, or it was the last of them. Events that are kept may stand between them.
    pub up_to: Cursor,
}

impl Lost {
    /// Together with what was lost before.
    pub(super) fn and(self, before: Self) -> Self {
        Self {
            events: self.events + before.events,
            after: Cursor::new(self.after.epoch, self.after.position.min(before.after.position)),
            up_to: Cursor::new(self.up_to.epoch, self.up_to.position.max(before.up_to.position)),
        }
    }
}

/// The state of a log that this process keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Condition {
    /// The disk is full: events are refused.
    pub is_full: bool,
    /// Free bytes of the disk when it was last looked at; `None` without a disk.
    pub free_bytes: Option<u64>,
    /// How far the time of the log is ahead of the clock, which was set back.
    pub clock_ahead: std::time::Duration,
    /// What was found missing when the log was opened, now or before, until it would have been trimmed.
    pub lost: Option<Lost>,
}

/// Losses of a log in a server of its own, and the repairs of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repairs {
    /// Histories that ended: the store was started again, or another server took over.
    pub histories: u64,
    /// Events that the log had lost and this process appended again.
    pub appended_again: u64,
    /// Of these, publishes of this process that were acknowledged and that no follower had read.
    pub published_again: u64,
}
