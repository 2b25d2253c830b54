//! The rules of writing: numbering, de-duplication, trimming, mailboxes. Pure: the time is an argument, the tables are
//! behind a trait. Read [`Rules::append`] first.

use std::time::Duration;

use super::tables::{BoxState, Tables, entry_bytes};
use crate::broker::limits::ID_BYTES;
use crate::broker::{Appended, Entry, LogLimits, NewEvent, Origins, StoreError};
use crate::protocol::{Address, MessageId, Position};

/// Most things that one sweep removes of each kind, so that a batch behind it does not wait long.
const SWEEP_STEP: usize = 4_096;
/// Read at a time while trimming.
const TRIM_CHUNK: usize = 256;

/// The limits, applied.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    limits: LogLimits,
}

impl Rules {
    pub(super) fn new(limits: LogLimits) -> Self {
        Self { limits }
    }

    /// Puts one event into the log and, if it asks for that, into its mailbox. The batch trims, not this:
    /// [`Rules::trim_to_size`].
    pub(super) fn append(
        &self,
        tables: &mut impl Tables,
        event: NewEvent,
        now_ms: u64,
    ) -> Result<Appended, StoreError> {
        if !event.fresh
            && let Some(first) = self.first_position(tables, &event.message_id, now_ms)?
        {
            return Ok(Appended { cursor: tables.meta().cursor(first), duplicate: true });
        }
        let position = tables.meta_mut().number(now_ms);
        let NewEvent { message_id, address, event_type, envelope, mailbox, fresh: _ } = event;
        let entry = Entry {
            cursor: tables.meta().cursor(position),
            message_id,
            address,
            event_type,
            envelope,
            origins: Origins::default(),
        };
        tables.put_entry(&entry)?;
        self.remember(tables, &entry.message_id, position)?;
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

    /// Remembers an id, and forgets the oldest ones beyond the limits: a repeat of those adds an event.
    fn remember(&self, tables: &mut impl Tables, id: &MessageId, at: Position) -> Result<(), StoreError> {
        tables.remember(id, at)?;
        let max = self.limits.idempotency_max_ids;
        let meta = tables.meta_mut();
        meta.ids += 1;
        meta.id_bytes += id.as_str().len() as u64;
        for _ in 0..SWEEP_STEP {
            if tables.meta().ids <= max && tables.meta().id_bytes <= max.saturating_mul(ID_BYTES) {
                break;
            }
            let Some((at, id)) = tables.oldest_seen(1)?.pop() else { break };
            forget(tables, &id, at)?;
            tables.meta_mut().ids_forgotten += 1;
        }
        Ok(())
    }

    /// Drops the oldest messages of all mailboxes beyond the limits, and the oldest memories of what was dropped.
    /// Returns whether more is left than one step may do.
    fn bound_mail(&self, tables: &mut impl Tables, now_ms: u64) -> Result<bool, StoreError> {
        let LogLimits { mailboxes_max_messages, mailboxes_max_bytes, .. } = self.limits;
        let mut budget = SWEEP_STEP;
        while budget > 0 {
            let meta = tables.meta();
            if meta.mailbox_messages <= mailboxes_max_messages && meta.mailbox_bytes <= mailboxes_max_bytes {
                break;
            }
            let Some((at, owner)) = tables.oldest_mail(1)?.pop() else { break };
            drop_oldest(tables, at, &owner, now_ms)?;
            budget -= 1;
        }
        while budget > 0 && tables.meta().overflowed > mailboxes_max_messages {
            let Some((at_ms, owner)) = tables.oldest_marks(1)?.pop() else { break };
            move_mark(tables, at_ms, &owner, |state| state.dropped_at_ms <= at_ms)?;
            budget -= 1;
        }
        Ok(budget == 0)
    }

    fn deliver(&self, tables: &mut impl Tables, message: &Entry, now_ms: u64) -> Result<(), StoreError> {
        let owner = &message.address;
        self.drop_expired(tables, owner, now_ms)?;
        tables.put_message(message)?;
        let mut state = tables.mailbox_state(owner)?.unwrap_or_default();
        if state.count == 0 {
            state.oldest = message.cursor.position;
            tables.meta_mut().mailboxes += 1;
        }
        state.count += 1;
        tables.meta_mut().mailbox_messages += 1;
        tables.meta_mut().mailbox_bytes += entry_bytes(message);
        tables.set_mailbox_state(owner, Some(state))?;
        let excess = state.count.saturating_sub(self.limits.mailbox_max_messages);
        if excess > 0 {
            let excess = usize::try_from(excess).unwrap_or(usize::MAX);
            let excess = tables.oldest_messages(owner, state.oldest, excess)?;
            drop_messages(tables, owner, &excess, now_ms)?;
        }
        self.bound_mail(tables, now_ms).map(drop)
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
        let (mut confirmed, mut freed) = (0, 0);
        if state.count > 0 && state.oldest <= up_to {
            for (at, bytes) in tables.oldest_messages(owner, state.oldest, usize::MAX)? {
                if at > up_to {
                    break;
                }
                tables.remove_oldest_message(owner, at)?;
                confirmed += 1;
                freed += bytes;
            }
            state.oldest = up_to.next();
            state.count = state.count.saturating_sub(confirmed);
        }
        let meta = tables.meta_mut();
        if state.dropped_up_to <= up_to && state.overflowed > 0 {
            state.overflowed = 0;
            lower(&mut meta.overflowed, 1);
        }
        lower(&mut meta.mailbox_messages, confirmed);
        lower(&mut meta.mailbox_bytes, freed);
        lower(&mut meta.mailboxes, u64::from(confirmed > 0 && state.count == 0));
        store_state(tables, owner, state)?;
        Ok(confirmed)
    }

    /// Trims to the limits of count and bytes in one bounded step; returns whether more is left. Cheap when nothing is
    /// over a limit.
    pub(super) fn trim_to_size(&self, tables: &mut impl Tables) -> Result<bool, StoreError> {
        let mut budget = SWEEP_STEP;
        while budget > 0 {
            let meta = tables.meta();
            let over = meta.length.saturating_sub(self.limits.max_events);
            if over == 0 && meta.bytes <= self.limits.max_bytes {
                return Ok(false);
            }
            // Over the bytes alone: one by one, since the number of entries to trim is unknown.
            let chunk = usize::try_from(over).unwrap_or(TRIM_CHUNK).clamp(1, TRIM_CHUNK.min(budget));
            let oldest = tables.oldest_entries(chunk)?;
            if oldest.is_empty() {
                return Ok(false);
            }
            budget -= oldest.len();
            for (at, bytes) in oldest {
                remove_entry(tables, at, bytes)?;
            }
        }
        Ok(true)
    }

    /// Trims old entries and those over a limit that was lowered, forgets old message ids, drops old mail: all that
    /// becomes necessary without an append. Returns whether more is left than one sweep may do.
    pub(super) fn sweep(&self, tables: &mut impl Tables, now_ms: u64) -> Result<bool, StoreError> {
        let now = tables.meta().log_time(now_ms);
        let mut more = self.trim_to_size(tables)?;
        more |= self.sweep_entries(tables, now)?;
        more |= self.sweep_ids(tables, now)?;
        more |= self.sweep_mail(tables, now)?;
        more |= self.bound_mail(tables, now)?;
        more |= self.sweep_marks(tables, now)?;
        Ok(more)
    }

    fn sweep_entries(&self, tables: &mut impl Tables, now: u64) -> Result<bool, StoreError> {
        // Most sweeps find nothing; they should not read thousands of entries to see that.
        for _ in 0..SWEEP_STEP / TRIM_CHUNK {
            let entries = tables.oldest_entries(TRIM_CHUNK)?;
            let full = entries.len() == TRIM_CHUNK;
            for (at, bytes) in entries {
                if !is_older(at, self.limits.max_age, now) {
                    return Ok(false);
                }
                remove_entry(tables, at, bytes)?;
            }
            if !full {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn sweep_ids(&self, tables: &mut impl Tables, now: u64) -> Result<bool, StoreError> {
        let ids = tables.oldest_seen(SWEEP_STEP)?;
        let full = ids.len() == SWEEP_STEP;
        for (at, id) in ids {
            if !is_older(at, self.limits.idempotency_window, now) {
                return Ok(false);
            }
            forget(tables, &id, at)?;
        }
        Ok(full)
    }

    fn sweep_mail(&self, tables: &mut impl Tables, now: u64) -> Result<bool, StoreError> {
        let mail = tables.oldest_mail(SWEEP_STEP)?;
        let full = mail.len() == SWEEP_STEP;
        for (at, owner) in mail {
            if !is_older(at, self.limits.mailbox_max_age, now) {
                return Ok(false);
            }
            drop_oldest(tables, at, &owner, now)?;
        }
        Ok(full)
    }

    /// Forgets an overflow that its owner did not read within the age limit of messages: a user who never comes back
    /// must not leave a trace for ever.
    fn sweep_marks(&self, tables: &mut impl Tables, now: u64) -> Result<bool, StoreError> {
        let is_old = |ms| is_older(Position { ms, seq: 0 }, self.limits.mailbox_max_age, now);
        let marks = tables.oldest_marks(SWEEP_STEP)?;
        let full = marks.len() == SWEEP_STEP;
        for (at_ms, owner) in marks {
            if !is_old(at_ms) {
                return Ok(false);
            }
            move_mark(tables, at_ms, &owner, |state| is_old(state.dropped_at_ms))?;
        }
        Ok(full)
    }

    fn drop_expired(&self, tables: &mut impl Tables, owner: &Address, now_ms: u64) -> Result<(), StoreError> {
        let now = tables.meta().log_time(now_ms);
        let Some(state) = tables.mailbox_state(owner)?.filter(|state| state.count > 0) else { return Ok(()) };
        if !is_older(state.oldest, self.limits.mailbox_max_age, now) {
            return Ok(());
        }
        let mut expired = tables.oldest_messages(owner, state.oldest, usize::MAX)?;
        expired.retain(|(at, _)| is_older(*at, self.limits.mailbox_max_age, now));
        drop_messages(tables, owner, &expired, now_ms)
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
    lower(&mut meta.length, 1);
    lower(&mut meta.bytes, bytes);
    meta.trimmed += 1;
    Ok(())
}

/// Drops the oldest messages of a mailbox, given in order, and counts them until their owner confirms the loss.
fn drop_messages(
    tables: &mut impl Tables,
    owner: &Address,
    dropped: &[(Position, u64)],
    now_ms: u64,
) -> Result<(), StoreError> {
    let Some((newest_dropped, _)) = dropped.last().copied() else { return Ok(()) };
    for (at, _) in dropped {
        tables.remove_oldest_message(owner, *at)?;
    }
    let count = dropped.len() as u64;
    let mut state = tables.mailbox_state(owner)?.unwrap_or_default();
    state.dropped_at_ms = tables.meta().log_time(now_ms);
    if state.overflowed == 0 {
        // One mark for a run of drops; sweeping moves it to the newest of them.
        tables.put_mark(state.dropped_at_ms, owner)?;
        tables.meta_mut().overflowed += 1;
    }
    state.overflowed += count;
    state.dropped_up_to = newest_dropped;
    state.oldest = newest_dropped.next();
    state.count = state.count.saturating_sub(count);
    let meta = tables.meta_mut();
    lower(&mut meta.mailbox_messages, count);
    lower(&mut meta.mailbox_bytes, dropped.iter().map(|(_, bytes)| bytes).sum());
    lower(&mut meta.mailboxes, u64::from(state.count == 0));
    store_state(tables, owner, state)
}

/// Drops the oldest message of all mailboxes, which stands at this position.
fn drop_oldest(
    tables: &mut impl Tables,
    at: Position,
    owner: &Address,
    now_ms: u64,
) -> Result<(), StoreError> {
    let message = tables.oldest_messages(owner, at, 1)?;
    if message.first().is_none_or(|(found, _)| *found != at) {
        // A trace of a message that is gone.
        return tables.remove_oldest_message(owner, at);
    }
    drop_messages(tables, owner, &message, now_ms)
}

/// Forgets what a mailbox dropped, if it is time, or marks it for later.
fn move_mark(
    tables: &mut impl Tables,
    at_ms: u64,
    owner: &Address,
    is_time: impl Fn(&BoxState) -> bool,
) -> Result<(), StoreError> {
    tables.remove_mark(at_ms, owner)?;
    let Some(mut state) = tables.mailbox_state(owner)?.filter(|state| state.overflowed > 0) else {
        return Ok(());
    };
    if !is_time(&state) {
        return tables.put_mark(state.dropped_at_ms, owner);
    }
    state.overflowed = 0;
    lower(&mut tables.meta_mut().overflowed, 1);
    store_state(tables, owner, state)
}

fn forget(tables: &mut impl Tables, id: &MessageId, at: Position) -> Result<(), StoreError> {
    tables.forget_oldest(id, at)?;
    let meta = tables.meta_mut();
    lower(&mut meta.ids, 1);
    lower(&mut meta.id_bytes, id.as_str().len() as u64);
    Ok(())
}

/// A counter of a log that lost something is never below zero.
fn lower(counter: &mut u64, by: u64) {
    *counter = counter.saturating_sub(by);
}

fn store_state(tables: &mut impl Tables, owner: &Address, state: BoxState) -> Result<(), StoreError> {
    let worth_keeping = state.count > 0 || state.overflowed > 0;
    tables.set_mailbox_state(owner, worth_keeping.then_some(state))
}
