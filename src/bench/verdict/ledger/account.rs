//! What the ledgers say when they are laid beside each other. Read [`Account`] first.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bench::ids::{AddressId, GroupId, PhaseId};
use crate::bench::metrics::time::RunTime;

/// Examples of each anomaly in a report.
const EXAMPLES: usize = 8;

/// Counts of deliveries (an event times a subscriber), and what went wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Deliveries that were owed. The sum of `ok`, `lost`, `unseen` and `gap_declared`.
    pub expected: u64,
    /// Owed, and arrived.
    pub ok: u64,
    /// Deliveries of indeterminate publishes that arrived after all.
    pub recovered: u64,
    /// Owed, and proven missing.
    pub lost: u64,
    /// Owed, missing, and nothing proves it.
    pub unseen: u64,
    /// Owed, missing, and the server said so.
    pub gap_declared: u64,
    /// `GAP` events that reached clients, whatever they cover.
    pub gap_events: u64,
    /// Clients that at least one of them reached.
    pub gap_clients: u64,
    /// Sentinels that did not come and that a `GAP` covers.
    pub gap_sentinels: u64,
    /// Clients to which a sentinel did not come that no `GAP` covers: nobody knows what is still under way to them.
    pub without_sentinels: u64,
    /// Published between sessions under at-most-once: not owed.
    pub missed_offline: u64,
    /// Repeated within one session.
    pub duplicated_in_session: u64,
    /// Repeated across a reconnect.
    pub duplicated_across_reconnect: u64,
    /// Arrived after a later one.
    pub reordered: u64,
    /// How many events of its series were ahead of it, at most.
    pub reordered_by_at_most: u64,
    /// Inversions that were too many to be kept, and so could not be judged.
    pub order_unjudged: u64,
    /// Should not have arrived.
    pub unexpected: Unexpected,
    /// Events (not deliveries) that were acknowledged and are neither delivered to all nor in the log.
    pub forgotten: u64,
    /// Sessions that were resumed with a cursor and skipped events that were owed.
    pub misplaced_resumes: u64,
    /// SSE ids that stood for two events.
    pub inconsistent_ids: u64,
    /// Clients that their server made go away for good, or that never got back.
    pub never_recovered: u64,
    /// How publishes ended.
    pub publishes: PublishCounts,
    /// Publishes that were due and never sent, by the phase in which they were due.
    pub dropped_by: BTreeMap<PhaseId, u64>,
    /// What was seen of each kind of anomaly, with the first examples.
    pub anomalies: Vec<Anomaly>,
    /// What each fault did.
    pub faults: Vec<FaultImpact>,
    /// Missing deliveries (lost, unseen, declared) by group and phase of their publish: infinite latencies.
    pub missing_by: Vec<((GroupId, PhaseId), u64)>,
    /// Clients that were there, wanted to come back and did not, by group and by the phases since their last stream ended:
    /// infinite times to come back, in each of these phases.
    #[serde(default)]
    pub never_back_by: Vec<((GroupId, Vec<PhaseId>), u64)>,
    /// Addresses with missing deliveries, sorted: what an audit read should look at first.
    pub missing_addresses: Vec<AddressId>,
    /// Whether an audit read was laid beside it.
    pub audited: bool,
}

impl Account {
    /// Adds the account of another run of the same groups and phases. Every field is named: one that is new must say how it
    /// is added.
    pub fn merge(&mut self, other: Self) {
        let Self {
            expected,
            ok,
            recovered,
            lost,
            unseen,
            gap_declared,
            gap_events,
            gap_clients,
            gap_sentinels,
            without_sentinels,
            missed_offline,
            duplicated_in_session,
            duplicated_across_reconnect,
            reordered,
            reordered_by_at_most,
            order_unjudged,
            unexpected,
            forgotten,
            misplaced_resumes,
            inconsistent_ids,
            never_recovered,
            publishes,
            dropped_by,
            anomalies,
            faults,
            missing_by,
            never_back_by,
            missing_addresses,
            audited,
        } = other;
        for (mine, more) in [
            (&mut self.expected, expected),
            (&mut self.ok, ok),
            (&mut self.recovered, recovered),
            (&mut self.lost, lost),
            (&mut self.unseen, unseen),
            (&mut self.gap_declared, gap_declared),
            (&mut self.gap_events, gap_events),
            (&mut self.gap_clients, gap_clients),
            (&mut self.gap_sentinels, gap_sentinels),
            (&mut self.without_sentinels, without_sentinels),
            (&mut self.missed_offline, missed_offline),
            (&mut self.duplicated_in_session, duplicated_in_session),
            (&mut self.duplicated_across_reconnect, duplicated_across_reconnect),
            (&mut self.reordered, reordered),
            (&mut self.order_unjudged, order_unjudged),
            (&mut self.forgotten, forgotten),
            (&mut self.misplaced_resumes, misplaced_resumes),
            (&mut self.inconsistent_ids, inconsistent_ids),
            (&mut self.never_recovered, never_recovered),
        ] {
            *mine += more;
        }
        self.unexpected.merge(unexpected);
        self.publishes.merge(publishes);
        self.reordered_by_at_most = self.reordered_by_at_most.max(reordered_by_at_most);
        self.audited &= audited;
        self.faults.extend(faults);
        for (phase, count) in dropped_by {
            *self.dropped_by.entry(phase).or_default() += count;
        }
        self.add_missing(missing_by, missing_addresses);
        never_back_by.into_iter().for_each(|(key, count)| self.add_never_back(key, count));
        anomalies.into_iter().for_each(|anomaly| self.add_anomaly(anomaly));
    }

    fn add_missing(&mut self, by: Vec<((GroupId, PhaseId), u64)>, addresses: Vec<AddressId>) {
        let mut missing: BTreeMap<_, _> = std::mem::take(&mut self.missing_by).into_iter().collect();
        by.into_iter().for_each(|(key, count)| *missing.entry(key).or_default() += count);
        self.missing_by = missing.into_iter().collect();
        self.missing_addresses.extend(addresses);
        self.missing_addresses.sort_unstable();
        self.missing_addresses.dedup();
    }

    /// Adds clients to those that never came back.
    pub(super) fn add_never_back(&mut self, key: (GroupId, Vec<PhaseId>), count: u64) {
        match self.never_back_by.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(index) => self.never_back_by[index].1 += count,
            Err(index) => self.never_back_by.insert(index, (key, count)),
        }
    }

    fn add_anomaly(&mut self, more: Anomaly) {
        let Some(mine) = self.anomalies.iter_mut().find(|anomaly| anomaly.kind == more.kind) else {
            self.anomalies.push(more);
            self.anomalies.sort_by_key(|anomaly| anomaly.kind);
            return;
        };
        mine.count += more.count;
        mine.examples.extend(more.examples);
        for (fault, count) in more.by_fault {
            match mine.by_fault.iter_mut().find(|(name, _)| *name == fault) {
                Some((_, mine)) => *mine += count,
                None => mine.by_fault.push((fault, count)),
            }
        }
        mine.examples.truncate(EXAMPLES);
    }

    /// Leaves the first examples of each anomaly.
    pub fn shorten(&mut self) {
        for anomaly in &mut self.anomalies {
            anomaly.examples.truncate(EXAMPLES);
        }
    }
}

/// Deliveries that should not have been.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unexpected {
    /// Nobody published it, in this run or, as far as its payload tells, in any.
    pub never_published: u64,
    /// Its publish had been refused.
    pub refused: u64,
    /// Another run's.
    pub other_run: u64,
    /// Addressed to somebody else.
    pub leaked: u64,
}

impl Unexpected {
    fn merge(&mut self, other: Self) {
        let Self { never_published, refused, other_run, leaked } = other;
        self.never_published += never_published;
        self.refused += refused;
        self.other_run += other_run;
        self.leaked += leaked;
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.never_published + self.refused + self.other_run + self.leaked
    }
}

/// How publishes ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishCounts {
    /// Acknowledged.
    pub ok: u64,
    /// Refused.
    pub fail: u64,
    /// Nobody knows.
    pub indeterminate: u64,
    /// Never sent: too many were in flight.
    pub dropped: u64,
}

impl PublishCounts {
    fn merge(&mut self, other: Self) {
        let Self { ok, fail, indeterminate, dropped } = other;
        self.ok += ok;
        self.fail += fail;
        self.indeterminate += indeterminate;
        self.dropped += dropped;
    }

    /// All that were due.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ok + self.fail + self.indeterminate + self.dropped
    }
}

/// A kind of anomaly. Its text is its name in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// Addressed to somebody else.
    Leak,
    /// Proven missing.
    Lost,
    /// Missing, and the audit read lacks it too.
    Forgotten,
    /// A resumed session skipped owed events.
    MisplacedResume,
    /// Missing, and declared.
    GapDeclared,
    /// Twice in one session.
    DuplicatedInSession,
    /// Twice, across a reconnect.
    DuplicatedAcrossReconnect,
    /// After a later one.
    Reordered,
    /// Nobody published it.
    NeverPublished,
    /// Its publish had been refused.
    RefusedAppeared,
    /// Another run's.
    OtherRun,
    /// One SSE id, two events.
    InconsistentId,
    /// Missing, not proven.
    Unseen,
    /// A client that never got back.
    NeverRecovered,
}

impl AnomalyKind {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Leak => "isolation leak",
            Self::Lost => "lost",
            Self::Forgotten => "acknowledged and forgotten",
            Self::MisplacedResume => "replayed from the wrong place",
            Self::GapDeclared => "gap declared",
            Self::DuplicatedInSession => "duplicated in session",
            Self::DuplicatedAcrossReconnect => "duplicated across reconnect",
            Self::Reordered => "reordered",
            Self::NeverPublished => "never published",
            Self::RefusedAppeared => "refused yet delivered",
            Self::OtherRun => "of another run",
            Self::InconsistentId => "inconsistent id",
            Self::Unseen => "unseen",
            Self::NeverRecovered => "never recovered",
        }
    }
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A kind of anomaly: how often, how often in which fault's window, and the first examples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Anomaly {
    /// What.
    pub kind: AnomalyKind,
    /// How often.
    pub count: u64,
    /// How often in whose window, by the name of the fault; what is in no window is not in here.
    pub by_fault: Vec<(String, u64)>,
    /// The first of them.
    pub examples: Vec<Example>,
}

/// Numbers from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeqRange {
    /// Smallest.
    pub first: u64,
    /// Largest.
    pub last: u64,
}

/// One anomaly by its names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Example {
    /// The publisher.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub publisher: Option<String>,
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<String>,
    /// Which events of the series.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seq: Option<SeqRange>,
    /// The subscriber, by its client id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subscriber: Option<String>,
    /// The fault in whose window it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fault: Option<String>,
    /// When it was published, or seen; in nanoseconds since the start of the run.
    #[serde(rename = "at_ns", skip_serializing_if = "Option::is_none", default)]
    pub at: Option<RunTime>,
    /// Anything more there is to say.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub note: String,
}

/// What a fault did, and how long it took to get over it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultImpact {
    /// The fault's name.
    pub name: String,
    /// Sessions that it cut: of the nodes that it met, ended while it was at work or the cluster recovered.
    pub sessions_cut: u64,
    /// From applying it to the first session that ended.
    pub detect: Option<Duration>,
    /// From the end of a session to the next confirmed one, of 95 % of them.
    pub reconnect_p95: Option<Duration>,
    /// From the end of a session to the first new event, of 95 % of them.
    pub recovery_p95: Option<Duration>,
    /// Clients that were cut and never got back.
    pub never_recovered: u64,
    /// Sessions that it cut and that had no successor: those of such clients, and of clients that left meanwhile or whose
    /// policy is not to come back.
    #[serde(default)]
    pub not_back: u64,
    /// Deliveries lost in its window.
    pub lost: u64,
    /// From the end of a session to the last event that its successor was given again, of 95 % of them: the backlog is
    /// drained.
    pub drain_p95: Option<Duration>,
    /// Events that the next sessions were given again.
    pub replayed: u64,
    /// The first deliveries lost in its window.
    pub lost_examples: Vec<Example>,
}
