//! The rules of reading: which cursors are sound, which entries are missing, which messages a mailbox shows. Pure. Read
//! [`read_after`] first.

use super::tables::Reads;
use super::writing::is_older;
use crate::broker::{LogLimits, Mailbox, Missing, Page, PageLimit, StoreError};
use crate::protocol::api::GapReason;
use crate::protocol::{Address, Cursor, Position};

/// Entries after a cursor, and the gap before them.
pub(super) fn read_after(tables: &dyn Reads, after: Cursor, limit: PageLimit) -> Result<Page, StoreError> {
    let gap = missing(tables, after)?;
    let from = gap.map_or(after.position, |gap| gap.resumed_after.position);
    let entries = tables.entries_after(from, limit)?;
    let more = entries.last().is_some_and(|last| last.cursor.position < tables.meta().newest);
    Ok(Page { gap, sync: None, entries, more })
}

/// Why an answer from this cursor on cannot be complete; `None` for a sound cursor.
fn missing(tables: &dyn Reads, after: Cursor) -> Result<Option<Missing>, StoreError> {
    let meta = tables.meta();
    let at = after.position;
    let gap = |reason, resumed_after, missed| {
        Ok(Some(Missing { reason, resumed_after: meta.cursor(resumed_after), missed }))
    };
    if after.epoch != meta.epoch {
        return gap(GapReason::Epoch, meta.start, None);
    }
    if at < meta.start {
        // From the start of the history everything trimmed is missing; from another position the number is unknown.
        let missed = (at == Position::ZERO).then_some(meta.trimmed);
        return gap(GapReason::Trimmed, meta.start, missed);
    }
    // Most readers stand at the end; the comparison spares them a look-up.
    if at == meta.start || at == meta.newest || tables.entry(at)?.is_some() {
        return Ok(None);
    }
    let sound = if at > meta.newest { Some(meta.newest) } else { tables.last_before(at)? };
    gap(GapReason::Rollback, sound.unwrap_or(meta.start).max(meta.start), None)
}

/// A mailbox as it is now, behind a position. Messages that are too old count as dropped even before the next sweep removes
/// them.
pub(super) fn mailbox(
    tables: &dyn Reads,
    (owner, after): (&Address, Position),
    limit: PageLimit,
    (limits, now_ms): (&LogLimits, u64),
) -> Result<Mailbox, StoreError> {
    let Some(state) = tables.mailbox_state(owner)? else { return Ok(Mailbox::default()) };
    let now = tables.meta().log_time(now_ms);
    let mut overflowed = state.overflowed;
    let mut from = state.oldest.max(after.next());
    loop {
        let (mut entries, more) = tables.messages(owner, from, limit)?;
        from = entries.last().map_or(from, |last| last.cursor.position.next());
        let before = entries.len();
        entries.retain(|entry| !is_older(entry.cursor.position, limits.mailbox_max_age, now));
        overflowed += (before - entries.len()) as u64;
        if !entries.is_empty() || !more {
            return Ok(Mailbox { entries, index: 0, more, overflowed });
        }
    }
}
