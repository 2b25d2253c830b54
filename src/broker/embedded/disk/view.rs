//! The tables as one consistent view of the database: of a snapshot, to read; of a transaction, to change.

use std::ops::Bound;

use fjall::{Guard, Readable, SingleWriterTxKeyspace, SingleWriterWriteTx};

use super::database::{Disk, PROBE_KEY, Spaces};
use crate::broker::embedded::record::{self, InvalidRecord};
use crate::broker::embedded::tables::{BoxState, Meta, Reads, Tables};
use crate::broker::{Entry, PageLimit, StoreError};
use crate::protocol::{Address, MessageId, Position};

/// Where the old ends of the tables are that are kept by age. A scan from the very beginning would walk over a
/// tombstone for each record removed since the last compaction. Forgotten at every start and found again by the first
/// scan.
#[derive(Debug, Default)]
pub(super) struct Hints {
    seen: Position,
    mail: Position,
    marks_ms: u64,
}

/// Tables as a source shows them.
pub(in crate::broker::embedded) struct View<'a, S> {
    pub(super) disk: &'a Disk,
    pub(super) source: S,
    pub(super) meta: Meta,
    pub(super) hints: Hints,
}

/// Tables in the middle of a change.
pub(in crate::broker::embedded) type WriteView<'a> = View<'a, SingleWriterWriteTx<'a>>;

impl<S: Readable> View<'_, S> {
    fn spaces(&self) -> &Spaces {
        &self.disk.spaces
    }

    fn failed(&self, operation: &'static str) -> impl Fn(fjall::Error) -> StoreError + use<'_, S> {
        move |error| self.disk.error(operation, &error)
    }

    fn invalid(&self, operation: &'static str) -> impl Fn(InvalidRecord) -> StoreError + use<'_, S> {
        move |error| self.disk.error(operation, &error)
    }

    /// Reads at most `limit` records from a key on.
    fn scan<T>(
        &self,
        space: &SingleWriterTxKeyspace,
        range: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        limit: usize,
        read: impl Fn(&[u8], &[u8]) -> Result<T, InvalidRecord>,
    ) -> Result<Vec<T>, StoreError> {
        const SCAN: &str = "read records";
        let records = self.source.range(space, range).take(limit);
        let read = |record: Guard| {
            let (key, value) = record.into_inner().map_err(self.failed(SCAN))?;
            read(&key, &value).map_err(self.invalid(SCAN))
        };
        records.map(read).collect()
    }

    fn read_entry(&self, key: &[u8], value: &[u8]) -> Result<Entry, InvalidRecord> {
        record::read_entry(self.meta.cursor(record::read_position(key)?), value)
    }

    /// The keys of a mailbox from a position on.
    fn mail_range(owner: &Address, from: Position) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let last = Position { ms: u64::MAX, seq: u64::MAX };
        (Bound::Included(record::mail_key(owner, from)), Bound::Included(record::mail_key(owner, last)))
    }
}

fn after(at: Position) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    (Bound::Excluded(record::position_key(at).to_vec()), Bound::Unbounded)
}

fn from(at: Position) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    (Bound::Included(record::position_key(at).to_vec()), Bound::Unbounded)
}

fn before(at: Position) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    (Bound::Unbounded, Bound::Excluded(record::position_key(at).to_vec()))
}

impl<S: Readable> Reads for View<'_, S> {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn entry(&self, at: Position) -> Result<Option<Entry>, StoreError> {
        const GET: &str = "read an entry";
        let value =
            self.source.get(&self.spaces().log, record::position_key(at)).map_err(self.failed(GET))?;
        let read = |value: fjall::Slice| record::read_entry(self.meta.cursor(at), &value);
        value.map(read).transpose().map_err(self.invalid(GET))
    }

    fn entries_after(&self, position: Position, limit: PageLimit) -> Result<Vec<Entry>, StoreError> {
        const READ: &str = "read entries";
        let mut entries = Vec::new();
        let mut bytes = 0;
        for record in self.source.range(&self.spaces().log, after(position)).take(limit.entries) {
            let (key, value) = record.into_inner().map_err(self.failed(READ))?;
            bytes += record::entry_record_bytes(&value);
            if bytes > limit.bytes && !entries.is_empty() {
                break;
            }
            entries.push(self.read_entry(&key, &value).map_err(self.invalid(READ))?);
        }
        Ok(entries)
    }

    fn newest_entries(&self, limit: usize, max_bytes: u64) -> Result<Vec<Entry>, StoreError> {
        const READ: &str = "read the newest entries";
        let mut entries = Vec::new();
        let mut bytes = 0;
        for record in self.source.range(&self.spaces().log, after(self.meta.start)).rev().take(limit) {
            let (key, value) = record.into_inner().map_err(self.failed(READ))?;
            bytes += record::entry_record_bytes(&value);
            if bytes > max_bytes {
                break;
            }
            entries.push(self.read_entry(&key, &value).map_err(self.invalid(READ))?);
        }
        entries.reverse();
        Ok(entries)
    }

    fn last_before(&self, at: Position) -> Result<Option<Position>, StoreError> {
        const READ: &str = "find an entry";
        let last = self.source.range(&self.spaces().log, before(at)).next_back();
        let Some(key) = last.map(Guard::key).transpose().map_err(self.failed(READ))? else { return Ok(None) };
        record::read_position(&key).map(Some).map_err(self.invalid(READ))
    }

    fn mailbox_state(&self, owner: &Address) -> Result<Option<BoxState>, StoreError> {
        const READ: &str = "read the state of a mailbox";
        let record = self.source.get(&self.spaces().states, owner.to_string()).map_err(self.failed(READ))?;
        record.map(|record| record::read_state(&record)).transpose().map_err(self.invalid(READ))
    }

    fn messages(
        &self,
        owner: &Address,
        from: Position,
        limit: PageLimit,
    ) -> Result<(Vec<Entry>, bool), StoreError> {
        const READ: &str = "read a mailbox";
        let (mut messages, mut bytes) = (Vec::new(), 0);
        for record in self.source.range(&self.spaces().mail, Self::mail_range(owner, from)) {
            let (key, value) = record.into_inner().map_err(self.failed(READ))?;
            bytes += record::entry_record_bytes(&value);
            let is_full = messages.len() >= limit.entries || bytes > limit.bytes;
            if is_full && !messages.is_empty() {
                return Ok((messages, true));
            }
            let at = record::read_mail_position(&key).map_err(self.invalid(READ))?;
            messages.push(record::read_entry(self.meta.cursor(at), &value).map_err(self.invalid(READ))?);
        }
        Ok((messages, false))
    }
}

impl Tables for WriteView<'_> {
    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    fn prove(&mut self) -> Result<(), StoreError> {
        self.source.insert(&self.disk.spaces.meta, PROBE_KEY, []);
        Ok(())
    }

    fn put_entry(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let key = record::position_key(entry.cursor.position);
        self.source.insert(&self.disk.spaces.log, key, record::entry_record(entry));
        Ok(())
    }

    fn oldest_entries(&self, limit: usize) -> Result<Vec<(Position, u64)>, StoreError> {
        // Everything up to the start is gone.
        self.scan(&self.spaces().log, after(self.meta.start), limit, |key, value| {
            Ok((record::read_position(key)?, record::entry_record_bytes(value)))
        })
    }

    fn remove_oldest_entry(&mut self, at: Position) -> Result<(), StoreError> {
        self.source.remove(&self.disk.spaces.log, record::position_key(at));
        Ok(())
    }

    fn seen(&self, id: &MessageId) -> Result<Option<Position>, StoreError> {
        const SEEN: &str = "look up a message id";
        let at = self.source.get(&self.spaces().seen, id.as_str()).map_err(self.failed(SEEN))?;
        at.map(|at| record::read_position(&at)).transpose().map_err(self.invalid(SEEN))
    }

    fn remember(&mut self, id: &MessageId, at: Position) -> Result<(), StoreError> {
        let at = record::position_key(at);
        self.source.insert(&self.disk.spaces.seen, id.as_str(), at);
        self.source.insert(&self.disk.spaces.seen_by_age, at, id.as_str());
        Ok(())
    }

    fn oldest_seen(&mut self, limit: usize) -> Result<Vec<(Position, MessageId)>, StoreError> {
        let oldest = self.scan(&self.spaces().seen_by_age, from(self.hints.seen), limit, |key, value| {
            Ok((record::read_position(key)?, record::read_message_id(value)?))
        })?;
        self.hints.seen = oldest.first().map_or(self.meta.fence, |(at, _)| *at);
        Ok(oldest)
    }

    fn forget_oldest(&mut self, id: &MessageId, at: Position) -> Result<(), StoreError> {
        if self.seen(id)? == Some(at) {
            self.source.remove(&self.disk.spaces.seen, id.as_str());
        }
        self.source.remove(&self.disk.spaces.seen_by_age, record::position_key(at));
        Ok(())
    }

    fn set_mailbox_state(&mut self, owner: &Address, state: Option<BoxState>) -> Result<(), StoreError> {
        let (states, owner) = (&self.disk.spaces.states, owner.to_string());
        match state {
            Some(state) => self.source.insert(states, owner, record::state_record(&state)),
            None => self.source.remove(states, owner),
        }
        Ok(())
    }

    fn put_message(&mut self, message: &Entry) -> Result<(), StoreError> {
        let (owner, at) = (&message.address, message.cursor.position);
        self.source.insert(
            &self.disk.spaces.mail,
            record::mail_key(owner, at),
            record::entry_record(message),
        );
        self.source.insert(&self.disk.spaces.mail_by_age, record::position_key(at), owner.to_string());
        Ok(())
    }

    fn oldest_messages(
        &self,
        owner: &Address,
        from: Position,
        limit: usize,
    ) -> Result<Vec<(Position, u64)>, StoreError> {
        self.scan(&self.spaces().mail, Self::mail_range(owner, from), limit, |key, value| {
            Ok((record::read_mail_position(key)?, record::entry_record_bytes(value)))
        })
    }

    fn remove_oldest_message(&mut self, owner: &Address, at: Position) -> Result<(), StoreError> {
        self.source.remove(&self.disk.spaces.mail, record::mail_key(owner, at));
        self.source.remove(&self.disk.spaces.mail_by_age, record::position_key(at));
        Ok(())
    }

    fn oldest_mail(&mut self, limit: usize) -> Result<Vec<(Position, Address)>, StoreError> {
        let oldest = self.scan(&self.spaces().mail_by_age, from(self.hints.mail), limit, |key, value| {
            Ok((record::read_position(key)?, record::read_text(value)?))
        })?;
        self.hints.mail = oldest.first().map_or(self.meta.fence, |(at, _)| *at);
        Ok(oldest)
    }

    fn put_mark(&mut self, at_ms: u64, owner: &Address) -> Result<(), StoreError> {
        // Marks go by the log's time, which may repeat itself while nothing is appended.
        self.hints.marks_ms = self.hints.marks_ms.min(at_ms);
        self.source.insert(&self.disk.spaces.marks, record::mark_key(at_ms, owner), []);
        Ok(())
    }

    fn remove_mark(&mut self, at_ms: u64, owner: &Address) -> Result<(), StoreError> {
        self.source.remove(&self.disk.spaces.marks, record::mark_key(at_ms, owner));
        Ok(())
    }

    fn oldest_marks(&mut self, limit: usize) -> Result<Vec<(u64, Address)>, StoreError> {
        let range = (Bound::Included(self.hints.marks_ms.to_be_bytes().to_vec()), Bound::Unbounded);
        let oldest = self.scan(&self.spaces().marks, range, limit, |key, _| record::read_mark(key))?;
        self.hints.marks_ms = oldest.first().map_or(self.meta.fence.ms, |(at_ms, _)| *at_ms);
        Ok(oldest)
    }
}
