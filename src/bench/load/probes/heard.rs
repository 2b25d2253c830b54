//! What a stream of the judge has heard, and how a resumed stream differs from it. Pure. Read [`Heard`] first.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::bench::ids::{AddressId, PublisherId};
use crate::bench::stamp::Stamp;
use crate::bench::verdict::ledger::ProbeFault;

/// Events that are remembered: more than any probe goes back.
const REMEMBERED: usize = 2_000;

/// Publisher, address and number.
type EventKey = (PublisherId, AddressId, u64);

fn key(stamp: &Stamp) -> EventKey {
    (stamp.publisher, stamp.address, stamp.seq)
}

/// The newest events of one stream in the order of their first arrival, each with a place in it.
#[derive(Debug, Default)]
pub(super) struct Heard {
    events: VecDeque<(Option<String>, Stamp)>,
    /// The place of the first of `events`.
    first: usize,
    places: HashMap<EventKey, usize>,
}

impl Heard {
    /// Adds an event that was not heard before.
    pub(super) fn add(&mut self, id: Option<&str>, stamp: Stamp) {
        let place = self.end();
        if *self.places.entry(key(&stamp)).or_insert(place) != place {
            return;
        }
        self.events.push_back((id.map(str::to_owned), stamp));
        if self.events.len() > REMEMBERED
            && let Some((_, oldest)) = self.events.pop_front()
        {
            self.places.remove(&key(&oldest));
            self.first += 1;
        }
    }

    /// One behind the last place.
    pub(super) fn end(&self) -> usize {
        self.first + self.events.len()
    }

    /// The place, id and stamp of an event `back` events before the last one, if it has an id.
    pub(super) fn cursor(&self, back: usize) -> Option<(usize, String, Stamp)> {
        let place = self.end().checked_sub(1 + back)?;
        let (id, stamp) = self.at(place)?;
        Some((place, id.clone()?, *stamp))
    }

    /// The last place, and the event there.
    pub(super) fn last(&self) -> Option<(usize, Stamp)> {
        Some((self.end().checked_sub(1)?, self.events.back()?.1))
    }

    fn at(&self, place: usize) -> Option<&(Option<String>, Stamp)> {
        self.events.get(place.checked_sub(self.first)?)
    }

    pub(super) fn place(&self, stamp: &Stamp) -> Option<usize> {
        self.places.get(&key(stamp)).copied()
    }

    /// How the events of a stream that was resumed behind the place `cursor` differ from those that were heard. All up to the
    /// place `target` should have come, and all before the last one that did. `in_order`: the server has one order for all.
    pub(super) fn differences(
        &self,
        (cursor, target): (usize, usize),
        got: &[Stamp],
        in_order: bool,
    ) -> Vec<(Stamp, ProbeFault)> {
        let mut differences = Vec::new();
        let (mut seen, mut highest) = (HashSet::new(), cursor);
        for stamp in got {
            let place = self.place(stamp);
            if !seen.insert(key(stamp)) {
                differences.push((*stamp, ProbeFault::Twice));
            } else if place.is_some_and(|place| place <= cursor) {
                differences.push((*stamp, ProbeFault::Early));
            } else if in_order && place.is_some_and(|place| place < highest) {
                differences.push((*stamp, ProbeFault::OutOfOrder));
            }
            highest = highest.max(place.unwrap_or(0));
        }
        for place in cursor + 1..=highest.max(target) {
            let missing = self.at(place).map(|(_, stamp)| stamp).filter(|stamp| !seen.contains(&key(stamp)));
            differences.extend(missing.map(|stamp| (*stamp, ProbeFault::Missing)));
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::ids::RunId;
    use crate::bench::metrics::time::RunTime;

    fn stamp(seq: u64) -> Stamp {
        let (run, publisher, address) = (RunId::from_random(1), PublisherId(0), AddressId(0));
        Stamp { run, publisher, address, seq, due: RunTime::ZERO, sent: RunTime::ZERO }
    }

    fn heard(numbers: impl Iterator<Item = u64>) -> Heard {
        let mut heard = Heard::default();
        numbers.for_each(|seq| heard.add(Some(&seq.to_string()), stamp(seq)));
        heard
    }

    /// Ten events were heard; a stream goes on behind the fifth.
    #[track_caller]
    fn check(target: u64, got: &[u64], expected: &[(u64, ProbeFault)]) {
        let heard = heard(1..=10);
        let place = |seq| heard.place(&stamp(seq)).unwrap();
        let got: Vec<Stamp> = got.iter().map(|seq| stamp(*seq)).collect();
        let found = heard.differences((place(5), place(target)), &got, true);
        let found: Vec<_> = found.into_iter().map(|(stamp, fault)| (stamp.seq, fault)).collect();
        assert_eq!(found, expected, "{got:?}");
    }

    #[test]
    fn what_follows_a_cursor_is_what_was_heard_behind_it() {
        use ProbeFault::{Early, Missing, OutOfOrder, Twice};
        check(8, &[6, 7, 8], &[]);
        check(8, &[6, 7, 8, 9, 10, 11], &[]);
        check(8, &[7, 8], &[(6, Missing)]);
        check(8, &[5, 6, 7, 8], &[(5, Early)]);
        check(8, &[6, 7, 9], &[(8, Missing)]);
        check(8, &[6, 7], &[(8, Missing)]);
        check(8, &[], &[(6, Missing), (7, Missing), (8, Missing)]);
        check(8, &[6, 7, 8, 8, 9], &[(8, Twice)]);
        check(8, &[6, 8, 7], &[(7, OutOfOrder)]);
        check(5, &[], &[]);
    }

    #[test]
    fn only_the_newest_are_remembered() {
        let last = REMEMBERED as u64 + 10;
        let heard = heard((1..=last).chain([last]));
        assert_eq!(heard.place(&stamp(10)), None);
        assert_eq!(heard.cursor(0).map(|(_, id, _)| id), Some(last.to_string()));
        assert_eq!(heard.cursor(REMEMBERED - 1).map(|(_, id, _)| id), Some("11".to_owned()));
        assert_eq!(heard.cursor(REMEMBERED), None);
    }
}
