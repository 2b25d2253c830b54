//! Measurements by second: what reports draw over time. A plain value that grows slowly, can be stored and added to
//! another process's. Never keeps a sample: a second of a metric is its counted steps, eight bytes for each step that
//! occurs. A run of more than [`SLOTS_MAX`] seconds, or of more than [`STEPS_MAX`] steps, is kept in coarser slots.
//! Read [`Series`] first, then [`Steps`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::buckets::Steps;
use super::metric::Trend;
use super::tags::Tags;
use super::time::RunTime;

/// Slots of a series: an hour by the second.
const SLOTS_MAX: u32 = 3_600;
/// Steps of a series: 4 MiB. Of a thousand deliveries in a second some 700 occur in different steps, of ten thousand
/// 3,000.
const STEPS_MAX: usize = 500_000;
/// So many slots are kept whatever is in them.
const SLOTS_MIN: u32 = 60;

/// Measurements by slot of time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Series {
    /// Seconds in a slot: a power of two.
    width: u32,
    strands: Vec<TagSeries>,
    counts: BTreeMap<u32, Counted>,
    /// Steps in all slots, of what this process recorded.
    #[serde(skip)]
    steps: usize,
}

impl PartialEq for Series {
    fn eq(&self, other: &Self) -> bool {
        (self.width, &self.strands, &self.counts) == (other.width, &other.strands, &other.counts)
    }
}

/// One metric with one set of tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TagSeries {
    trend: Trend,
    tags: Tags,
    slots: BTreeMap<u32, Steps>,
}

/// What was counted in a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Events that arrived at clients.
    pub delivered: u64,
    /// Publishes acknowledged.
    pub published: u64,
    /// Publishes refused, or of unknown fate.
    pub not_acknowledged: u64,
    /// Publishes that were due and never sent.
    pub dropped: u64,
    /// Streams opened after the first one of a client.
    pub reconnects: u64,
    /// Connects that failed.
    pub connect_errors: u64,
    /// `GAP` events.
    pub gaps: u64,
    /// Streams by node at its end.
    pub connections: Vec<u32>,
}

impl Default for Series {
    fn default() -> Self {
        Self { width: 1, strands: Vec::new(), counts: BTreeMap::new(), steps: 0 }
    }
}

impl Trend {
    /// Whether it is kept by second. The others tell nothing over time that these do not.
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
    /// Records a duration at the time to which it belongs: of deliveries when they were due.
    pub fn record(&mut self, trend: Trend, tags: Tags, at: RunTime, value: Duration) {
        let slot = self.slot_of(second_of(at));
        let is_new = self.strand(trend, tags).slots.entry(slot).or_default().add(value);
        self.steps += usize::from(is_new);
        if self.steps > STEPS_MAX && slot >= SLOTS_MIN {
            self.coarsen();
        }
    }

    /// Counts what happened in the second that ended at a time.
    pub fn count(&mut self, ended: RunTime, counted: &Counted) {
        // Whoever looks once a second looks a little late.
        let middle = ended.minus(Duration::from_millis(500));
        let slot = self.slot_of(second_of(middle));
        self.counts.entry(slot).or_default().follow(counted);
    }

    /// Adds another process's measurements of the same run.
    pub fn merge(&mut self, mut other: Self) {
        while self.width < other.width {
            self.coarsen();
        }
        while other.width < self.width {
            other.coarsen();
        }
        for theirs in other.strands {
            let mine = self.strand(theirs.trend, theirs.tags);
            for (slot, steps) in theirs.slots {
                mine.slots.entry(slot).or_default().merge(&steps);
            }
        }
        for (slot, counted) in other.counts {
            self.counts.entry(slot).or_default().join(&counted);
        }
    }

    /// Seconds in a slot.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.strands.is_empty() && self.counts.is_empty()
    }

    /// Every metric and set of tags with its slots, sorted.
    #[must_use]
    pub fn strands(&self) -> Vec<(Trend, Tags, &BTreeMap<u32, Steps>)> {
        let mut strands: Vec<_> =
            self.strands.iter().map(|strand| (strand.trend, strand.tags, &strand.slots)).collect();
        strands.sort_unstable_by_key(|(trend, tags, _)| (*trend, *tags));
        strands
    }

    /// What was counted, by slot.
    #[must_use]
    pub fn counts(&self) -> &BTreeMap<u32, Counted> {
        &self.counts
    }

    /// There are a dozen of them, and the last one is the likeliest: a search costs less than a hash.
    fn strand(&mut self, trend: Trend, tags: Tags) -> &mut TagSeries {
        let found = self.strands.iter().rposition(|strand| strand.trend == trend && strand.tags == tags);
        let index = found.unwrap_or_else(|| {
            self.strands.push(TagSeries { trend, tags, slots: BTreeMap::new() });
            self.strands.len() - 1
        });
        &mut self.strands[index]
    }

    fn slot_of(&mut self, second: u32) -> u32 {
        while second / self.width >= SLOTS_MAX {
            self.coarsen();
        }
        second / self.width
    }

    /// Every two slots become one.
    fn coarsen(&mut self) {
        self.width *= 2;
        for strand in &mut self.strands {
            for (slot, steps) in std::mem::take(&mut strand.slots) {
                strand.slots.entry(slot / 2).or_default().merge(&steps);
            }
        }
        let slots = self.strands.iter().flat_map(|strand| strand.slots.values());
        self.steps = slots.map(Steps::len).sum();
        for (slot, counted) in std::mem::take(&mut self.counts) {
            self.counts.entry(slot / 2).or_default().follow(&counted);
        }
    }
}

impl Counted {
    /// What came after it in the same slot.
    fn follow(&mut self, later: &Self) {
        self.add(later);
        self.connections.clone_from(&later.connections);
    }

    /// What another process counted in the same slot.
    fn join(&mut self, other: &Self) {
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
        let strands = series.strands();
        strands[0].2.iter().map(|(slot, steps)| (*slot, steps.count())).collect()
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
        assert!(busy.width() > 1 && busy.steps <= STEPS_MAX + 2_000, "{} {}", busy.width(), busy.steps);
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
        // A look that came a little late still tells of the second before it.
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
