//! The tables of `memory:`. Nothing survives the process; every process starts a history of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::tables::{BoxState, Meta, Reads, Tables, entry_bytes};
use crate::broker::{Entry, PageLimit, StoreError};
use crate::protocol::{Address, Epoch, MessageId, Position};

/// A log in RAM.
#[derive(Debug)]
pub(super) struct Memory {
    meta: Meta,
    /// In order of position.
    entries: VecDeque<Entry>,
    seen: HashMap<MessageId, Position>,
    seen_by_age: VecDeque<(Position, MessageId)>,
    states: HashMap<Address, BoxState>,
    messages: HashMap<Address, VecDeque<Entry>>,
    mail_by_age: BTreeMap<Position, Address>,
    marks: BTreeSet<(u64, Address)>,
}

impl Memory {
    /// A new history.
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            meta: Meta::new(epoch),
            entries: VecDeque::new(),
            seen: HashMap::new(),
            seen_by_age: VecDeque::new(),
            states: HashMap::new(),
            messages: HashMap::new(),
            mail_by_age: BTreeMap::new(),
            marks: BTreeSet::new(),
        }
    }

    /// Messages of a mailbox; none stands before `from`.
    fn messages_from(&self, owner: &Address, from: Position) -> impl Iterator<Item = &Entry> {
        let messages = self.messages.get(owner);
        debug_assert!(messages.and_then(VecDeque::front).is_none_or(|first| first.cursor.position >= from));
        messages.into_iter().flatten()
    }

    /// Index of the first entry after a position.
    fn index_after(&self, after: Position) -> usize {
        self.entries.partition_point(|entry| entry.cursor.position <= after)
    }
}

impl Reads for Memory {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn entry(&self, at: Position) -> Result<Option<Entry>, StoreError> {
        let found = self.entries.binary_search_by(|entry| entry.cursor.position.cmp(&at));
        Ok(found.ok().and_then(|index| self.entries.get(index).cloned()))
    }

    fn entries_after(&self, after: Position, limit: PageLimit) -> Result<Vec<Entry>, StoreError> {
        let mut bytes = 0_u64;
        let fitting = self.entries.range(self.index_after(after)..).take(limit.entries).take_while(|entry| {
            let is_first = bytes == 0;
            bytes += entry_bytes(entry);
            is_first || bytes <= limit.bytes
        });
        Ok(fitting.cloned().collect())
    }

    fn newest_entries(&self, limit: usize, max_bytes: u64) -> Result<Vec<Entry>, StoreError> {
        let mut bytes = 0;
        let fitting = self.entries.iter().rev().take(limit).take_while(|entry| {
            bytes += entry_bytes(entry);
            bytes <= max_bytes
        });
        let from = self.entries.len() - fitting.count();
        Ok(self.entries.range(from..).cloned().collect())
    }

    fn last_before(&self, at: Position) -> Result<Option<Position>, StoreError> {
        let index = self.entries.partition_point(|entry| entry.cursor.position < at);
        Ok(index.checked_sub(1).and_then(|last| self.entries.get(last)).map(|entry| entry.cursor.position))
    }

    fn mailbox_state(&self, owner: &Address) -> Result<Option<BoxState>, StoreError> {
        Ok(self.states.get(owner).copied())
    }

    fn messages(
        &self,
        owner: &Address,
        from: Position,
        limit: PageLimit,
    ) -> Result<(Vec<Entry>, bool), StoreError> {
        let Some(all) = self.messages.get(owner) else { return Ok((Vec::new(), false)) };
        let all = all.range(all.partition_point(|message| message.cursor.position < from)..);
        let (mut bytes, count) = (0, all.len());
        let fitting = all.take(limit.entries).take_while(|message| {
            let is_first = bytes == 0;
            bytes += entry_bytes(message);
            is_first || bytes <= limit.bytes
        });
        let messages: Vec<_> = fitting.cloned().collect();
        let more = messages.len() < count;
        Ok((messages, more))
    }
}

impl Tables for Memory {
    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    fn prove(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn put_entry(&mut self, entry: &Entry) -> Result<(), StoreError> {
        self.entries.push_back(entry.clone());
        Ok(())
    }

    fn oldest_entries(&self, limit: usize) -> Result<Vec<(Position, u64)>, StoreError> {
        let oldest = self.entries.iter().take(limit);
        Ok(oldest.map(|entry| (entry.cursor.position, entry_bytes(entry))).collect())
    }

    fn remove_oldest_entry(&mut self, at: Position) -> Result<(), StoreError> {
        let removed = self.entries.pop_front();
        debug_assert_eq!(removed.map(|entry| entry.cursor.position), Some(at));
        Ok(())
    }

    fn seen(&self, id: &MessageId) -> Result<Option<Position>, StoreError> {
        Ok(self.seen.get(id).copied())
    }

    fn remember(&mut self, id: &MessageId, at: Position) -> Result<(), StoreError> {
        self.seen.insert(id.clone(), at);
        self.seen_by_age.push_back((at, id.clone()));
        Ok(())
    }

    fn oldest_seen(&mut self, limit: usize) -> Result<Vec<(Position, MessageId)>, StoreError> {
        Ok(self.seen_by_age.iter().take(limit).cloned().collect())
    }

    fn forget_oldest(&mut self, id: &MessageId, at: Position) -> Result<(), StoreError> {
        let removed = self.seen_by_age.pop_front();
        debug_assert_eq!(removed.map(|(at, _)| at), Some(at));
        if self.seen.get(id) == Some(&at) {
            self.seen.remove(id);
        }
        Ok(())
    }

    fn set_mailbox_state(&mut self, owner: &Address, state: Option<BoxState>) -> Result<(), StoreError> {
        match state {
            Some(state) => self.states.insert(owner.clone(), state),
            None => self.states.remove(owner),
        };
        Ok(())
    }

    fn put_message(&mut self, message: &Entry) -> Result<(), StoreError> {
        self.mail_by_age.insert(message.cursor.position, message.address.clone());
        self.messages.entry(message.address.clone()).or_default().push_back(message.clone());
        Ok(())
    }

    fn oldest_messages(
        &self,
        owner: &Address,
        from: Position,
        limit: usize,
    ) -> Result<Vec<(Position, u64)>, StoreError> {
        let oldest = self.messages_from(owner, from).take(limit);
        Ok(oldest.map(|message| (message.cursor.position, entry_bytes(message))).collect())
    }

    fn remove_oldest_message(&mut self, owner: &Address, at: Position) -> Result<(), StoreError> {
        self.mail_by_age.remove(&at);
        if let Some(messages) = self.messages.get_mut(owner) {
            let removed = messages.pop_front();
            debug_assert_eq!(removed.map(|message| message.cursor.position), Some(at));
            if messages.is_empty() {
                self.messages.remove(owner);
            }
        }
        Ok(())
    }

    fn oldest_mail(&mut self, limit: usize) -> Result<Vec<(Position, Address)>, StoreError> {
        Ok(self.mail_by_age.iter().take(limit).map(|(at, owner)| (*at, owner.clone())).collect())
    }

    fn put_mark(&mut self, at_ms: u64, owner: &Address) -> Result<(), StoreError> {
        self.marks.insert((at_ms, owner.clone()));
        Ok(())
    }

    fn remove_mark(&mut self, at_ms: u64, owner: &Address) -> Result<(), StoreError> {
        self.marks.remove(&(at_ms, owner.clone()));
        Ok(())
    }

    fn oldest_marks(&mut self, limit: usize) -> Result<Vec<(u64, Address)>, StoreError> {
        Ok(self.marks.iter().take(limit).cloned().collect())
    }
}

#[cfg(test)]
impl Memory {
    /// Whether no table holds anything.
    pub(super) fn is_empty(&self) -> bool {
        let log = self.entries.is_empty() && self.seen.is_empty() && self.seen_by_age.is_empty();
        let mail = self.states.is_empty() && self.messages.is_empty() && self.mail_by_age.is_empty();
        log && mail && self.marks.is_empty()
    }
}
