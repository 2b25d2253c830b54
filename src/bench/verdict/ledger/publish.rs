//! What one publisher sent, and how each publish ended. Two times an event, nothing else.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::bench::ids::{AddressId, PhaseId, PublisherId};
use crate::bench::metrics::time::RunTime;

/// How a publish ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishOutcome {
    /// 2xx: the log has it.
    Acknowledged,
    /// 4xx, or never sent (connection refused): it must not appear.
    Refused,
    /// Timeout, reset, 5xx: it may appear.
    Indeterminate,
}

/// The book of one publisher.
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
    /// An empty book.
    #[must_use]
    pub fn new(publisher: PublisherId) -> Self {
        Self { publisher, series: BTreeMap::new(), dropped: BTreeMap::new() }
    }

    /// Whose book it is.
    #[must_use]
    pub fn id(&self) -> PublisherId {
        self.publisher
    }

    /// Takes the next number of the series and notes when the publish started. Without an [`Self::end`] it counts
    /// as indeterminate.
    pub fn begin(&mut self, address: AddressId, started: RunTime) -> u64 {
        let publishes = &mut self.series.entry(address).or_default().publishes;
        // Numbers are found by their time later, so times must not go back, whatever the caller's clock does.
        let started = publishes.last().map_or(started, |last| last.started.max(started));
        publishes.push(Publish { started, ended: INDETERMINATE });
        publishes.len() as u64
    }

    /// How a publish ended, and when. A number that was never begun is ignored.
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

    /// An event that was due in this phase and never sent, because too many publishes were in flight.
    pub fn dropped(&mut self, phase: PhaseId) {
        *self.dropped.entry(phase).or_default() += 1;
    }

    /// Addresses that at least one event was sent to, sorted: each gets a sentinel.
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

    /// Whose book it is.
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
    /// The largest number.
    pub(super) fn last_seq(&self) -> u64 {
        self.publishes.len() as u64
    }

    fn get(&self, seq: u64) -> Option<Publish> {
        self.publishes.get(usize::try_from(seq.checked_sub(1)?).ok()?).copied()
    }

    /// When a publish started; `None` when there was none of this number.
    pub(super) fn started(&self, seq: u64) -> Option<RunTime> {
        self.get(seq).map(|publish| publish.started)
    }

    /// When it was acknowledged, if it was.
    pub(super) fn acknowledged(&self, seq: u64) -> Option<RunTime> {
        self.get(seq).map(|publish| publish.ended).filter(|ended| *ended <= LATEST)
    }

    /// How it ended; `None` when there was none of this number.
    pub(super) fn outcome(&self, seq: u64) -> Option<PublishOutcome> {
        self.get(seq).map(|publish| match publish.ended {
            INDETERMINATE => PublishOutcome::Indeterminate,
            REFUSED => PublishOutcome::Refused,
            _ => PublishOutcome::Acknowledged,
        })
    }

    /// The first number that was started at this time or later; one beyond the last when none was.
    pub(super) fn first_started_at(&self, time: RunTime) -> u64 {
        self.publishes.partition_point(|publish| publish.started < time) as u64 + 1
    }
}

/// A series as it is stored: differences of times, which are small.
#[derive(Serialize, Deserialize)]
struct Columns {
    /// From the start of one to the start of the next; the first from the start of the run.
    started: Vec<u64>,
    outcomes: Vec<PublishOutcome>,
    /// From the start of each acknowledged one to its acknowledgement. Below zero where a clock went back.
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

/// What was stored is not a series.
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

/// A series that nobody writes any more, with what judging it for thousands of subscribers needs.
#[derive(Debug)]
pub(super) struct Sent<'a> {
    pub(super) publisher: PublisherId,
    pub(super) series: &'a Series,
    /// How many of the first `n` were acknowledged, at index `n`.
    acknowledged: Vec<u32>,
    /// The others: refused, or nobody knows.
    pub(super) unacknowledged: Vec<u64>,
}

impl<'a> Sent<'a> {
    /// All series, by their address.
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

    /// How many of `first..=last` were acknowledged. Both lie within the series, or `first` one beyond `last`.
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
        let mut book = PublishLedger::new(PublisherId(0));
        let address = AddressId(0);
        for seq in 1..=10 {
            assert_eq!(book.begin(address, RunTime::from_nanos(seq)), seq);
            if seq % 3 != 0 {
                book.end(address, seq, RunTime::from_nanos(seq + 1), PublishOutcome::Acknowledged);
            }
        }
        let ledgers = [book];
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
        let mut book = PublishLedger::new(PublisherId(0));
        let (a, b) = (AddressId(1), AddressId(2));
        assert_eq!(book.begin(a, RunTime::from_nanos(5)), 1);
        assert_eq!(book.begin(b, RunTime::from_nanos(6)), 1);
        assert_eq!(book.begin(a, RunTime::from_nanos(7)), 2);
        book.end(a, 2, RunTime::from_nanos(9), PublishOutcome::Acknowledged);
        book.end(b, 1, RunTime::from_nanos(9), PublishOutcome::Refused);
        let series: Vec<_> = book.series().collect();
        assert_eq!(series[0].1.outcome(1), Some(PublishOutcome::Indeterminate), "it never ended");
        assert_eq!(series[0].1.acknowledged(2), Some(RunTime::from_nanos(9)));
        assert_eq!(series[1].1.outcome(1), Some(PublishOutcome::Refused));
        assert_eq!(series[1].1.acknowledged(1), None);
        assert_eq!(series[0].1.outcome(3), None);
        assert_eq!(series[0].1.first_started_at(RunTime::from_nanos(6)), 2);
        assert_eq!(book.addresses(), [a, b]);
    }
}
