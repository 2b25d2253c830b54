//! The newest entries that a node has read, kept so that entries that the log loses can be appended again. Bounded by
//! count and bytes, in the order of the log. Pure. Read [`RecentEntries::lose`] first.

use std::collections::{HashMap, VecDeque};

use super::limits::{RECENT_BYTES, RECENT_ENTRIES};
use crate::broker::{Entry, NewEvent, Origins};
use crate::protocol::{Cursor, MessageId, Position};

/// The newest entries that a node has read.
#[derive(Debug)]
pub(super) struct RecentEntries {
    entries: VecDeque<Kept>,
    bytes: usize,
    /// Everything after this position is here.
    before: Position,
    /// The earlier places of messages that the log lost and that were not read again.
    lost: HashMap<MessageId, Origins>,
}

#[derive(Debug)]
struct Kept {
    entry: Entry,
    mailbox: bool,
}

impl RecentEntries {
    /// Remembers nothing before this position.
    pub(super) fn new(before: Position) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, before, lost: HashMap::new() }
    }

    /// Remembers an entry, the newest. An entry that was lost and comes again without its old place (its publisher
    /// repeated it before any node did) gets the place from here.
    pub(super) fn note(&mut self, entry: &mut Entry, mailbox: bool) {
        if let Some(origins) = self.lost.remove(&entry.message_id)
            && entry.origins.places().is_empty()
        {
            entry.origins = origins;
        }
        self.bytes += entry.envelope.len();
        self.entries.push_back(Kept { entry: entry.clone(), mailbox });
        while self.entries.len() > RECENT_ENTRIES || self.bytes > RECENT_BYTES {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.entry.envelope.len();
            self.before = oldest.entry.cursor.position;
        }
    }

    /// The position after which everything is here that a log lost if it ends at `end`.
    pub(super) fn reaches_back_to(&self, end: Position) -> Position {
        self.before.max(end)
    }

    /// Takes out the entries that did not survive the end of these histories, in log order, each with its earlier
    /// places. The last place is the one in the history that lost the entry: a reader that had it in an older history
    /// knows that it had it in this one too.
    pub(super) fn lose(&mut self, ended: &[Cursor]) -> Vec<(NewEvent, Origins)> {
        let Some(end) = ended.iter().map(|end| end.position).min() else { return Vec::new() };
        let kept = self.entries.partition_point(|kept| kept.entry.cursor.position <= end);
        let gone: Vec<Kept> = self.entries.drain(kept..).collect();
        self.before = self.before.min(end);
        let events = gone.into_iter().map(|Kept { entry, mailbox }| {
            self.bytes -= entry.envelope.len();
            let Entry { cursor, message_id, address, event_type, envelope, origins } = entry;
            let lost_in = ended.iter().find(|end| cursor.position > end.position);
            let epoch = lost_in.map_or(cursor.epoch, |end| end.epoch);
            let origins = origins.with(Cursor::new(epoch, cursor.position));
            self.lost.insert(message_id.clone(), origins.clone());
            (NewEvent { message_id, address, event_type, envelope, mailbox, fresh: false }, origins)
        });
        events.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::protocol::{Address, Epoch, EventType};

    fn at(ms: u64) -> Position {
        Position { ms, seq: 0 }
    }

    fn end(ms: u64) -> Cursor {
        Cursor::new(Epoch::from_random(1), at(ms))
    }

    fn entry(id: &str, ms: u64) -> Entry {
        Entry {
            cursor: Cursor::new(Epoch::from_random(1), at(ms)),
            message_id: MessageId::parse(id).unwrap(),
            address: Address::All,
            event_type: EventType::parse("MESSAGE").unwrap(),
            envelope: Arc::from("{}"),
            origins: Origins::default(),
        }
    }

    fn remembering(count: u64) -> RecentEntries {
        let mut recent = RecentEntries::new(at(0));
        for ms in 1..=count {
            recent.note(&mut entry(&format!("m{ms}"), ms), ms % 2 == 0);
        }
        recent
    }

    #[test]
    fn what_came_behind_the_end_is_lost_in_order_with_its_old_place() {
        let mut recent = remembering(5);
        assert_eq!(recent.reaches_back_to(at(3)), at(3));
        let lost = recent.lose(&[end(3)]);
        let events: Vec<_> = lost
            .iter()
            .map(|(event, origins)| {
                (event.message_id.as_str(), event.mailbox, origins.places()[0].position.ms)
            })
            .collect();
        assert_eq!(events, [("m4", true, 4), ("m5", false, 5)]);
        assert_eq!(recent.lose(&[end(3)]).len(), 0);
    }

    /// A client that came in the second history has had nothing of the first; what it must be spared stood in the second.
    #[test]
    fn the_old_place_is_in_the_history_that_lost_it() {
        let mut recent = remembering(5);
        let (second, third) =
            (Cursor::new(Epoch::from_random(2), at(2)), Cursor::new(Epoch::from_random(3), at(9)));
        let lost = recent.lose(&[end(4), second, third]);
        let places: Vec<_> = lost.iter().map(|(_, origins)| origins.places()[0]).collect();
        let stood = |epoch, ms| Cursor::new(Epoch::from_random(epoch), at(ms));
        assert_eq!(places, [stood(2, 3), stood(2, 4), stood(1, 5)]);
    }

    #[test]
    fn a_log_that_lost_more_than_is_remembered_says_how_far_back_it_goes() {
        let mut recent = RecentEntries::new(at(10));
        recent.note(&mut entry("m11", 11), false);
        assert_eq!(recent.reaches_back_to(Position::ZERO), at(10));
        assert_eq!(recent.lose(&[end(0)]).len(), 1);
    }

    #[test]
    fn a_lost_message_that_comes_again_is_told_its_old_place_once() {
        let mut recent = remembering(2);
        recent.lose(&[end(1)]);
        let mut again = entry("m2", 9);
        recent.note(&mut again, false);
        assert_eq!(again.origins.places()[0].position, at(2));
        let mut other = entry("m2", 10);
        recent.note(&mut other, false);
        assert_eq!(other.origins, Origins::default());
    }

    #[test]
    fn memory_is_bounded() {
        let recent = remembering(RECENT_ENTRIES as u64 + 7);
        assert_eq!((recent.entries.len(), recent.before), (RECENT_ENTRIES, at(7)));
    }
}
