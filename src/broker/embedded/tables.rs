//! The tables that the rules need from a store: a few ordered ones, and the numbers about them ([`Meta`]). A store
//! decides nothing. Read [`Meta`] first.

use crate::broker::{Bounds, Entry, PageLimit, StoreError};
use crate::protocol::{Address, Cursor, Epoch, MessageId, Position};

/// The numbers about a log, kept and changed together with its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    /// Epoch of the present history.
    pub(super) epoch: Epoch,
    /// The last trimmed entry, or zero.
    pub(super) start: Position,
    /// The newest entry ever appended, or zero.
    pub(super) newest: Position,
    /// No position up to here is ever given out again. Not before `newest`.
    pub(super) fence: Position,
    /// Entries that are kept.
    pub(super) length: u64,
    /// Their bytes, as `Bounds::bytes` counts them.
    pub(super) bytes: u64,
    /// Entries trimmed since the history began.
    pub(super) trimmed: u64,
    /// Mailboxes with at least one message.
    pub(super) mailboxes: u64,
    /// Messages in all of them.
    pub(super) mailbox_messages: u64,
    /// Bytes of all messages in mailboxes.
    pub(super) mailbox_bytes: u64,
    /// Owners who have not heard yet that messages of theirs were dropped.
    pub(super) overflowed: u64,
    /// Message ids that are remembered; one that is remembered anew counts twice until the older memory is forgotten.
    pub(super) ids: u64,
    /// Bytes of all message ids that are remembered.
    pub(super) id_bytes: u64,
    /// Ids that were forgotten before their time.
    pub(super) ids_forgotten: u64,
}

impl Meta {
    /// An empty history.
    pub(super) fn new(epoch: Epoch) -> Self {
        let zero = Position::ZERO;
        Self {
            epoch,
            start: zero,
            newest: zero,
            fence: zero,
            length: 0,
            bytes: 0,
            trimmed: 0,
            mailboxes: 0,
            mailbox_messages: 0,
            mailbox_bytes: 0,
            overflowed: 0,
            ids: 0,
            id_bytes: 0,
            ids_forgotten: 0,
        }
    }

    /// The next position: the clock's, unless a later one was given out already.
    pub(super) fn number(&mut self, now_ms: u64) -> Position {
        let position = self.fence.next().max(Position { ms: now_ms, seq: 0 });
        self.fence = position;
        self.newest = position;
        position
    }

    /// These numbers, with those that can always be counted anew from another.
    pub(super) fn with_derived_of(self, other: &Self) -> Self {
        let Self { mailbox_bytes, overflowed, ids, id_bytes, ids_forgotten, .. } = *other;
        Self { mailbox_bytes, overflowed, ids, id_bytes, ids_forgotten, ..self }
    }

    /// Entries that were ever appended in this history.
    pub(super) fn appended(&self) -> u64 {
        self.length.saturating_add(self.trimmed)
    }

    /// The time by which ages are measured: the clock's, but never before the newest position, so that entries do not
    /// become younger when the clock is set back.
    pub(super) fn log_time(&self, now_ms: u64) -> u64 {
        now_ms.max(self.fence.ms)
    }

    /// A position of this history as a cursor.
    pub(super) fn cursor(&self, position: Position) -> Cursor {
        Cursor::new(self.epoch, position)
    }

    /// The public part of the numbers.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            epoch: self.epoch,
            start: self.start,
            newest: self.newest,
            length: self.length,
            bytes: self.bytes,
            mailboxes: self.mailboxes,
            mailbox_messages: self.mailbox_messages,
            mailbox_bytes: self.mailbox_bytes,
            ids_forgotten: self.ids_forgotten,
        }
    }
}

/// State of a mailbox beside its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct BoxState {
    /// Messages in it.
    pub(super) count: u64,
    /// No message stands before this position. Scans begin here, so that they do not walk over the tombstones of
    /// confirmed messages.
    pub(super) oldest: Position,
    /// Messages that were dropped and whose loss the owner has not confirmed.
    pub(super) overflowed: u64,
    /// The newest of those.
    pub(super) dropped_up_to: Position,
    /// When that one was dropped, in the log's time.
    pub(super) dropped_at_ms: u64,
}

/// One consistent view of the tables.
pub(super) trait Reads {
    /// The numbers of this view.
    fn meta(&self) -> &Meta;
    /// The log entry at a position.
    fn entry(&self, at: Position) -> Result<Option<Entry>, StoreError>;
    /// Log entries after a position, oldest first; at least one if there is one.
    fn entries_after(&self, after: Position, limit: PageLimit) -> Result<Vec<Entry>, StoreError>;
    /// The newest log entries, oldest of them first, whose bytes together stay within a bound.
    fn newest_entries(&self, limit: usize, max_bytes: u64) -> Result<Vec<Entry>, StoreError>;
    /// Position of the newest log entry before a position.
    fn last_before(&self, at: Position) -> Result<Option<Position>, StoreError>;
    /// State of a mailbox; `None` where it is empty and has dropped nothing.
    fn mailbox_state(&self, owner: &Address) -> Result<Option<BoxState>, StoreError>;
    /// Messages of a mailbox from a position on, oldest first; at least one if there is one. And whether more follow.
    fn messages(
        &self,
        owner: &Address,
        from: Position,
        limit: PageLimit,
    ) -> Result<(Vec<Entry>, bool), StoreError>;
}

/// Tables in the middle of a change. Reads see the change. The tables that are kept by age grow at their young end
/// only, so a store may remember where their old end is.
pub(super) trait Tables: Reads {
    /// The numbers, to be changed.
    fn meta_mut(&mut self) -> &mut Meta;

    /// Writes something that changes nothing, to prove that the store can be written.
    fn prove(&mut self) -> Result<(), StoreError>;

    /// Puts an entry at the end of the log.
    fn put_entry(&mut self, entry: &Entry) -> Result<(), StoreError>;
    /// Position and bytes of the oldest log entries.
    fn oldest_entries(&self, limit: usize) -> Result<Vec<(Position, u64)>, StoreError>;
    /// Takes the oldest log entry out, which stands at this position.
    fn remove_oldest_entry(&mut self, at: Position) -> Result<(), StoreError>;

    /// Where a message id was seen last.
    fn seen(&self, id: &MessageId) -> Result<Option<Position>, StoreError>;
    /// Remembers a message id, in place of an older memory of it.
    fn remember(&mut self, id: &MessageId, at: Position) -> Result<(), StoreError>;
    /// The ids remembered longest.
    fn oldest_seen(&mut self, limit: usize) -> Result<Vec<(Position, MessageId)>, StoreError>;
    /// Forgets the id remembered longest, which was seen at this position; a younger memory of the same id stays.
    fn forget_oldest(&mut self, id: &MessageId, at: Position) -> Result<(), StoreError>;

    /// Sets the state of a mailbox; `None` removes it.
    fn set_mailbox_state(&mut self, owner: &Address, state: Option<BoxState>) -> Result<(), StoreError>;
    /// Puts a message at the end of its owner's mailbox.
    fn put_message(&mut self, message: &Entry) -> Result<(), StoreError>;
    /// Position and bytes of the oldest messages of a mailbox, looked for from a position on.
    fn oldest_messages(
        &self,
        owner: &Address,
        from: Position,
        limit: usize,
    ) -> Result<Vec<(Position, u64)>, StoreError>;
    /// Takes the oldest message out of a mailbox, which stands at this position.
    fn remove_oldest_message(&mut self, owner: &Address, at: Position) -> Result<(), StoreError>;
    /// The oldest messages of all mailboxes.
    fn oldest_mail(&mut self, limit: usize) -> Result<Vec<(Position, Address)>, StoreError>;

    /// Marks that a mailbox dropped messages at a time, so that sweeping finds it again. Twice is once.
    fn put_mark(&mut self, at_ms: u64, owner: &Address) -> Result<(), StoreError>;
    fn remove_mark(&mut self, at_ms: u64, owner: &Address) -> Result<(), StoreError>;
    /// Time and owner of the oldest marks.
    fn oldest_marks(&mut self, limit: usize) -> Result<Vec<(u64, Address)>, StoreError>;
}

/// Bytes of an entry as `Bounds::bytes` counts them.
pub(super) fn entry_bytes(entry: &Entry) -> u64 {
    let texts = entry.envelope.len() + entry.message_id.as_str().len() + entry.event_type.as_str().len();
    (texts + address_bytes(&entry.address)) as u64
}

/// Length of an address in its text form, without building the text.
fn address_bytes(address: &Address) -> usize {
    match address {
        Address::All => "all".len(),
        Address::Topic(topic) => "topic:".len() + topic.as_str().len(),
        Address::User(user) => "user:".len() + user.as_str().len(),
        Address::Client(client) => "client:".len() + client.as_str().len(),
        Address::Node(node) => "node:".len() + node.as_str().len(),
        Address::NodeClient(node, client) => {
            "node:/client:".len() + node.as_str().len() + client.as_str().len()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_follow_the_clock_forwards_and_never_backwards() {
        let mut meta = Meta::new(Epoch::from_random(1));
        assert_eq!(meta.number(5), Position { ms: 5, seq: 0 });
        assert_eq!(meta.number(5), Position { ms: 5, seq: 1 });
        assert_eq!(meta.number(3), Position { ms: 5, seq: 2 });
        assert_eq!(meta.number(9), Position { ms: 9, seq: 0 });
        assert_eq!(meta.log_time(3), 9);
    }

    #[test]
    fn the_length_of_an_address_is_that_of_its_text() {
        for text in ["all", "topic:orders", "user:u", "client:c", "node:n", "node:n/client:c"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address_bytes(&address), text.len(), "{text}");
        }
    }
}
