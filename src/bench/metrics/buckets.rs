//! A compact distribution of durations: counts by bucket. Buckets equal those of an HdrHistogram with three digits, so
//! that conversions lose nothing. Read [`Buckets`] first.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Buckets per doubling; the first doubling has twice as many. The error is at most 0.1 %.
const HALF: u64 = 1 << HALF_BITS;
const HALF_BITS: u32 = 10;
/// One week in microseconds; longer durations share one bucket.
const LONGEST_US: u64 = 7 * 24 * 60 * 60 * 1_000_000;

/// Bucket indices with their counts, sorted. Empty buckets are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buckets(Vec<(u16, u32)>);

impl Buckets {
    /// Adds a duration. Returns whether its bucket was empty.
    pub fn add(&mut self, value: Duration) -> bool {
        self.add_count(bucket_of(micros(value)), 1)
    }

    /// Number of buckets that are not empty.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds the counts of another distribution.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            self.add_count(*bucket, *count);
        }
    }

    fn add_count(&mut self, bucket: u16, by: u32) -> bool {
        match self.0.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => {
                self.0[at].1 = self.0[at].1.saturating_add(by);
                false
            }
            Err(at) => {
                self.0.insert(at, (bucket, by));
                true
            }
        }
    }

    /// Number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// Adds all durations to a resizing histogram in microseconds with three digits.
    pub fn add_to(&self, histogram: &mut Histogram<u64>) {
        for (bucket, count) in &self.0 {
            let recorded = histogram.record_n(lower_bound(*bucket), u64::from(*count));
            recorded.expect("a histogram that resizes itself takes every value");
        }
    }

    /// Converts a histogram in microseconds with three digits.
    #[must_use]
    pub fn from_histogram(histogram: &Histogram<u64>) -> Self {
        let mut buckets = Self::default();
        for value in histogram.iter_recorded() {
            let count = u32::try_from(value.count_since_last_iteration()).unwrap_or(u32::MAX);
            buckets.add_count(bucket_of(value.value_iterated_to()), count);
        }
        buckets
    }
}

fn micros(value: Duration) -> u64 {
    u64::try_from(value.as_micros()).unwrap_or(u64::MAX)
}

fn bucket_of(micros: u64) -> u16 {
    let micros = micros.min(LONGEST_US);
    let doubling = micros.max(1).ilog2().saturating_sub(HALF_BITS);
    let bucket = u64::from(doubling) * HALF + (micros >> doubling);
    u16::try_from(bucket).unwrap_or(u16::MAX)
}

/// The lower bound of a bucket, in microseconds.
fn lower_bound(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    match (bucket / HALF).checked_sub(1) {
        None => bucket,
        Some(doubling) => (HALF + bucket % HALF) << doubling,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn buckets_are_those_of_a_histogram(values in proptest::collection::vec(0u64..LONGEST_US, 1..50)) {
            let mut buckets = Buckets::default();
            let mut histogram = Histogram::<u64>::new(3).unwrap();
            for value in &values {
                buckets.add(Duration::from_micros(*value));
                histogram.record(*value).unwrap();
            }
            let mut same = Histogram::<u64>::new(3).unwrap();
            buckets.add_to(&mut same);
            prop_assert_eq!(same.len(), histogram.len());
            for percent in [0.0, 10.0, 50.0, 99.0, 100.0] {
                prop_assert_eq!(same.value_at_percentile(percent), histogram.value_at_percentile(percent));
            }
            prop_assert_eq!(Buckets::from_histogram(&histogram), buckets);
        }

        #[test]
        fn the_lower_bound_of_a_bucket_is_in_it(micros in 0u64..LONGEST_US) {
            let lowest = lower_bound(bucket_of(micros));
            prop_assert!(lowest <= micros && micros - lowest <= micros / 1_000, "{micros} became {lowest}");
            prop_assert_eq!(bucket_of(lowest), bucket_of(micros));
        }
    }
}
