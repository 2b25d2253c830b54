//! Per run id: events received, duplicates and reordered events of one ad hoc client. Pure. Read [`Tally::arrive`] first.

use std::collections::HashMap;

use super::end_mark::{EndMark, shares_this_clock};
use crate::bench::ids::{PublisherId, RunId};
use crate::bench::stamp::Stamp;
use crate::bench::verdict::ledger::Runs;

/// Largest number of missing events that are named.
const EXAMPLES: usize = 5;

/// The counts of one client.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// One entry for each run. There is nearly always one, so a list is the fastest map.
    runs: Vec<Seen>,
    altered: u64,
}

#[derive(Debug, Clone)]
struct Seen {
    run: RunId,
    shares_clock: bool,
    received: Runs,
    duplicated: u64,
    reordered: u64,
    is_ended: bool,
}

/// The kind of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// An event for the first time. Its latency is known when the publisher has the same clock.
    New { shares_clock: bool },
    /// An event that has arrived before.
    Again,
    /// The end mark of a run, for the first time.
    End,
    /// The end mark again.
    EndAgain,
}

/// Owed and received events of one client, or sums over clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owed {
    /// Events that were acknowledged to publishers whose end mark is known.
    pub expected: u64,
    /// Expected events that arrived.
    pub ok: u64,
    /// Expected events that did not arrive.
    pub missing: u64,
    /// Arrivals of events that had arrived before.
    pub duplicated: u64,
    /// Events that arrived after a later one.
    pub reordered: u64,
    /// Events that arrived although their publish was refused, or with a number beyond the last one.
    pub unexpected: u64,
    /// Arrivals whose payload is not the one that was published, of any run.
    pub altered: u64,
    /// The first missing numbers, of one client.
    pub examples: Vec<u64>,
}

impl Tally {
    /// Counts an event.
    pub fn arrive(&mut self, stamp: &Stamp) -> Arrived {
        let index = match self.runs.iter().position(|seen| seen.run == stamp.run) {
            Some(index) => index,
            None => {
                self.runs.push(Seen::new(stamp.run));
                self.runs.len() - 1
            }
        };
        self.runs[index].arrive(stamp)
    }

    /// Counts an event whose payload is not the one that was published.
    pub fn note_altered(&mut self) {
        self.altered += 1;
    }

    /// Number of runs whose end mark has arrived.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.runs.iter().filter(|seen| seen.is_ended).count()
    }

    /// Whether at least `ends` runs have ended, and every event that they owe has arrived.
    #[must_use]
    pub fn is_complete(&self, marks: &HashMap<RunId, EndMark>, ends: usize) -> bool {
        self.ended() >= ends && self.owed(marks).missing == 0
    }

    /// Compares with the end marks. A run counts even if none of its events arrived.
    #[must_use]
    pub fn owed(&self, marks: &HashMap<RunId, EndMark>) -> Owed {
        let mut owed = Owed { altered: self.altered, ..Owed::default() };
        for (run, mark) in marks {
            match self.runs.iter().find(|seen| seen.run == *run) {
                Some(seen) => seen.add_to(mark, &mut owed),
                None => Seen::new(*run).add_to(mark, &mut owed),
            }
        }
        owed
    }
}

impl Seen {
    fn new(run: RunId) -> Self {
        let shares_clock = shares_this_clock(run);
        Self { run, shares_clock, received: Runs::default(), duplicated: 0, reordered: 0, is_ended: false }
    }

    fn arrive(&mut self, stamp: &Stamp) -> Arrived {
        if stamp.publisher == PublisherId::SENTINEL {
            return if std::mem::replace(&mut self.is_ended, true) {
                Arrived::EndAgain
            } else {
                Arrived::End
            };
        }
        let is_late = self.received.max().is_some_and(|highest| stamp.seq < highest);
        if !self.received.insert(stamp.seq) {
            self.duplicated += 1;
            return Arrived::Again;
        }
        self.reordered += u64::from(is_late);
        Arrived::New { shares_clock: self.shares_clock }
    }

    fn add_to(&self, mark: &EndMark, owed: &mut Owed) {
        let expected = mark.owed();
        let is_whole =
            expected == mark.last && self.received.iter().eq((mark.last > 0).then_some((1, mark.last)));
        // The numbers are compared one by one only when something is wrong.
        let (ok, unexpected) = if is_whole { (expected, 0) } else { self.compare(mark) };
        owed.expected += expected;
        owed.ok += ok;
        owed.missing += expected - ok;
        owed.unexpected += unexpected;
        owed.duplicated += self.duplicated;
        owed.reordered += if mark.ordered { self.reordered } else { 0 };
        let missing = (1..=mark.last).filter(|seq| mark.owes(*seq) && !self.received.contains(*seq));
        if ok < expected {
            owed.examples.extend(missing.take(EXAMPLES));
            owed.examples.truncate(EXAMPLES);
        }
    }

    /// Number of owed events that arrived, and of events that must not arrive and did.
    fn compare(&self, mark: &EndMark) -> (u64, u64) {
        let (mut ok, mut unexpected) = (0, 0);
        for seq in self.received.iter().flat_map(|(first, last)| first..=last) {
            ok += u64::from(mark.owes(seq));
            unexpected += u64::from(!mark.owes(seq) && !mark.allows(seq));
        }
        (ok, unexpected)
    }
}

impl Owed {
    /// Adds the counts of another client.
    pub fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.ok += other.ok;
        self.missing += other.missing;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.unexpected += other.unexpected;
        self.altered += other.altered;
        if self.examples.is_empty() {
            self.examples.clone_from(&other.examples);
        }
    }

    /// Whether all owed events arrived once, in order and unaltered, and no others.
    #[must_use]
    pub fn is_met(&self) -> bool {
        let Self { expected: _, ok: _, missing, duplicated, reordered, unexpected, altered, examples: _ } =
            self;
        [missing, duplicated, reordered, unexpected, altered].into_iter().all(|count| *count == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::ids::AddressId;
    use crate::bench::metrics::time::RunTime;

    fn stamp(run: u64, publisher: PublisherId, seq: u64) -> Stamp {
        Stamp {
            run: RunId::from_random(run),
            publisher,
            address: AddressId(0),
            seq,
            due: RunTime::ZERO,
            sent: RunTime::ZERO,
        }
    }

    fn counted(numbers: &[u64]) -> Tally {
        let mut tally = Tally::default();
        for seq in numbers {
            tally.arrive(&stamp(1, PublisherId(0), *seq));
        }
        tally
    }

    fn marks(last: u64, refused: &[(u64, u64)], indeterminate: &[(u64, u64)]) -> HashMap<RunId, EndMark> {
        let mark =
            EndMark { last, ordered: true, refused: refused.to_vec(), indeterminate: indeterminate.to_vec() };
        HashMap::from([(RunId::from_random(1), mark)])
    }

    /// ok, missing, duplicated, reordered, unexpected
    #[track_caller]
    fn check(numbers: &[u64], marks: &HashMap<RunId, EndMark>, expected: [u64; 5]) {
        let owed = counted(numbers).owed(marks);
        let found = [owed.ok, owed.missing, owed.duplicated, owed.reordered, owed.unexpected];
        assert_eq!(found, expected, "{numbers:?}: {owed:?}");
        assert_eq!(owed.is_met(), expected[1..] == [0; 4]);
    }

    #[test]
    fn every_fault_of_a_stream_is_counted_under_its_name() {
        let all = marks(5, &[], &[]);
        check(&[1, 2, 3, 4, 5], &all, [5, 0, 0, 0, 0]);
        check(&[1, 2, 4, 5], &all, [4, 1, 0, 0, 0]);
        check(&[1, 2, 3, 4], &all, [4, 1, 0, 0, 0]);
        check(&[], &all, [0, 5, 0, 0, 0]);
        check(&[1, 2, 3, 3, 4, 5], &all, [5, 0, 1, 0, 0]);
        check(&[1, 3, 2, 4, 5], &all, [5, 0, 0, 1, 0]);
        check(&[1, 2, 3, 4, 5, 6], &all, [5, 0, 0, 0, 1]);
        check(&[2, 3, 4, 5, 6], &all, [4, 1, 0, 0, 1]);
    }

    #[test]
    fn refused_events_must_not_arrive_and_indeterminate_ones_may() {
        let some = marks(5, &[(2, 2)], &[(4, 4)]);
        check(&[1, 3, 5], &some, [3, 0, 0, 0, 0]);
        check(&[1, 3, 4, 5], &some, [3, 0, 0, 0, 0]);
        check(&[1, 2, 3, 5], &some, [3, 0, 0, 0, 1]);
        check(&[1, 2, 3, 4, 5], &some, [3, 0, 0, 0, 1]);
    }

    #[test]
    fn a_client_is_complete_only_with_the_end_mark_and_everything_before_it() {
        let all = marks(2, &[], &[]);
        let mut tally = counted(&[1]);
        assert_eq!(tally.arrive(&stamp(1, PublisherId::SENTINEL, 2)), Arrived::End);
        assert!(!tally.is_complete(&all, 1), "2 is missing");
        tally.arrive(&stamp(1, PublisherId(0), 2));
        assert!(tally.is_complete(&all, 1));
        assert!(!tally.is_complete(&all, 2), "another publisher is not ended");
        assert_eq!(tally.arrive(&stamp(1, PublisherId::SENTINEL, 2)), Arrived::EndAgain);
    }

    #[test]
    fn all_events_of_a_run_are_missing_when_none_arrived() {
        let mut marks = marks(2, &[], &[]);
        marks.insert(RunId::from_random(2), EndMark { last: 7, ordered: true, ..EndMark::default() });
        assert_eq!(counted(&[1, 2]).owed(&marks).missing, 7);
    }
}
