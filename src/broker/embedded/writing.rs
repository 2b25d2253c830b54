//! The rules of writing: numbering, de-duplication, trimming, mailboxes. Pure: the time is an argument, the tables are
//! whatever keeps them. Read [`Rules::append`] first.

use std::time::Duration;

use super::tables::{BoxState, Tables, entry_bytes};
use crate::broker::{Appended, Entry, LogLimits, NewEvent, StoreError};
use crate::protocol::{Address, MessageId, Position};

/// Most things that one sweep removes of each kind, so that a batch behind it does not wait long.
const SWEEP_STEP: usize = 4_096;
/// Read at a time while trimming.
const TRIM_CHUNK: u64 = 256;

/// The limits, applied.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    limits: LogLimits,
}

impl Rules {
    pub(super) fn new(limits: LogLimits) -> Self {
        Self { limits }
    }

    /// Puts one event into the log and, if it asks for that, into its mailbox. Trimming is the batch's affair:
    /// [`Rules::trim_to_size`].
    pub(super) fn append(
        &self,
        tables: &mut impl Tables,
        event: NewEvent,
        now_ms: u64,
    ) -> Result<Appended, StoreError> {
        if let Some(first) = self.first_position(tables, &event.message_id, now_ms)? {
            return Ok(Appended { cursor: tables.meta().cursor(first), duplicate: true });
        }
        let position = tables.meta_mut().number(now_ms);
        let NewEvent { message_id, address, event_type, envelope, mailbox } = event;
        let entry =
            Entry { cursor: tables.meta().cursor(position), message_id, address, event_type, envelope };
        tables.put_entry(&entry)?;
        tables.remember(&entry.message_id, position)?;
        tables.meta_mut().length += 1;
        tables.meta_mut().bytes += entry_bytes(&entry);
        if mailbox && entry.address.has_mailbox() {
            self.deliver(tables, &entry, now_ms)?;
        }
        Ok(Appended { cursor: entry.cursor, duplicate: false })
    }

    /// Where a message stands that is still within the idempotency window.
    fn first_position(
        &self,
        tables: &impl Tables,
        id: &MessageId,
        now_ms: u64,
    ) -> Result<Option<Position>, StoreError> {
        let now = tables.meta().log_time(now_ms);
        Ok(tables.seen(id)?.filter(|at| !is_older(*at, self.limits.idempotency_window, now)))
    }

    fn deliver(&self, tables: &mut impl Tables, message: &Entry, now_ms: u64) -> Result<(), StoreError> {
        let owner = &message.address;
        self.drop_expired(tables, owner, now_ms)?;
        tables.put_message(message)?;
        let mut state = tables.mailbox_state(owner)?.unwrap_or_default();
        state.count += 1;
        let meta = tables.meta_mut();
        meta.mailbox_messages += 1;
        meta.mailboxes += u64::from(state.count == 1);
        tables.set_mailbox_state(owner, Some(state))?;
        let excess = state.count.saturating_sub(self.limits.mailbox_max_messages);
        let excess = tables.oldest_messages(owner, usize::try_from(excess).unwrap_or(usize::MAX))?;
        drop_messages(tables, owner, &excess)
    }

    /// Takes everything up to a position out of a mailbox.
    pub(super) fn confirm(
        &self,
        tables: &mut impl Tables,
        owner: &Address,
        up_to: Position,
        now_ms: u64,
    ) -> Result<u64, StoreError> {
        self.drop_expired(tables, owner, now_ms)?;
        let Some(mut state) = tables.mailbox_state(owner)? else { return Ok(0) };
        let mut confirmed = 0;
        for at in tables.oldest_messages(owner, usize::MAX)? {
            if at > up_to {
                break;
            }
            tables.remove_message(owner, at)?;
            confirmed += 1;
        }
        state.count -= confirmed;
        if state.overflowed > 0 && state.dropped_up_to <= up_to {
            tables.remove_mark(state.dropped_up_to)?;
            state.overflowed = 0;
        }
        tables.meta_mut().mailbox_messages -= confirmed;
        tables.meta_mut().mailboxes -= u64::from(confirmed > 0 && state.count == 0);
        store_state(tables, owner, state)?;
        Ok(confirmed)
    }

    /// Trims what is over the count or the bytes. Cheap when nothing is.
    pub(super) fn trim_to_size(&self, tables: &mut impl Tables) -> Result<(), StoreError> {
        for _ in 0..SWEEP_STEP {
            let meta = tables.meta();
            let over = meta.length.saturating_sub(self.limits.max_events);
            if over == 0 && meta.bytes <= self.limits.max_bytes {
                break;
            }
            let chunk = usize::try_from(over.clamp(1, TRIM_CHUNK)).unwrap_or(1);
            let oldest = tables.oldest_entries(chunk)?;
            if oldest.is_empty() {
                break;
            }
            for (at, bytes) in oldest {
                remove_entry(tables, at, bytes)?;
            }
        }
        Ok(())
    }

    /// What time alone makes necessary: trims old entries, forgets old message ids, drops old mail. Says whether
    /// there is more of it than one sweep may do.
    pub(super) fn sweep(&self, tables: &mut impl Tables, now_ms: u64) -> Result<bool, StoreError> {
        let mut more = false;
        let now = tables.meta().log_time(now_ms);
        let entries = tables.oldest_entries(SWEEP_STEP)?;
        more |= entries.len() == SWEEP_STEP;
        for (at, bytes) in entries {
            if !is_older(at, self.limits.max_age, now) {
                more = false;
                break;
            }
            remove_entry(tables, at, bytes)?;
        }
        more |= self.sweep_ids(tables, now)?;
        more |= self.sweep_mail(tables, now)?;
        Ok(more)
    }

    fn sweep_ids(&self, tables: &mut impl Tables, now: u64) -> Result<bool, StoreError> {
        let ids = tables.oldest_seen(SWEEP_STEP)?;
        let full = ids.len() == SWEEP_STEP;
        for (at, id) in ids {
            if !is_older(at, self.limits.idempotency_window, now) {
                return Ok(false);
            }
            tables.forget(&id, at)?;
        }
        Ok(full)
    }

    fn sweep_mail(&self, tables: &mut impl Tables, now: u64) -> Result<bool, StoreError> {
        let age = self.limits.mailbox_max_age;
        let mail = tables.oldest_mail(SWEEP_STEP)?;
        let mut more = mail.len() == SWEEP_STEP;
        for (at, owner) in mail {
            if !is_older(at, age, now) {
                more = false;
                break;
            }
            drop_messages(tables, &owner, &[at])?;
        }
        // A count of dropped messages that nobody came to hear for as long again is forgotten, or every user who
        // never comes back would leave a trace for ever.
        let marks = tables.oldest_marks(SWEEP_STEP)?;
        let full = marks.len() == SWEEP_STEP;
        for (at, owner) in marks {
            if !is_older(at, age.saturating_mul(2), now) {
                return Ok(more);
            }
            tables.remove_mark(at)?;
            let mut state = tables.mailbox_state(&owner)?.unwrap_or_default();
            state.overflowed = 0;
            store_state(tables, &owner, state)?;
        }
        Ok(more || full)
    }

    fn drop_expired(&self, tables: &mut impl Tables, owner: &Address, now_ms: u64) -> Result<(), StoreError> {
        let now = tables.meta().log_time(now_ms);
        // One look at the oldest message is enough for nearly every mailbox.
        let Some(oldest) = tables.oldest_messages(owner, 1)?.first().copied() else { return Ok(()) };
        if !is_older(oldest, self.limits.mailbox_max_age, now) {
            return Ok(());
        }
        let mut expired = tables.oldest_messages(owner, usize::MAX)?;
        expired.retain(|at| is_older(*at, self.limits.mailbox_max_age, now));
        drop_messages(tables, owner, &expired)
    }
}

/// Whether something of this position is older than `age` at `now`, both in milliseconds of the log's time.
pub(super) fn is_older(at: Position, age: Duration, now: u64) -> bool {
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    at.ms.saturating_add(age) < now
}

fn remove_entry(tables: &mut impl Tables, at: Position, bytes: u64) -> Result<(), StoreError> {
    tables.remove_oldest_entry(at)?;
    let meta = tables.meta_mut();
    meta.start = at;
    meta.length -= 1;
    meta.bytes -= bytes;
    meta.trimmed += 1;
    Ok(())
}

/// Drops the oldest messages of a mailbox, given in order, and counts them until their owner is told.
fn drop_messages(tables: &mut impl Tables, owner: &Address, dropped: &[Position]) -> Result<(), StoreError> {
    let Some(newest_dropped) = dropped.last().copied() else { return Ok(()) };
    let mut state = tables.mailbox_state(owner)?.unwrap_or_default();
    for at in dropped {
        tables.remove_message(owner, *at)?;
    }
    if state.overflowed > 0 {
        tables.remove_mark(state.dropped_up_to)?;
    }
    let count = dropped.len() as u64;
    state.count -= count;
    state.overflowed += count;
    state.dropped_up_to = newest_dropped;
    tables.put_mark(newest_dropped, owner)?;
    tables.meta_mut().mailbox_messages -= count;
    tables.meta_mut().mailboxes -= u64::from(state.count == 0);
    store_state(tables, owner, state)
}

fn store_state(tables: &mut impl Tables, owner: &Address, state: BoxState) -> Result<(), StoreError> {
    let worth_keeping = state.count > 0 || state.overflowed > 0;
    tables.set_mailbox_state(owner, worth_keeping.then_some(state))
}
