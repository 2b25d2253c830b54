//! A report as data: the content of `report.json`. The field `summary` is small and stable, for CI; the rest may grow. Read [`Report`] first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::usage::{ClusterReport, CounterReport};
use crate::bench::metrics::metric::Trend;
use crate::bench::verdict::Verdict;
use crate::bench::verdict::diagnosis::Finding;
use crate::bench::verdict::history::facts::{HarnessBaseline, ProcessReport};
use crate::bench::verdict::ledger::{Anomaly, Example, PublishCounts, Unexpected};

/// Version of `report.json`. Raised when a field changes its meaning or goes away, not when one is added.
pub const SCHEMA_VERSION: u32 = 1;

/// The report of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Version of this format. Raised when a field changes its meaning or goes away, not when one is added.
    pub schema: u32,
    /// The main figures, for CI. Stable.
    pub summary: Summary,
    /// What was run.
    pub run: RunFacts,
    /// Pass or fail, and why.
    pub verdict: Verdict,
    /// Causes with their evidence and what to change, the likeliest root cause first. Empty where the run passed and
    /// nothing stood out.
    #[serde(default)]
    pub diagnosis: Vec<Finding>,
    /// Deliveries and publishes, counted, with examples of what went wrong.
    pub delivery: Delivery,
    /// Each fault: as planned, as applied, and its effect.
    pub faults: Vec<FaultReport>,
    /// Distributions: latencies and other trends, by set of tags.
    pub metrics: Vec<MetricReport>,
    /// Counts of clients and publishers, the warm-up included. Counters that are 0 are left out.
    pub counters: Vec<CounterReport>,
    /// The best latency that this bench can measure; absent where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness: Option<HarnessBaseline>,
    /// Resources used by the processes that the bench started, and by the bench itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessReport>,
    /// Resources used by all nodes and their Redis together.
    #[serde(default)]
    pub cluster: ClusterReport,
}

impl Report {
    /// The anomaly that a check of this name counts; `None`: it did not occur, or the check counts something else.
    pub(super) fn anomaly(&self, check: &str) -> Option<&Anomaly> {
        self.delivery.anomalies.iter().find(|anomaly| anomaly.kind.name() == check)
    }
}

/// The main figures of a run. Stable: fields are added, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Name of the scenario.
    pub scenario: String,
    /// `PASS`, `FAIL`, `INVALID`, `UNKNOWN`, `INTERRUPTED` or `ERROR`.
    pub verdict: String,
    /// Exit code of `sse-bench`: 0 for `PASS`.
    pub exit_code: u8,
    /// Names of the failed checks, keys and expressions of the failed thresholds, then the problems of the run itself, a
    /// sentence each.
    pub failed: Vec<String>,
    /// Deliveries that were owed.
    pub events_expected: u64,
    /// Owed deliveries that arrived.
    pub events_ok: u64,
    /// Owed deliveries that are proven missing.
    pub events_lost: u64,
    /// Deliveries that were repeated, within a session or across a reconnect.
    pub events_duplicated: u64,
    /// Deliveries that arrived after a later event of their series.
    pub events_reordered: u64,
    /// Deliveries that should not have arrived.
    pub events_unexpected: u64,
    /// Median latency of delivered events from their due time, in milliseconds, without the warm-up; absent without
    /// samples.
    pub delivery_latency_p50_ms: Option<f64>,
    /// 99th percentile of the same latency, in milliseconds.
    pub delivery_latency_p99_ms: Option<f64>,
    /// 99th percentile over all owed deliveries, in milliseconds; absent also when more than 1 % of them are missing.
    pub delivery_latency_p99_of_expected_ms: Option<f64>,
}

/// What was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunFacts {
    /// Id of the run: 16 hexadecimal digits.
    pub id: String,
    /// The scenario's description.
    pub description: String,
    /// Seed of the plan: the same scenario and seed make the same plan.
    pub seed: u64,
    /// Number of nodes.
    pub nodes: u64,
    /// Number of virtual clients.
    pub clients: u64,
    /// What reads their streams, in order, each once: `loops`, `reqwest`; empty in reports of earlier versions.
    #[serde(default)]
    pub transports: Vec<String>,
    /// Planned duration of the load, in milliseconds.
    pub duration_ms: u64,
    /// The promised guarantee: `at-most-once`, `at-least-once` or `exactly-once`.
    pub guarantee: String,
    /// When the run began, RFC 3339; absent where that is not known.
    pub started_at: Option<String>,
}

/// Deliveries (an event times a client) and publishes, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delivery {
    /// Owed deliveries. The sum of `ok`, `lost`, `unseen` and `gap_declared`.
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
    /// `GAP` events that reached clients.
    #[serde(default)]
    pub gap_events: u64,
    /// Clients that received at least one `GAP`.
    #[serde(default)]
    pub gap_clients: u64,
    /// Sentinels that did not arrive and that a `GAP` covers.
    #[serde(default)]
    pub gap_sentinels: u64,
    /// Deliveries published between sessions that are not owed, under at-most-once.
    pub missed_offline: u64,
    /// Deliveries that were repeated within one session.
    pub duplicated_in_session: u64,
    /// Deliveries that were repeated across a reconnect.
    pub duplicated_across_reconnect: u64,
    /// Deliveries that arrived after a later event of their series.
    pub reordered: u64,
    /// Deliveries that should not have arrived.
    pub unexpected: Unexpected,
    /// Whether the log was read again at the end.
    pub audited: bool,
    /// How publishes ended.
    pub publishes: PublishCounts,
    /// Publishers with the last reason why one of their publishes was not acknowledged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish_failures: Vec<(String, String)>,
    /// Each kind of anomaly that occurred, with examples.
    pub anomalies: Vec<Anomaly>,
}

/// A fault, as planned and as applied. Times are milliseconds since the start of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultReport {
    /// Name of the fault, as in the tag `phase:fault:NAME`.
    pub name: String,
    /// Action and target, for people.
    pub title: String,
    /// Planned time of the fault.
    pub planned_ms: f64,
    /// Planned time of its heal; absent: at the end of the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_heal_ms: Option<f64>,
    /// When the fault was applied; absent: never.
    pub applied_ms: Option<f64>,
    /// When the fault was healed; absent: never.
    pub healed_ms: Option<f64>,
    /// Why it could not be applied or healed; absent where both worked.
    pub error: Option<String>,
    /// Sessions that the fault cut.
    pub sessions_cut: u64,
    /// From applying the fault to the end of the first session that it cut, in milliseconds.
    pub detect_ms: Option<f64>,
    /// 95th percentile of the time from the end of a session to the next session, in milliseconds.
    pub reconnect_p95_ms: Option<f64>,
    /// 95th percentile of the time from the end of a session to the first new event, in milliseconds.
    pub recovery_p95_ms: Option<f64>,
    /// Clients that were cut and never got a session again.
    pub never_recovered: u64,
    /// Sessions that were cut and had no successor: those of such clients, and of clients that left meanwhile or do not
    /// reconnect by policy.
    #[serde(default)]
    pub not_back: u64,
    /// Deliveries lost in the fault's window.
    pub lost: u64,
    /// 95th percentile of the time from the end of a session to the last replayed event of the next session, in
    /// milliseconds.
    #[serde(default)]
    pub drain_p95_ms: Option<f64>,
    /// Events replayed to the next sessions.
    #[serde(default)]
    pub replayed: u64,
    /// The first deliveries that were lost in the fault's window.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost_examples: Vec<Example>,
}

impl MetricReport {
    /// Whether its values are numbers of events instead of milliseconds.
    pub(super) fn is_of_numbers(&self) -> bool {
        self.key.starts_with(Trend::ReplaySize.name())
    }
}

/// A metric with one set of tags. Values are milliseconds; those of `replay_size` are numbers of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricReport {
    /// The metric with its tags: `delivery_latency{phase:steady}`.
    pub key: String,
    /// Number of values.
    pub count: u64,
    /// Events that never arrived, or clients that never came back: infinite values. They count in the fields
    /// `*_of_expected` only.
    pub missing: u64,
    /// Smallest value; absent without values, as all that follow.
    pub min: Option<f64>,
    pub avg: Option<f64>,
    /// 50th percentile (median).
    pub med: Option<f64>,
    pub p90: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    /// Largest value that arrived.
    pub max: Option<f64>,
    /// 99th percentile of `count` and `missing` together; absent when it is infinite, or without values.
    pub p99_of_expected: Option<f64>,
    /// Whether that percentile is infinite: more than 1 % of the values are missing.
    pub p99_of_expected_is_lost: bool,
}
