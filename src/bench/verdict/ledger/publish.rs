//! What one publisher sent and how each publish ended: two times per event. Read [`PublishLedger`] first.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::bench::ids::{AddressId, PhaseId, PublisherId};
use crate::bench::metrics::time::RunTime;

/// How a publish ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishOutcome {
    /// 2xx, or what the dialect says: the log has it.
    Acknowledged,
    /// 4xx, or never sent (connection refused): it must not appear.
    Refused,
    /// Timeout, reset, 3xx, 5xx, 408, 425: it may appear.
    Indeterminate,
}

/// The ledger of one publisher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishLedger {
    publisher: PublisherId,
    series: BTreeMap<AddressId, Series>,
    dropped: BTreeMap<PhaseId, u64>,
}

/// What one publisher sent to one address, in the order of sending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Columns", into = "Columns")]
pub(super) struct Series {
    publishes: Vec<Publish>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Publish {
    started: RunTime,
    /// When it was acknowledged, or [`REFUSED`], or [`INDETERMINATE`]: a ledger holds millions of these.
    ended: RunTime,
}

const INDETERMINATE: RunTime = RunTime::NEVER;
const REFUSED: RunTime = RunTime::from_nanos(u64::MAX - 1);
const LATEST: RunTime = RunTime::from_nanos(u64::MAX - 2);

impl PublishLedger {
    #[must_use]
    pub fn new(publisher: PublisherId) -> Self {
        Self { publisher, series: BTreeMap::new(), dropped: BTreeMap::new() }
    }

    /// Records the start of the next publish of the series and returns its number. Without an [`Self::end`] it counts as
    /// indeterminate.
    pub fn begin(&mut self, address: AddressId, started: RunTime) -> u64 {
        let publishes = &mut self.series.entry(address).or_default().publishes;
        // Numbers are searched by their time later, so times must not decrease, whatever the clock of the caller does.
        let started = publishes.last().map_or(started, |last| last.started.max(started));
        publishes.push(Publish { started, ended: INDETERMINATE });
        publishes.len() as u64
    }

    /// Records how a publish ended, and when. A number that never began is ignored.
    pub fn end(&mut self, address: AddressId, seq: u64, at: RunTime, outcome: PublishOutcome) {
        let publish = self.series.get_mut(&address).and_then(|series| {
            let index = usize::try_from(seq.checked_sub(1)?).ok()?;
            series.publishes.get_mut(index)
        });
        let Some(publish) = publish else {
            debug_assert!(false, "publish {seq} to {address:?} ended without having begun");
            return;
        };
        publish.ended = match outcome {
            PublishOutcome::Acknowledged => at.min(LATEST),
            PublishOutcome::Refused => REFUSED,
            PublishOutcome::Indeterminate => INDETERMINATE,
        };
    }

    /// Records an event that was due in this phase and never sent, because too many publishes were in flight.
    pub fn dropped(&mut self, phase: PhaseId) {
        *self.dropped.entry(phase).or_default() += 1;
    }

    /// The addresses to which at least one event was sent, sorted. Each gets a sentinel.
    #[must_use]
    pub fn addresses(&self) -> Vec<AddressId> {
        self.series.keys().copied().collect()
    }

    /// How each publish to an address ended, from number 1 on.
    pub fn outcomes(&self, address: AddressId) -> impl Iterator<Item = PublishOutcome> + '_ {
        let series = self.series.get(&address);
        series.into_iter().flat_map(|series| (1..=series.last_seq()).filter_map(|seq| series.outcome(seq)))
    }

    /// How many publishes to an address began.
    #[must_use]
    pub fn sent(&self, address: AddressId) -> u64 {
        self.series.get(&address).map_or(0, Series::last_seq)
    }

    /// When the first publish to an address started, if it was acknowledged.
    pub(super) fn first_acknowledged(&self, address: AddressId) -> Option<RunTime> {
        let series = self.series.get(&address)?;
        series.acknowledged(1).and(series.started(1))
    }

    /// The publisher that owns this ledger.
    #[must_use]
    pub fn publisher(&self) -> PublisherId {
        self.publisher
    }

    #[cfg(test)]
    fn series(&self) -> impl Iterator<Item = (AddressId, &Series)> {
        self.series.iter().map(|(address, series)| (*address, series))
    }

    pub(super) fn dropped_by_phase(&self) -> &BTreeMap<PhaseId, u64> {
        &self.dropped
    }
}

impl Series {
    /// The largest number; 0 where nothing was sent.
    pub(super) fn last_seq(&self) -> u64 {
        self.publishes.len() as u64
    }

    fn get(&self, seq: u64) -> Option<Publish> {
        self.publishes.get(usize::try_from(seq.checked_sub(1)?).ok()?).copied()
    }

    /// When a publish started; `None`: no publish has this number.
    pub(super) fn started(&self, seq: u64) -> Option<RunTime> {
        self.get(seq).map(|publish| publish.started)
    }

    /// When a publish was acknowledged; `None`: it was not.
    pub(super) fn acknowledged(&self, seq: u64) -> Option<RunTime> {
        self.get(seq).map(|publish| publish.ended).filter(|ended| *ended <= LATEST)
    }

    /// Whether one publish was acknowledged before another one was sent: only then does a server have to put them in this
    /// order. Two that were in flight together have none, and neither has one that was never acknowledged.
    pub(super) fn is_before(&self, earlier: u64, later: u64) -> bool {
        self.acknowledged(earlier).zip(self.started(later)).is_some_and(|(ended, started)| ended <= started)
    }

    /// How many publishes were sent before the one ahead of them was acknowledged.
    pub(super) fn overlaps(&self) -> u64 {
        let pairs = self.publishes.windows(2);
        pairs.filter(|pair| pair[0].ended <= LATEST && pair[0].ended > pair[1].started).count() as u64
    }

    /// How a publish ended; `None`: no publish has this number.
    pub(super) fn outcome(&self, seq: u64) -> Option<PublishOutcome> {
        self.get(seq).map(|publish| match publish.ended {
            INDETERMINATE => PublishOutcome::Indeterminate,
            REFUSED => PublishOutcome::Refused,
            _ => PublishOutcome::Acknowledged,
        })
    }

    /// The first number that was started at this time or later; one above the last number where there is none.
    pub(super) fn first_started_at(&self, time: RunTime) -> u64 {
        self.publishes.partition_point(|publish| publish.started < time) as u64 + 1
    }
}

/// The stored form of a series: differences of times, which are small numbers.
#[derive(Serialize, Deserialize)]
struct Columns {
    /// Nanoseconds from the start of the publish before; the first from the start of the run.
    started: Vec<u64>,
    outcomes: Vec<PublishOutcome>,
    /// Nanoseconds from the start of each acknowledged publish to its acknowledgement. Negative where a clock went back.
    took: Vec<i64>,
}

impl From<Series> for Columns {
    fn from(series: Series) -> Self {
        let publishes = &series.publishes;
        let before = std::iter::once(0).chain(publishes.iter().map(|publish| publish.started.as_nanos()));
        let started = publishes.iter().zip(before);
        let acknowledged = publishes.iter().filter(|publish| publish.ended <= LATEST);
        Self {
            started: started.map(|(publish, before)| publish.started.as_nanos() - before).collect(),
            outcomes: (1..=series.last_seq()).filter_map(|seq| series.outcome(seq)).collect(),
            took: acknowledged
                .map(|publish| {
                    publish.ended.as_nanos().wrapping_sub(publish.started.as_nanos()).cast_signed()
                })
                .collect(),
        }
    }
}

/// The stored columns are not a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the columns of a series of publishes have different lengths")]
struct InvalidColumns;

impl TryFrom<Columns> for Series {
    type Error = InvalidColumns;

    fn try_from(columns: Columns) -> Result<Self, InvalidColumns> {
        let Columns { started, outcomes, took } = columns;
        let acknowledged = |outcome: &&PublishOutcome| **outcome == PublishOutcome::Acknowledged;
        if started.len() != outcomes.len() || outcomes.iter().filter(acknowledged).count() != took.len() {
            return Err(InvalidColumns);
        }
        let mut took = took.into_iter();
        let mut now = 0_u64;
        let publish = |(since, outcome): (u64, PublishOutcome)| {
            now = now.saturating_add(since);
            let ended = match outcome {
                PublishOutcome::Acknowledged => {
                    let took = took.next().unwrap_or_default();
                    RunTime::from_nanos(now.wrapping_add(took.cast_unsigned())).min(LATEST)
                }
                PublishOutcome::Refused => REFUSED,
                PublishOutcome::Indeterminate => INDETERMINATE,
            };
            Publish { started: RunTime::from_nanos(now), ended }
        };
        Ok(Self { publishes: started.into_iter().zip(outcomes).map(publish).collect() })
    }
}

/// A complete series, with indexes that make judging it for thousands of subscribers cheap.
#[derive(Debug)]
pub(super) struct Sent<'a> {
    pub(super) publisher: PublisherId,
    pub(super) series: &'a Series,
    /// At index `n`: how many of the first `n` publishes were acknowledged.
    acknowledged: Vec<u32>,
    /// Numbers that were refused or are indeterminate, sorted.
    pub(super) unacknowledged: Vec<u64>,
}

impl<'a> Sent<'a> {
    /// The series of all ledgers, by address.
    pub(super) fn by_address(ledgers: &'a [PublishLedger]) -> HashMap<AddressId, Vec<Self>> {
        let mut all: HashMap<AddressId, Vec<Self>> = HashMap::new();
        for ledger in ledgers {
            for (address, series) in &ledger.series {
                all.entry(*address).or_default().push(Self::new(ledger.publisher, series));
            }
        }
        all
    }

    fn new(publisher: PublisherId, series: &'a Series) -> Self {
        let mut count = 0;
        let mut acknowledged = vec![0];
        let mut unacknowledged = Vec::new();
        for seq in 1..=series.last_seq() {
            match series.acknowledged(seq) {
                Some(_) => count += 1,
                None => unacknowledged.push(seq),
            }
            acknowledged.push(count);
        }
        Self { publisher, series, acknowledged, unacknowledged }
    }

    /// How many of `first..=last` were acknowledged; 0 where `first` is above `last`.
    pub(super) fn acknowledged_within(&self, first: u64, last: u64) -> u64 {
        let up_to = |seq: u64| {
            let index = usize::try_from(seq).unwrap_or(usize::MAX).min(self.acknowledged.len() - 1);
            u64::from(self.acknowledged[index])
        };
        if first > last { 0 } else { up_to(last) - up_to(first.saturating_sub(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_ones_are_counted_within_bounds() {
        let mut ledger = PublishLedger::new(PublisherId(0));
        let address = AddressId(0);
        for seq in 1..=10 {
            assert_eq!(ledger.begin(address, RunTime::from_nanos(seq)), seq);
            if seq % 3 != 0 {
                ledger.end(address, seq, RunTime::from_nanos(seq + 1), PublishOutcome::Acknowledged);
            }
        }
        let ledgers = [ledger];
        let all = Sent::by_address(&ledgers);
        let sent = &all[&address][0];
        assert_eq!(sent.unacknowledged, [3, 6, 9]);
        assert_eq!(sent.acknowledged_within(1, 10), 7);
        assert_eq!(sent.acknowledged_within(3, 6), 2);
        assert_eq!(sent.acknowledged_within(11, 10), 0);
        assert_eq!(sent.acknowledged_within(1, 0), 0);
    }

    #[test]
    fn numbers_count_each_series_from_one() {
        let mut ledger = PublishLedger::new(PublisherId(0));
        let (a, b) = (AddressId(1), AddressId(2));
        assert_eq!(ledger.begin(a, RunTime::from_nanos(5)), 1);
        assert_eq!(ledger.begin(b, RunTime::from_nanos(6)), 1);
        assert_eq!(ledger.begin(a, RunTime::from_nanos(7)), 2);
        ledger.end(a, 2, RunTime::from_nanos(9), PublishOutcome::Acknowledged);
        ledger.end(b, 1, RunTime::from_nanos(9), PublishOutcome::Refused);
        let series: Vec<_> = ledger.series().collect();
        assert_eq!(series[0].1.outcome(1), Some(PublishOutcome::Indeterminate), "it never ended");
        assert_eq!(series[0].1.acknowledged(2), Some(RunTime::from_nanos(9)));
        assert_eq!(series[1].1.outcome(1), Some(PublishOutcome::Refused));
        assert_eq!(series[1].1.acknowledged(1), None);
        assert_eq!(series[0].1.outcome(3), None);
        assert_eq!(series[0].1.first_started_at(RunTime::from_nanos(6)), 2);
        assert_eq!(ledger.addresses(), [a, b]);
    }
}
