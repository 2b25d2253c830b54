//! A set of mostly consecutive numbers, kept as runs. A healthy series is one run and needs no heap. Read [`Runs`] first.

use serde::{Deserialize, Serialize};

/// A set of numbers, as sorted runs that neither overlap nor touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Runs {
    /// All but the newest run.
    older: Vec<(u64, u64)>,
    /// The run with the largest numbers; empty when `first > last`.
    first: u64,
    last: u64,
}

impl Default for Runs {
    fn default() -> Self {
        Self { older: Vec::new(), first: 1, last: 0 }
    }
}

impl Runs {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first > self.last
    }

    /// The largest number; `None` in an empty set.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        if self.is_empty() { None } else { Some(self.last) }
    }

    /// The smallest number; `None` in an empty set.
    #[must_use]
    pub fn min(&self) -> Option<u64> {
        self.iter().next().map(|(first, _)| first)
    }

    /// The runs in ascending order, as first and last number.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let newest = if self.is_empty() { None } else { Some((self.first, self.last)) };
        self.older.iter().copied().chain(newest)
    }

    /// The number of runs.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.older.len() + usize::from(!self.is_empty())
    }

    /// The number of numbers.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Bytes allocated on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.older.capacity() * size_of::<(u64, u64)>()
    }

    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        if number >= self.first {
            return number <= self.last;
        }
        let behind = self.older.partition_point(|(first, _)| *first <= number);
        behind > 0 && number <= self.older[behind - 1].1
    }

    /// Adds a number; `false`: it was in the set already.
    pub fn insert(&mut self, number: u64) -> bool {
        if self.is_empty() {
            (self.first, self.last) = (number, number);
        } else if number.checked_sub(1) == Some(self.last) {
            self.last = number;
        } else if number > self.last {
            self.older.push((self.first, self.last));
            (self.first, self.last) = (number, number);
        } else if number >= self.first {
            return false;
        } else {
            return self.insert_older(number);
        }
        true
    }

    /// Adds a number below the newest run.
    fn insert_older(&mut self, number: u64) -> bool {
        let behind = self.older.partition_point(|(first, _)| *first <= number);
        let before = behind.checked_sub(1).map(|i| self.older[i]);
        if before.is_some_and(|(_, last)| number <= last) {
            return false;
        }
        let touches_before = before.is_some_and(|(_, last)| last + 1 == number);
        let next = self.older.get(behind).map_or(self.first, |(first, _)| *first);
        let touches_next = number + 1 == next;
        let next_is_newest = behind == self.older.len();
        match (touches_before, touches_next, next_is_newest) {
            (false, false, _) => self.older.insert(behind, (number, number)),
            (true, false, _) => self.older[behind - 1].1 = number,
            (false, true, true) => self.first = number,
            (false, true, false) => self.older[behind].0 = number,
            (true, true, true) => self.first = self.older.remove(behind - 1).0,
            (true, true, false) => self.older[behind - 1].1 = self.older.remove(behind).1,
        }
        true
    }

    /// The numbers of `first..=last` that are not in the set, as runs.
    pub fn holes(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut from = first;
        let inside = self.iter().skip_while(move |run| run.1 < first).take_while(move |run| run.0 <= last);
        let end = std::iter::once((last.saturating_add(1), u64::MAX));
        inside.chain(end).filter_map(move |(run_first, run_last)| {
            let hole = (from, run_first.min(last.saturating_add(1)).wrapping_sub(1));
            let is_hole = run_first > from && from <= last;
            from = from.max(run_last.saturating_add(1));
            is_hole.then_some(hole)
        })
    }
}

/// The stored form: of each run the count of numbers left out before it, and its length minus one.
impl From<Runs> for Vec<(u64, u64)> {
    fn from(runs: Runs) -> Self {
        let mut next = 0;
        let step = |(first, last): (u64, u64)| {
            let skipped = first - next;
            next = last.saturating_add(1);
            (skipped, last - first)
        };
        runs.iter().map(step).collect()
    }
}

/// The stored form is not a set of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the runs of a set overlap, touch, or go beyond the largest number")]
pub struct InvalidRuns;

impl TryFrom<Vec<(u64, u64)>> for Runs {
    type Error = InvalidRuns;

    fn try_from(stored: Vec<(u64, u64)>) -> Result<Self, InvalidRuns> {
        let mut runs = Self::default();
        let mut next = Some(0_u64);
        for (skipped, more) in stored {
            let first = next.and_then(|next| next.checked_add(skipped)).ok_or(InvalidRuns)?;
            let last = first.checked_add(more).ok_or(InvalidRuns)?;
            if !runs.is_empty() {
                if skipped == 0 {
                    return Err(InvalidRuns);
                }
                runs.older.push((runs.first, runs.last));
            }
            (runs.first, runs.last) = (first, last);
            next = last.checked_add(1);
        }
        runs.older.shrink_to_fit();
        Ok(runs)
    }
}

impl FromIterator<u64> for Runs {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut runs = Self::default();
        for number in numbers {
            runs.insert(number);
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_in_order_are_one_run_without_heap() {
        let runs: Runs = (1..=1_000_000).collect();
        assert_eq!(runs.iter().collect::<Vec<_>>(), [(1, 1_000_000)]);
        assert_eq!(runs.heap_bytes(), 0);
    }

    #[test]
    fn holes_are_what_is_missing_between() {
        let runs: Runs = [1, 2, 5, 6, 9].into_iter().collect();
        let holes = |first, last| runs.holes(first, last).collect::<Vec<_>>();
        assert_eq!(holes(1, 9), [(3, 4), (7, 8)]);
        assert_eq!(holes(1, 12), [(3, 4), (7, 8), (10, 12)]);
        assert_eq!(holes(4, 7), [(4, 4), (7, 7)]);
        assert_eq!(holes(1, 2), []);
        assert_eq!(holes(3, 4), [(3, 4)]);
        assert_eq!(holes(5, 4), []);
        assert_eq!(Runs::default().holes(1, 3).collect::<Vec<_>>(), [(1, 3)]);
    }

    #[test]
    fn what_is_no_set_of_runs_is_refused() {
        assert_eq!(Runs::try_from(vec![]), Ok(Runs::default()));
        assert_eq!(Runs::try_from(vec![(u64::MAX, 0)]), Ok([u64::MAX].into_iter().collect()));
        for wrong in [vec![(1, 2), (0, 5)], vec![(u64::MAX, 1)], vec![(0, u64::MAX), (0, 0)]] {
            assert_eq!(Runs::try_from(wrong.clone()), Err(InvalidRuns), "{wrong:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_set_of_runs_is_a_set(numbers in proptest::collection::vec(1_u64..60, 0..120), from in 1_u64..60, len in 0_u64..60) {
            let mut runs = Runs::default();
            let mut set = BTreeSet::new();
            for number in numbers {
                proptest::prop_assert_eq!(runs.insert(number), set.insert(number));
            }
            let all: Vec<u64> = runs.iter().flat_map(|(first, last)| first..=last).collect();
            proptest::prop_assert_eq!(&all, &set.iter().copied().collect::<Vec<_>>());
            proptest::prop_assert_eq!(runs.count(), set.len() as u64);
            proptest::prop_assert_eq!(runs.max(), set.last().copied());
            proptest::prop_assert_eq!(runs.min(), set.first().copied());
            let spans: Vec<_> = runs.iter().collect();
            proptest::prop_assert!(spans.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "runs touch: {spans:?}");
            for number in 1..60 {
                proptest::prop_assert_eq!(runs.contains(number), set.contains(&number));
            }
            let holes: Vec<u64> = runs.holes(from, from + len).flat_map(|(first, last)| first..=last).collect();
            let missing: Vec<u64> = (from..=from + len).filter(|number| !set.contains(number)).collect();
            proptest::prop_assert_eq!(holes, missing);
            let stored = Vec::from(runs.clone());
            proptest::prop_assert_eq!(Runs::try_from(stored), Ok(runs));
        }
    }
}
