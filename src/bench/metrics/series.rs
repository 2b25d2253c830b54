//! Measurements by second, for charts over time. A plain value that can be stored and merged with another process's.
//! Never keeps a sample: each slot of a metric holds counts by bucket, eight bytes for each bucket that is not empty.
//! Runs with more than [`SLOTS_MAX`] seconds or [`BUCKETS_MAX`] buckets have slots of more than a second. Read
//! [`Series`] first, then [`Buckets`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::buckets::Buckets;
use super::metric::Trend;
use super::tags::Tags;
use super::time::RunTime;

/// Limit of slots: an hour at one slot per second.
const SLOTS_MAX: u32 = 3_600;
/// Limit of buckets in all slots: 4 MiB. A thousand deliveries in a second fill some 700 buckets, ten thousand 3,000.
const BUCKETS_MAX: usize = 500_000;
/// Slots up to this number never become coarser because of [`BUCKETS_MAX`].
const SLOTS_MIN: u32 = 60;

/// Measurements by time slot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Series {
    /// Seconds per slot: a power of two.
    width: u32,
    #[serde(rename = "strands")]
    by_tags: Vec<TagSeries>,
    counts: BTreeMap<u32, Counted>,
    /// Buckets in all slots, recorded by this process.
    #[serde(skip)]
    buckets: usize,
}

impl PartialEq for Series {
    fn eq(&self, other: &Self) -> bool {
        (self.width, &self.by_tags, &self.counts) == (other.width, &other.by_tags, &other.counts)
    }
}

/// One metric with one set of tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TagSeries {
    trend: Trend,
    tags: Tags,
    slots: BTreeMap<u32, Buckets>,
}

/// Counts within one slot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Events that arrived at clients.
    pub delivered: u64,
    /// Publishes that were acknowledged.
    pub published: u64,
    /// Publishes that were refused or had no definite response.
    pub not_acknowledged: u64,
    /// Publishes that were due and never sent.
    pub dropped: u64,
    /// Streams after the first one of each client.
    pub reconnects: u64,
    /// Connects that failed.
    pub connect_errors: u64,
    /// Received `GAP` events.
    pub gaps: u64,
    /// Open streams by node, at the end of the slot.
    pub connections: Vec<u32>,
}

impl Default for Series {
    fn default() -> Self {
        Self { width: 1, by_tags: Vec::new(), counts: BTreeMap::new(), buckets: 0 }
    }
}

impl Trend {
    /// Whether it has a series. The other metrics would add nothing to charts over time.
    #[must_use]
    pub fn is_kept_by_second(self) -> bool {
        match self {
            Self::ConnectTime
            | Self::DeliveryLatency
            | Self::PublishTime
            | Self::ReconnectTime
            | Self::RecoveryTime
            | Self::GeneratorLag => true,
            Self::FirstEventTime
            | Self::DeliveryLatencySent
            | Self::PublishDispatchDelay
            | Self::ReplaySize
            | Self::FanoutSpread
            | Self::HeartbeatGap => false,
        }
    }
}

impl Series {
    /// Records a duration at the time that it belongs to: for deliveries, the due time.
    pub fn record(&mut self, trend: Trend, tags: Tags, at: RunTime, value: Duration) {
        let slot = self.slot_of(second_of(at));
        let is_new = self.series_of(trend, tags).slots.entry(slot).or_default().add(value);
        self.buckets += usize::from(is_new);
        if self.buckets > BUCKETS_MAX && slot >= SLOTS_MIN {
            self.coarsen();
        }
    }

    /// Adds the counts of the second that ended at a time.
    pub fn count(&mut self, ended: RunTime, counts: &Counted) {
        // The middle of the second: samplers tick a little late.
        let middle = ended.minus(Duration::from_millis(500));
        let slot = self.slot_of(second_of(middle));
        self.counts.entry(slot).or_default().append(counts);
    }

    /// Adds the measurements of another process of the same run.
    pub fn merge(&mut self, mut other: Self) {
        while self.width < other.width {
            self.coarsen();
        }
        while other.width < self.width {
            other.coarsen();
        }
        for theirs in other.by_tags {
            let mine = self.series_of(theirs.trend, theirs.tags);
            for (slot, buckets) in theirs.slots {
                mine.slots.entry(slot).or_default().merge(&buckets);
            }
        }
        for (slot, counted) in other.counts {
            self.counts.entry(slot).or_default().merge(&counted);
        }
    }

    /// Seconds per slot.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Whether nothing is recorded or counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_tags.is_empty() && self.counts.is_empty()
    }

    /// The slots of each metric and set of tags, sorted by metric and tags.
    #[must_use]
    pub fn by_tags(&self) -> Vec<(Trend, Tags, &BTreeMap<u32, Buckets>)> {
        let mut sorted: Vec<_> =
            self.by_tags.iter().map(|series| (series.trend, series.tags, &series.slots)).collect();
        sorted.sort_unstable_by_key(|(trend, tags, _)| (*trend, *tags));
        sorted
    }

    /// Counts by slot.
    #[must_use]
    pub fn counts(&self) -> &BTreeMap<u32, Counted> {
        &self.counts
    }

    /// A linear search from the end beats a hash: there are about a dozen, and the last one is the likeliest.
    fn series_of(&mut self, trend: Trend, tags: Tags) -> &mut TagSeries {
        let found = self.by_tags.iter().rposition(|series| series.trend == trend && series.tags == tags);
        let index = found.unwrap_or_else(|| {
            self.by_tags.push(TagSeries { trend, tags, slots: BTreeMap::new() });
            self.by_tags.len() - 1
        });
        &mut self.by_tags[index]
    }

    fn slot_of(&mut self, second: u32) -> u32 {
        while second / self.width >= SLOTS_MAX {
            self.coarsen();
        }
        second / self.width
    }

    /// Merges each two slots into one.
    fn coarsen(&mut self) {
        self.width *= 2;
        for series in &mut self.by_tags {
            for (slot, buckets) in std::mem::take(&mut series.slots) {
                series.slots.entry(slot / 2).or_default().merge(&buckets);
            }
        }
        let slots = self.by_tags.iter().flat_map(|series| series.slots.values());
        self.buckets = slots.map(Buckets::len).sum();
        for (slot, counted) in std::mem::take(&mut self.counts) {
            self.counts.entry(slot / 2).or_default().append(&counted);
        }
    }
}

impl Counted {
    /// Adds later counts of the same process in the same slot.
    fn append(&mut self, later: &Self) {
        self.add(later);
        self.connections.clone_from(&later.connections);
    }

    /// Adds the counts of another process in the same slot.
    fn merge(&mut self, other: &Self) {
        self.add(other);
        self.connections.resize(self.connections.len().max(other.connections.len()), 0);
        self.connections.iter_mut().zip(&other.connections).for_each(|(mine, theirs)| *mine += theirs);
    }

    fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.published += other.published;
        self.not_acknowledged += other.not_acknowledged;
        self.dropped += other.dropped;
        self.reconnects += other.reconnects;
        self.connect_errors += other.connect_errors;
        self.gaps += other.gaps;
    }
}

fn second_of(at: RunTime) -> u32 {
    u32::try_from(at.since_start().as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::ids::PhaseId;
    use crate::bench::metrics::tags::Source;

    const TAGS: Tags = Tags { phase: PhaseId(1), source: Source::Bench, path: None };

    fn at(second: u64) -> RunTime {
        RunTime::from(Duration::from_secs(second))
    }

    fn counts_of(series: &Series) -> Vec<(u32, u64)> {
        let by_tags = series.by_tags();
        by_tags[0].2.iter().map(|(slot, buckets)| (*slot, buckets.count())).collect()
    }

    fn series(seconds: impl IntoIterator<Item = u64>) -> Series {
        let mut series = Series::default();
        for second in seconds {
            series.record(Trend::DeliveryLatency, TAGS, at(second), Duration::from_millis(second));
        }
        series
    }

    #[test]
    fn a_long_run_is_kept_in_coarser_slots_and_loses_nothing() {
        let hours = series((0..10_000).map(|second| second * 3));
        assert_eq!(hours.width(), 16);
        let counts = counts_of(&hours);
        assert!(counts.len() <= 3_600);
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 10_000);
        assert_eq!(counts[0], (0, 6), "seconds 0, 3, 6, 9, 12, 15");
    }

    #[test]
    fn a_busy_run_is_kept_in_coarser_slots_before_it_takes_much_memory() {
        let mut busy = Series::default();
        for second in 0..600 {
            for step in 0..2_000 {
                let value = Duration::from_micros(step);
                busy.record(Trend::DeliveryLatency, TAGS, at(second), value);
            }
        }
        assert!(busy.width() > 1 && busy.buckets <= BUCKETS_MAX + 2_000, "{} {}", busy.width(), busy.buckets);
        assert_eq!(counts_of(&busy).iter().map(|(_, count)| count).sum::<u64>(), 600 * 2_000);
    }

    #[test]
    fn two_processes_are_one_even_where_one_is_coarser() {
        let mut one = series([1, 2, 100]);
        let coarse = series([1, 7_199]);
        let mut other = coarse.clone();
        one.merge(coarse);
        other.merge(series([1, 2, 100]));
        assert_eq!((one.width(), counts_of(&one)), (2, vec![(0, 2), (1, 1), (50, 1), (3_599, 1)]));
        assert_eq!(one, other, "the order does not matter");
    }

    #[test]
    fn counts_of_one_process_follow_and_of_two_add_up() {
        let counted = |delivered, connections: &[u32]| Counted {
            delivered,
            connections: connections.into(),
            ..Counted::default()
        };
        let mut one = Series::default();
        one.count(at(1), &counted(10, &[5, 0]));
        // A late tick still counts for the second before it.
        one.count(at(2).plus(Duration::from_millis(40)), &counted(20, &[4, 1]));
        let mut both = one.clone();
        both.merge(one.clone());
        assert_eq!(both.counts()[&0], counted(20, &[10, 0]));
        one.coarsen();
        assert_eq!(one.counts()[&0], counted(30, &[4, 1]));
    }

    #[test]
    fn a_series_can_be_stored() {
        let mut stored = series([0, 1, 5]);
        stored.count(at(1), &Counted { gaps: 1, ..Counted::default() });
        let json = serde_json::to_string(&stored).unwrap();
        assert_eq!(serde_json::from_str::<Series>(&json).unwrap(), stored);
    }
}
