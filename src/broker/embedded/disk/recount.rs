//! Counts a log anew after something of it went missing: its numbers and mailboxes are those of what is left, and the
//! history gets another epoch, so that every reader hears of it. Read [`Disk::recount`] first.

use std::collections::{BTreeMap, HashSet};

use fjall::{PersistMode, Readable as _, SingleWriterWriteTx};

use super::database::{Disk, LOST_KEY, META_KEY};
use crate::broker::embedded::record::{self, InvalidRecord};
use crate::broker::embedded::tables::{BoxState, Meta};
use crate::broker::{Lost, StoreError};
use crate::protocol::{Address, Epoch, Position};

const COUNT: &str = "count the events";

/// The messages that a mailbox still has.
#[derive(Default)]
struct Messages {
    count: u64,
    oldest: Position,
}

/// The entries that the log still has.
#[derive(Default)]
struct Entries {
    length: u64,
    bytes: u64,
    positions: HashSet<Position>,
    last: Option<Position>,
}

impl Disk {
    /// Counts everything. `known` are the numbers as they were last known; `behind` the first entries behind holes in
    /// journals. Returns what is missing.
    pub(super) fn recount(
        &self,
        known: Option<Meta>,
        behind: &[Option<Position>],
        before: Option<Lost>,
    ) -> Result<Option<Lost>, StoreError> {
        let mut change = self.database.write_tx().durability(Some(PersistMode::SyncAll));
        let stored = self.stored_meta(&change)?;
        let newest = stored.into_iter().chain(known).max_by_key(Meta::appended);
        let mut meta = newest.unwrap_or_else(|| Meta::new(Epoch::from_random(rand::random())));
        meta.fence = stored.into_iter().chain(known).map(|meta| meta.fence).fold(meta.fence, Position::max);
        let entries = self.count_entries(&change, meta.start)?;
        let missing = meta.appended().saturating_sub(meta.trimmed + entries.length);
        let lost = (missing > 0).then(|| self.range(&change, &meta, &entries, (behind, missing)));
        let lost = lost.map(|lost| before.map_or(lost, |before| lost.and(before))).or(before);
        (meta.length, meta.bytes) = (entries.length, entries.bytes);
        meta.trimmed += missing;
        meta.newest = entries.last.unwrap_or(meta.start);
        meta.fence = meta.fence.max(meta.newest);
        self.forget_lost_ids(&mut change, meta.start, &entries)?;
        self.count_mail(&mut change, &mut meta)?;
        self.count_ids(&change, &mut meta)?;
        let is_same = stored.is_some_and(|stored| stored.with_derived_of(&meta) == meta);
        if !is_same {
            tracing::error!(
                missing,
                "the counters of the log were wrong; what is there was counted, and readers get a GAP event"
            );
            meta.epoch = Epoch::from_random(rand::random());
        }
        change.insert(&self.spaces.meta, META_KEY, record::meta_record(&meta));
        if let Some(lost) = &lost {
            change.insert(&self.spaces.meta, LOST_KEY, record::lost_record(lost));
        }
        change.commit().map_err(|error| self.error(COUNT, &error))?;
        Ok(lost)
    }

    fn failed(&self) -> impl Fn(fjall::Error) -> StoreError + use<'_> {
        |error| self.error(COUNT, &error)
    }

    fn invalid(&self) -> impl Fn(InvalidRecord) -> StoreError + use<'_> {
        |error| self.error(COUNT, &error)
    }

    fn count_entries(
        &self,
        source: &SingleWriterWriteTx<'_>,
        start: Position,
    ) -> Result<Entries, StoreError> {
        let mut entries = Entries::default();
        for found in source.iter(&self.spaces.log) {
            let (key, value) = found.into_inner().map_err(self.failed())?;
            let at = record::read_position(&key).map_err(self.invalid())?;
            if at > start {
                entries.length += 1;
                entries.bytes += record::entry_record_bytes(&value);
                entries.positions.insert(at);
                entries.last = Some(at);
            }
        }
        Ok(entries)
    }

    /// From the last entry in front of the first hole to the first one behind the last hole.
    fn range(
        &self,
        source: &SingleWriterWriteTx<'_>,
        meta: &Meta,
        entries: &Entries,
        (behind, events): (&[Option<Position>], u64),
    ) -> Lost {
        let in_front = |at: Position| {
            let keys = source.range(&self.spaces.log, ..record::position_key(at));
            let key = keys.rev().find_map(|entry| entry.key().ok())?;
            record::read_position(&key).ok()
        };
        let newest = meta.newest.max(entries.last.unwrap_or_default());
        let is_tail_lost = entries.last.is_none_or(|last| last < meta.newest);
        let holes = behind.iter().map(|next| next.unwrap_or(newest));
        let tail = is_tail_lost.then_some(newest);
        let ends: Vec<_> = holes.chain(tail).collect();
        let after = ends.iter().min().and_then(|first| in_front(*first)).unwrap_or(meta.start);
        let up_to = ends.iter().max().copied().unwrap_or(newest);
        Lost { events, after: meta.cursor(after.max(meta.start)), up_to: meta.cursor(up_to) }
    }

    /// An event that is gone can be published again.
    fn forget_lost_ids(
        &self,
        change: &mut SingleWriterWriteTx<'_>,
        start: Position,
        entries: &Entries,
    ) -> Result<(), StoreError> {
        let mut gone = Vec::new();
        for found in change.iter(&self.spaces.seen) {
            let (id, at) = found.into_inner().map_err(self.failed())?;
            let at = record::read_position(&at).map_err(self.invalid())?;
            if at > start && !entries.positions.contains(&at) {
                gone.push((id, at));
            }
        }
        for (id, at) in gone {
            change.remove(&self.spaces.seen, id);
            change.remove(&self.spaces.seen_by_age, record::position_key(at));
        }
        Ok(())
    }

    fn count_ids(&self, source: &SingleWriterWriteTx<'_>, meta: &mut Meta) -> Result<(), StoreError> {
        (meta.ids, meta.id_bytes) = (0, 0);
        for found in source.iter(&self.spaces.seen_by_age) {
            let (_, id) = found.into_inner().map_err(self.failed())?;
            meta.ids += 1;
            meta.id_bytes += id.len() as u64;
        }
        Ok(())
    }

    /// Mailboxes hold what is left; a message that is missing counts as dropped, so that its owner hears of it.
    fn count_mail(&self, change: &mut SingleWriterWriteTx<'_>, meta: &mut Meta) -> Result<(), StoreError> {
        (meta.mailbox_bytes, meta.overflowed) = (0, 0);
        let mut boxes: BTreeMap<String, Messages> = BTreeMap::new();
        let mut ages = BTreeMap::new();
        for found in change.iter(&self.spaces.mail) {
            let (key, value) = found.into_inner().map_err(self.failed())?;
            meta.mailbox_bytes += record::entry_record_bytes(&value);
            let at = record::read_mail_position(&key).map_err(self.invalid())?;
            let owner: Address = record::read_mail_owner(&key).map_err(self.invalid())?;
            let own = boxes.entry(owner.to_string()).or_insert(Messages { count: 0, oldest: at });
            own.count += 1;
            ages.insert(record::position_key(at).to_vec(), owner);
        }
        self.align_ages(change, &ages)?;
        meta.mailboxes = boxes.len() as u64;
        meta.mailbox_messages = ages.len() as u64;
        let mut states: BTreeMap<String, BoxState> = BTreeMap::new();
        for found in change.iter(&self.spaces.states) {
            let (owner, state) = found.into_inner().map_err(self.failed())?;
            let state = record::read_state(&state).map_err(self.invalid())?;
            states.insert(String::from_utf8_lossy(&owner).into_owned(), state);
        }
        for owner in boxes.keys() {
            states.entry(owner.clone()).or_default();
        }
        for (owner, mut state) in states {
            let own = boxes.remove(&owner).unwrap_or_default();
            let missing = state.count.saturating_sub(own.count);
            meta.overflowed += u64::from(state.overflowed > 0 || missing > 0);
            if state.count == own.count {
                continue;
            }
            (state.count, state.oldest) = (own.count, own.oldest);
            if missing > 0 {
                state.overflowed += missing;
                (state.dropped_up_to, state.dropped_at_ms) = (meta.newest, meta.fence.ms);
                let owner: Address = record::read_text(owner.as_bytes()).map_err(self.invalid())?;
                change.insert(&self.spaces.marks, record::mark_key(meta.fence.ms, &owner), []);
            }
            change.insert(&self.spaces.states, owner, record::state_record(&state));
        }
        Ok(())
    }

    /// The table of messages by age names each message that is there, and no other.
    fn align_ages(
        &self,
        change: &mut SingleWriterWriteTx<'_>,
        ages: &BTreeMap<Vec<u8>, Address>,
    ) -> Result<(), StoreError> {
        let mut known = HashSet::new();
        for found in change.iter(&self.spaces.mail_by_age) {
            known.insert(found.key().map_err(self.failed())?.to_vec());
        }
        for key in known.iter().filter(|key| !ages.contains_key(*key)) {
            change.remove(&self.spaces.mail_by_age, key.clone());
        }
        for (key, owner) in ages.iter().filter(|(key, _)| !known.contains(*key)) {
            change.insert(&self.spaces.mail_by_age, key.clone(), owner.to_string());
        }
        Ok(())
    }
}
