//! A distribution in few bytes: how often which step occurred. The steps are those of an HdrHistogram with three
//! digits, so that nothing is lost on the way to one.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// A doubling has so many steps, and the first one twice as many: a value is known to a thousandth.
const HALF: u64 = 1 << HALF_BITS;
const HALF_BITS: u32 = 10;
/// A week in microseconds, beyond which nothing is told apart.
const LONGEST_US: u64 = 7 * 24 * 60 * 60 * 1_000_000;

/// How often which step occurred, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps(Vec<(u16, u32)>);

impl Steps {
    /// Adds a duration. Says whether its step is the first of its kind.
    pub fn add(&mut self, value: Duration) -> bool {
        self.add_step(step_of(micros(value)), 1)
    }

    /// How many different steps there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds another one.
    pub fn merge(&mut self, other: &Self) {
        for (step, count) in &other.0 {
            self.add_step(*step, *count);
        }
    }

    fn add_step(&mut self, step: u16, by: u32) -> bool {
        match self.0.binary_search_by_key(&step, |(step, _)| *step) {
            Ok(at) => {
                self.0[at].1 = self.0[at].1.saturating_add(by);
                false
            }
            Err(at) => {
                self.0.insert(at, (step, by));
                true
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// Adds all to a histogram in microseconds with three digits that grows by itself.
    pub fn add_to(&self, histogram: &mut Histogram<u64>) {
        for (step, count) in &self.0 {
            let recorded = histogram.record_n(lowest_of(*step), u64::from(*count));
            recorded.expect("a histogram that resizes itself takes every value");
        }
    }

    /// The steps of a histogram in microseconds.
    #[must_use]
    pub fn from_histogram(histogram: &Histogram<u64>) -> Self {
        let mut steps = Self::default();
        for value in histogram.iter_recorded() {
            let count = u32::try_from(value.count_since_last_iteration()).unwrap_or(u32::MAX);
            steps.add_step(step_of(value.value_iterated_to()), count);
        }
        steps
    }
}

fn micros(value: Duration) -> u64 {
    u64::try_from(value.as_micros()).unwrap_or(u64::MAX)
}

fn step_of(micros: u64) -> u16 {
    let micros = micros.min(LONGEST_US);
    let doubling = micros.max(1).ilog2().saturating_sub(HALF_BITS);
    let step = u64::from(doubling) * HALF + (micros >> doubling);
    u16::try_from(step).unwrap_or(u16::MAX)
}

/// The smallest value of a step, in microseconds.
fn lowest_of(step: u16) -> u64 {
    let step = u64::from(step);
    match (step / HALF).checked_sub(1) {
        None => step,
        Some(doubling) => (HALF + step % HALF) << doubling,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn steps_are_those_of_a_histogram(values in proptest::collection::vec(0u64..LONGEST_US, 1..50)) {
            let mut steps = Steps::default();
            let mut histogram = Histogram::<u64>::new(3).unwrap();
            for value in &values {
                steps.add(Duration::from_micros(*value));
                histogram.record(*value).unwrap();
            }
            let mut same = Histogram::<u64>::new(3).unwrap();
            steps.add_to(&mut same);
            prop_assert_eq!(same.len(), histogram.len());
            for percent in [0.0, 10.0, 50.0, 99.0, 100.0] {
                prop_assert_eq!(same.value_at_percentile(percent), histogram.value_at_percentile(percent));
            }
            prop_assert_eq!(Steps::from_histogram(&histogram), steps);
        }

        #[test]
        fn the_lowest_value_of_a_step_is_in_it(micros in 0u64..LONGEST_US) {
            let lowest = lowest_of(step_of(micros));
            prop_assert!(lowest <= micros && micros - lowest <= micros / 1_000, "{micros} became {lowest}");
            prop_assert_eq!(step_of(lowest), step_of(micros));
        }
    }
}
