//! Latencies of a running test, in buckets of three percent: for live figures and scrapes. All tasks add to them
//! without locks. Never used for verdicts and reports, which use the recorders with an error of 0.1 %. Read
//! [`Latencies`] first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Buckets per doubling.
const BUCKETS: u64 = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 5;
/// Doublings after the first buckets: the last one ends at twelve days.
const DOUBLINGS: u32 = 35;
const LENGTH: usize = (DOUBLINGS as usize + 1) << BUCKET_BITS;

/// Counts by bucket. All orderings are relaxed: live figures may lag a little.
#[derive(Debug)]
pub struct Latencies(Box<[AtomicU64]>);

/// Counts by bucket at one moment, or the difference of two moments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyCounts(Vec<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self((0..LENGTH).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Latencies {
    /// Adds one latency.
    pub fn add(&self, latency: Duration) {
        self.0[index_of(latency)].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds the counts of another process.
    pub fn add_all(&self, others: &LatencyCounts) {
        for (mine, theirs) in self.0.iter().zip(&others.0).filter(|(_, theirs)| **theirs > 0) {
            mine.fetch_add(*theirs, Ordering::Relaxed);
        }
    }

    /// The current counts.
    #[must_use]
    pub fn counts(&self) -> LatencyCounts {
        LatencyCounts(self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect())
    }
}

impl LatencyCounts {
    /// The counts added since an earlier moment.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.0.iter().copied().chain(std::iter::repeat(0));
        Self(self.0.iter().zip(before).map(|(now, before)| now.saturating_sub(before)).collect())
    }

    /// Adds the counts of another process.
    pub fn merge(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Number of latencies.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Number of latencies up to this one, exact to the width of a bucket.
    #[must_use]
    pub fn up_to(&self, latency: Duration) -> u64 {
        self.0.iter().take(index_of(latency) + 1).sum()
    }

    /// The latency that `percent` of all do not exceed: the upper bound of its bucket. `None` without latencies.
    #[must_use]
    pub fn percentile(&self, percent: u8) -> Option<Duration> {
        let rank = (self.count() * u64::from(percent.min(100))).div_ceil(100).max(1);
        let mut sum = 0;
        let reached = |count: &u64| {
            sum += count;
            sum >= rank
        };
        self.0.iter().position(reached).map(upper_bound)
    }

    /// The sum of all latencies, exact to the width of a bucket.
    #[must_use]
    pub fn sum(&self) -> Duration {
        let micros = |(index, count): (usize, &u64)| {
            count.saturating_mul(u64::try_from(upper_bound(index).as_micros()).unwrap_or(u64::MAX))
        };
        Duration::from_micros(self.0.iter().enumerate().map(micros).fold(0, u64::saturating_add))
    }
}

fn index_of(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    if micros < BUCKETS {
        return usize::try_from(micros).unwrap_or(0);
    }
    let doubling = micros.ilog2() - BUCKET_BITS;
    let bucket = (micros >> doubling) - BUCKETS;
    let index = u64::from(doubling + 1) * BUCKETS + bucket;
    usize::try_from(index).unwrap_or(usize::MAX).min(LENGTH - 1)
}

fn upper_bound(index: usize) -> Duration {
    let (doubling, bucket) = (index as u64 / BUCKETS, index as u64 % BUCKETS);
    Duration::from_micros(match doubling.checked_sub(1) {
        None => bucket,
        Some(shift) => ((BUCKETS + bucket + 1) << shift) - 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_latency_is_known_to_three_percent(micros in 0u64..1 << 39) {
            let latency = Duration::from_micros(micros);
            let end = upper_bound(index_of(latency));
            prop_assert!(end >= latency && end - latency <= latency / 32, "{latency:?} became {end:?}");
        }
    }

    #[test]
    fn percentiles_are_those_of_what_came_since() {
        let latencies = Latencies::default();
        (1..=100).for_each(|ms| latencies.add(Duration::from_millis(ms)));
        let first = latencies.counts();
        (0..10).for_each(|_| latencies.add(Duration::from_secs(2)));
        latencies.add(Duration::MAX);
        let second = latencies.counts().since(&first);
        assert_eq!((first.count(), second.count()), (100, 11));
        let near = |latency: Option<Duration>, ms: u64| {
            latency.is_some_and(|latency| latency.abs_diff(Duration::from_millis(ms)) <= latency / 30)
        };
        assert!(near(first.percentile(50), 50) && near(first.percentile(99), 99), "{first:?}");
        assert!(near(second.percentile(50), 2_000), "{second:?}");
        assert_eq!(LatencyCounts::default().percentile(50), None);
        assert_eq!(first.up_to(Duration::from_secs(1)), 100);
    }

    #[test]
    fn two_processes_are_one() {
        let (one, other) = (Latencies::default(), Latencies::default());
        one.add(Duration::from_millis(1));
        other.add(Duration::from_millis(9));
        let mut both = LatencyCounts::default();
        both.merge(&one.counts());
        both.merge(&other.counts());
        assert_eq!(both.count(), 2);
        assert!(both.percentile(100) >= Some(Duration::from_millis(9)));
    }
}
