//! The result of judging the ledgers: counts of deliveries and publishes, anomalies with examples, and the impact of each
//! fault. Data that can be added. Read [`Account`] first.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bench::ids::{AddressId, GroupId, PhaseId};
use crate::bench::metrics::time::RunTime;

/// Examples of each anomaly that a report keeps.
const EXAMPLES: usize = 8;

/// Counts of deliveries (an event times a subscriber), and what went wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Deliveries that were owed. The sum of `ok`, `lost`, `unseen` and `gap_declared`.
    pub expected: u64,
    /// Owed deliveries that arrived.
    pub ok: u64,
    /// Deliveries of indeterminate publishes that arrived.
    pub recovered: u64,
    /// Owed deliveries that are proven missing.
    pub lost: u64,
    /// Owed deliveries that did not arrive and are not proven missing.
    pub unseen: u64,
    /// Owed deliveries that did not arrive and that a `GAP` covers.
    pub gap_declared: u64,
    /// `GAP` events that reached clients, whatever they cover.
    pub gap_events: u64,
    /// Clients that received at least one `GAP`.
    pub gap_clients: u64,
    /// Sentinels that did not arrive and that a `GAP` covers.
    pub gap_sentinels: u64,
    /// Clients that lack a sentinel that no `GAP` covers: more events may be in flight to them.
    pub without_sentinels: u64,
    /// Deliveries published between sessions that are not owed, under at-most-once.
    pub missed_offline: u64,
    /// Deliveries that were repeated within one session.
    pub duplicated_in_session: u64,
    /// Deliveries that were repeated across a reconnect.
    pub duplicated_across_reconnect: u64,
    /// Deliveries that arrived after a later event of their series.
    pub reordered: u64,
    /// The largest difference of numbers in such an inversion.
    pub reordered_by_at_most: u64,
    /// Inversions beyond the limit of what a client keeps: not judged.
    pub order_unjudged: u64,
    /// Publishes that were sent before the one ahead of them to the same address was acknowledged: these two have no order.
    #[serde(default)]
    pub overlapping: u64,
    /// Deliveries that should not have arrived.
    pub unexpected: Unexpected,
    /// Events (not deliveries) that were acknowledged and are neither delivered to all clients nor in the log.
    pub forgotten: u64,
    /// Sessions that were resumed with a cursor and skipped events that were owed.
    pub misplaced_resumes: u64,
    /// SSE ids that were used for two events, and events that had two ids.
    pub inconsistent_ids: u64,
    /// Deliveries whose payload is not the one that was published.
    #[serde(default)]
    pub altered: u64,
    /// Deliveries that came with another `event:` than they were published with.
    #[serde(default)]
    pub wrong_types: u64,
    /// Events whose id does not follow the one before it in its stream.
    #[serde(default)]
    pub fallen_ids: u64,
    /// Clients whose stream stayed open and silent, and that got on another one what it lacked.
    #[serde(default)]
    pub stalled_streams: u64,
    /// Deliveries that arrived only then.
    #[serde(default)]
    pub stalled_deliveries: u64,
    /// Clients that gave up after an answer of the server, or that never got a session again.
    pub never_recovered: u64,
    /// How publishes ended.
    pub publishes: PublishCounts,
    /// Publishes that were due and never sent, by the phase in which they were due.
    pub dropped_by: BTreeMap<PhaseId, u64>,
    /// Each kind of anomaly that occurred, with the first examples.
    pub anomalies: Vec<Anomaly>,
    /// The impact of each fault.
    pub faults: Vec<FaultImpact>,
    /// Missing deliveries (lost, unseen, declared) by group and by phase of their publish: infinite latencies.
    pub missing_by: Vec<((GroupId, PhaseId), u64)>,
    /// Clients that lost their stream, tried to reconnect and did not succeed, by group and by the phases since their last
    /// stream ended: infinite reconnect times, in each of these phases.
    #[serde(default)]
    pub never_back_by: Vec<((GroupId, Vec<PhaseId>), u64)>,
    /// Addresses with missing deliveries, sorted. An audit read reads them first.
    pub missing_addresses: Vec<AddressId>,
    /// Whether the ledger of an audit read was compared.
    pub audited: bool,
}

impl Account {
    /// Adds the account of another run of the same groups and phases. The pattern names every field, so that a new field
    /// cannot be forgotten.
    #[expect(clippy::too_many_lines, reason = "two lines for each field")]
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
            overlapping,
            unexpected,
            forgotten,
            misplaced_resumes,
            inconsistent_ids,
            altered,
            wrong_types,
            fallen_ids,
            stalled_streams,
            stalled_deliveries,
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
            (&mut self.overlapping, overlapping),
            (&mut self.forgotten, forgotten),
            (&mut self.misplaced_resumes, misplaced_resumes),
            (&mut self.inconsistent_ids, inconsistent_ids),
            (&mut self.altered, altered),
            (&mut self.wrong_types, wrong_types),
            (&mut self.fallen_ids, fallen_ids),
            (&mut self.stalled_streams, stalled_streams),
            (&mut self.stalled_deliveries, stalled_deliveries),
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

    /// Keeps only the first examples of each anomaly.
    pub fn truncate_examples(&mut self) {
        for anomaly in &mut self.anomalies {
            anomaly.examples.truncate(EXAMPLES);
        }
    }
}

/// Deliveries that should not have arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unexpected {
    /// Of this run, but never published; or the payload carries no stamp of any run.
    pub never_published: u64,
    /// The publish had been refused.
    pub refused: u64,
    /// Published by another run.
    pub other_run: u64,
    /// Published to an address that is not one of the client's.
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

    /// The sum of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.never_published + self.refused + self.other_run + self.leaked
    }
}

/// How publishes ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishCounts {
    /// Answered with 2xx, or with what the dialect accepts: the log has the event.
    pub ok: u64,
    /// Answered with 4xx, or the connection was refused: the event must not appear.
    pub fail: u64,
    /// Timeout, reset, 3xx, 5xx, 408 or 425: the event may appear.
    pub indeterminate: u64,
    /// Never sent: too many publishes were in flight.
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

    /// All publishes that were due.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ok + self.fail + self.indeterminate + self.dropped
    }
}

/// A kind of anomaly. The display text is the name in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// A client received an event of an address that is not its own.
    Leak,
    /// An owed event is proven missing.
    Lost,
    /// An acknowledged event is missing, and the log lacks it too.
    Forgotten,
    /// A resumed session skipped owed events.
    MisplacedResume,
    /// An owed event is missing, and a `GAP` covers it.
    GapDeclared,
    /// An event arrived twice in one session.
    DuplicatedInSession,
    /// An event arrived again after a reconnect.
    DuplicatedAcrossReconnect,
    /// An event arrived after a later one of its series.
    Reordered,
    /// An event arrived that was never published.
    NeverPublished,
    /// An event arrived whose publish had been refused.
    RefusedAppeared,
    /// An event of another run arrived.
    OtherRun,
    /// An event arrived with another payload than it was published with.
    AlteredPayload,
    /// An event arrived with another `event:` than it was published with.
    WrongEventType,
    /// One SSE id was used for two events, or one event had two ids.
    InconsistentId,
    /// An SSE id does not follow the one before it in its stream.
    IdGoesBack,
    /// A stream stayed open and silent, and what it lacked came on the next one.
    StalledStream,
    /// An owed event is missing, but not proven to be lost.
    Unseen,
    /// A client never got a session again.
    NeverRecovered,
}

impl AnomalyKind {
    /// The name in reports: also the name of the check.
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
            Self::AlteredPayload => "altered payload",
            Self::WrongEventType => "wrong event type",
            Self::InconsistentId => "inconsistent id",
            Self::StalledStream => "stalled stream",
            Self::Unseen => "unseen",
            Self::IdGoesBack => "id goes back",
            Self::NeverRecovered => "never recovered",
        }
    }
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often a kind of anomaly occurred, in total and in the window of each fault, with the first examples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Anomaly {
    pub kind: AnomalyKind,
    /// All occurrences, in and outside of fault windows.
    pub count: u64,
    /// Names of faults with the occurrences in their windows. Occurrences outside of all windows are not included.
    pub by_fault: Vec<(String, u64)>,
    /// The first occurrences.
    pub examples: Vec<Example>,
}

/// Numbers from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeqRange {
    pub first: u64,
    pub last: u64,
}

/// One anomaly, with names instead of ids.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Example {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub publisher: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<String>,
    /// Numbers of the events in their series.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seq: Option<SeqRange>,
    /// Client id of the subscriber.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subscriber: Option<String>,
    /// Name of the fault in whose window it occurred.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fault: Option<String>,
    /// When the event was published, or the anomaly was seen, in nanoseconds since the start of the run.
    #[serde(rename = "at_ns", skip_serializing_if = "Option::is_none", default)]
    pub at: Option<RunTime>,
    /// Further details; empty where there are none.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub note: String,
}

impl fmt::Display for Example {
    /// As in `main → topic:room-7 #88123..88135 at steady-412 (and 40 more), in kill-1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some((publisher, address)) = self.publisher.as_ref().zip(self.address.as_ref()) {
            parts.push(format!("{publisher} → {address}"));
        }
        if let Some(SeqRange { first, last }) = self.seq {
            parts.push(if first == last { format!("#{first}") } else { format!("#{first}..{last}") });
        }
        parts.extend(self.subscriber.as_ref().map(|subscriber| format!("at {subscriber}")));
        if !self.note.is_empty() {
            parts.push(format!("({})", self.note));
        }
        let fault = self.fault.as_ref().map(|fault| format!(", in {fault}")).unwrap_or_default();
        write!(f, "{}{fault}", parts.join(" "))
    }
}

/// The sessions that a fault cut, and how long it took to recover.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultImpact {
    /// Name of the fault.
    pub name: String,
    /// Sessions that the fault cut: of nodes or clients that it can affect, ended in its window.
    pub sessions_cut: u64,
    /// From applying it to the first session that ended.
    pub detect: Option<Duration>,
    /// 95th percentile of the time from the end of a session to the next confirmed one.
    pub reconnect_p95: Option<Duration>,
    /// 95th percentile of the time from the end of a session to the first new event.
    pub recovery_p95: Option<Duration>,
    /// Clients that were cut and never got a session again.
    pub never_recovered: u64,
    /// Sessions that were cut and had no successor: those of such clients, and of clients that left meanwhile or do not
    /// reconnect by policy.
    #[serde(default)]
    pub not_back: u64,
    /// Deliveries lost in the window of the fault.
    pub lost: u64,
    /// 95th percentile of the time from the end of a session to the last replayed event of the next one.
    pub drain_p95: Option<Duration>,
    /// Events replayed to the next sessions.
    pub replayed: u64,
    /// The first deliveries that were lost in the window of the fault.
    pub lost_examples: Vec<Example>,
}
