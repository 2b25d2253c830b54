//! A report as data. The field `summary` is small and stable, for CI; the rest may grow. Read [`Report`] first.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::usage::ClusterReport;
use crate::bench::exit::RunProblem;
use crate::bench::metrics::metric::{Counter, Trend};
use crate::bench::metrics::recorder::{Samples, Value};
use crate::bench::metrics::tags::Path;
use crate::bench::metrics::threshold::Selector;
use crate::bench::scenario::Guarantee;
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::history::facts::{HarnessBaseline, ProcessReport};
use crate::bench::verdict::ledger::{
    Account, Anomaly, Example, FaultImpact, FaultRecord, PublishCounts, Unexpected,
};
use crate::bench::verdict::outcome::Judged;
use crate::bench::verdict::thresholds;
use crate::bench::verdict::verdict::Verdict;

/// Version of the JSON. Raised when a field changes its meaning or goes away, not when one is added.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that is told of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema: u32,
    /// For CI.
    pub summary: Summary,
    /// What was run.
    pub run: RunFacts,
    /// Pass or fail, by name.
    pub verdict: Verdict,
    /// What became of the deliveries.
    pub delivery: Delivery,
    /// What was broken.
    pub faults: Vec<FaultReport>,
    /// What was measured.
    pub metrics: Vec<MetricReport>,
    /// What was counted.
    pub counters: Vec<CounterReport>,
    /// What this bench can measure at best; absent where that was not measured. The caller fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness: Option<HarnessBaseline>,
    /// What the nodes that the bench started used, and the bench itself. The caller fills it in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessReport>,
    /// What the nodes and their Redis did together. The caller fills it in.
    #[serde(default)]
    pub cluster: ClusterReport,
}

/// Small and stable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Name of the scenario.
    pub scenario: String,
    /// `PASS`, `FAIL`, …
    pub verdict: String,
    /// Exit code.
    pub exit_code: u8,
    /// Names of the checks, and keys with expressions of the thresholds, that failed; then what went wrong with the run
    /// itself, a sentence each.
    pub failed: Vec<String>,
    /// Deliveries that were owed.
    pub events_expected: u64,
    /// Of them, arrived.
    pub events_ok: u64,
    /// Of them, proven missing.
    pub events_lost: u64,
    /// Repeated within a session or across a reconnect.
    pub events_duplicated: u64,
    /// Out of order.
    pub events_reordered: u64,
    /// Should not have arrived.
    pub events_unexpected: u64,
    /// Latency from the due time of what was delivered, in milliseconds, without the warm-up; absent without samples.
    pub delivery_latency_p50_ms: Option<f64>,
    /// The same.
    pub delivery_latency_p99_ms: Option<f64>,
    /// The same of what was expected: absent also when it is `lost`.
    pub delivery_latency_p99_of_expected_ms: Option<f64>,
}

/// What was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunFacts {
    /// The run.
    pub id: String,
    /// The scenario's description.
    pub description: String,
    /// Its seed.
    pub seed: u64,
    /// Nodes.
    pub nodes: u64,
    /// Virtual clients.
    pub clients: u64,
    /// Planned duration in milliseconds.
    pub duration_ms: u64,
    /// What was promised: `at-least-once`, …
    pub guarantee: String,
    /// When it began, RFC 3339; given by the caller, who has a clock.
    pub started_at: Option<String>,
}

/// What became of the deliveries; see [`Account`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delivery {
    /// Owed.
    pub expected: u64,
    /// Arrived.
    pub ok: u64,
    /// Of indeterminate publishes.
    pub recovered: u64,
    /// Proven missing.
    pub lost: u64,
    /// Missing, not proven.
    pub unseen: u64,
    /// Declared missing.
    pub gap_declared: u64,
    /// `GAP` events that reached clients.
    #[serde(default)]
    pub gap_events: u64,
    /// Clients that one of them reached.
    #[serde(default)]
    pub gap_clients: u64,
    /// Sentinels that a `GAP` covers.
    #[serde(default)]
    pub gap_sentinels: u64,
    /// Published between sessions, where that is not owed.
    pub missed_offline: u64,
    /// Repeated in a session.
    pub duplicated_in_session: u64,
    /// Repeated across a reconnect.
    pub duplicated_across_reconnect: u64,
    /// Out of order.
    pub reordered: u64,
    /// Should not have arrived.
    pub unexpected: Unexpected,
    /// Whether the log was read again at the end.
    pub audited: bool,
    /// How publishes ended.
    pub publishes: PublishCounts,
    /// The last reason for which a publish was not acknowledged, by publisher.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish_failures: Vec<(String, String)>,
    /// Anomalies with examples.
    pub anomalies: Vec<Anomaly>,
}

/// A fault, as planned and as it was. Times in milliseconds since the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultReport {
    /// Name.
    pub name: String,
    /// What it did to whom.
    pub title: String,
    /// When it was to be applied.
    pub planned_ms: f64,
    /// When it was to be healed; absent: when the load was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_heal_ms: Option<f64>,
    /// When it was.
    pub applied_ms: Option<f64>,
    /// When it was healed.
    pub healed_ms: Option<f64>,
    /// Why it could not be applied or healed.
    pub error: Option<String>,
    /// Sessions that it cut.
    pub sessions_cut: u64,
    /// Until the first of them ended.
    pub detect_ms: Option<f64>,
    /// From the end of a session to the next, of 95 % of them.
    pub reconnect_p95_ms: Option<f64>,
    /// From the end of a session to the first new event, of 95 % of them.
    pub recovery_p95_ms: Option<f64>,
    /// Clients that never got back.
    pub never_recovered: u64,
    /// Sessions that it cut and that had no successor: those of such clients, and of clients that left meanwhile or whose
    /// policy is not to come back.
    #[serde(default)]
    pub not_back: u64,
    /// Deliveries lost in its window.
    pub lost: u64,
    /// From the end of a session to the last event that its successor was given again, of 95 % of them.
    #[serde(default)]
    pub drain_p95_ms: Option<f64>,
    /// Events that the next sessions were given again.
    #[serde(default)]
    pub replayed: u64,
    /// The first deliveries that were lost in its window.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost_examples: Vec<Example>,
}

/// A metric with one set of tags, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricReport {
    /// `delivery_latency{phase:steady}`. The values of `replay_size` are numbers of events.
    pub key: String,
    /// Values.
    pub count: u64,
    /// Events that never came, clients that never came back: infinite values, in `*_of_expected` and in no other field.
    pub missing: u64,
    /// Smallest.
    pub min: Option<f64>,
    /// Mean.
    pub avg: Option<f64>,
    /// Median.
    pub med: Option<f64>,
    /// 90 % are not above it.
    pub p90: Option<f64>,
    /// 99 %.
    pub p99: Option<f64>,
    /// 99.9 %.
    pub p999: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
    /// 99 % of what was expected; absent when it is lost, or without values.
    pub p99_of_expected: Option<f64>,
    /// Whether that percentile falls among the events that never came.
    pub p99_of_expected_is_lost: bool,
}

/// A counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CounterReport {
    /// Its name.
    pub key: String,
    /// How many, the warm-up included.
    pub count: u64,
}

impl Report {
    /// Puts a report together.
    #[must_use]
    pub fn new(judged: &Judged<'_>, verdict: Verdict, started_at: Option<String>) -> Self {
        let counters = Counter::ALL.iter().map(|counter| CounterReport {
            key: counter.name().to_owned(),
            count: judged.recorder.total(*counter, |_| true),
        });
        Self {
            schema: SCHEMA_VERSION,
            summary: summary(judged, &verdict),
            run: facts(judged.plan, started_at),
            delivery: delivery(judged.account),
            faults: faults(judged),
            metrics: metrics(judged),
            counters: counters.filter(|counter| counter.count > 0).collect(),
            harness: None,
            processes: Vec::new(),
            cluster: ClusterReport::default(),
            verdict,
        }
    }

    /// Troubles that came up when everything was judged already. The verdict can only become worse.
    pub fn add_troubles(&mut self, troubles: impl IntoIterator<Item = RunProblem>) {
        for trouble in troubles {
            self.verdict.exit = self.verdict.exit.max(trouble.exit);
            self.verdict.troubles.push(trouble);
        }
        self.summary.failed = self.verdict.failed().collect();
        self.summary.verdict = self.verdict.exit.word().to_owned();
        self.summary.exit_code = self.verdict.exit.code();
    }

    /// The report as JSON with a newline at its end.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("texts, numbers and lists always make JSON");
        json.push('\n');
        json
    }
}

fn summary(judged: &Judged<'_>, verdict: &Verdict) -> Summary {
    let account = judged.account;
    let latency = thresholds::samples(judged, Trend::DeliveryLatency, &Selector::default());
    let of_expected = match latency.of_expected(99.0) {
        Some(Value::Of(value)) => Some(millis(value)),
        Some(Value::Lost) | None => None,
    };
    Summary {
        scenario: judged.plan.name.clone(),
        verdict: verdict.exit.word().to_owned(),
        exit_code: verdict.exit.code(),
        failed: verdict.failed().collect(),
        events_expected: account.expected,
        events_ok: account.ok,
        events_lost: account.lost,
        events_duplicated: account.duplicated_in_session + account.duplicated_across_reconnect,
        events_reordered: account.reordered,
        events_unexpected: account.unexpected.total(),
        delivery_latency_p50_ms: latency.of_delivered(50.0).map(millis),
        delivery_latency_p99_ms: latency.of_delivered(99.0).map(millis),
        delivery_latency_p99_of_expected_ms: of_expected,
    }
}

fn facts(plan: &Plan, started_at: Option<String>) -> RunFacts {
    let guarantee = match plan.verify.delivery {
        Guarantee::AtMostOnce => "at-most-once",
        Guarantee::AtLeastOnce => "at-least-once",
        Guarantee::ExactlyOnce => "exactly-once",
    };
    RunFacts {
        id: plan.run.to_string(),
        description: plan.description.clone(),
        seed: plan.seed,
        nodes: plan.nodes.len() as u64,
        clients: plan.subscribers.len() as u64,
        duration_ms: u64::try_from(plan.duration.as_millis()).unwrap_or(u64::MAX),
        guarantee: guarantee.to_owned(),
        started_at,
    }
}

fn delivery(account: &Account) -> Delivery {
    Delivery {
        expected: account.expected,
        ok: account.ok,
        recovered: account.recovered,
        lost: account.lost,
        unseen: account.unseen,
        gap_declared: account.gap_declared,
        gap_events: account.gap_events,
        gap_clients: account.gap_clients,
        gap_sentinels: account.gap_sentinels,
        missed_offline: account.missed_offline,
        duplicated_in_session: account.duplicated_in_session,
        duplicated_across_reconnect: account.duplicated_across_reconnect,
        reordered: account.reordered,
        unexpected: account.unexpected,
        audited: account.audited,
        publishes: account.publishes,
        publish_failures: Vec::new(),
        anomalies: account.anomalies.clone(),
    }
}

fn faults(judged: &Judged<'_>) -> Vec<FaultReport> {
    let planned = |record: &FaultRecord| judged.plan.faults.iter().find(|fault| fault.name == record.name);
    let report = |(record, impact): (&FaultRecord, &FaultImpact)| FaultReport {
        name: record.name.clone(),
        title: planned(record)
            .map_or_else(|| record.name.clone(), crate::bench::scenario::plan::PlannedFault::title),
        planned_heal_ms: planned(record).and_then(|fault| fault.heals_at).map(millis),
        planned_ms: millis(record.planned.since_start()),
        applied_ms: record.applied.map(|at| millis(at.since_start())),
        healed_ms: record.healed.map(|at| millis(at.since_start())),
        error: record.error.clone(),
        sessions_cut: impact.sessions_cut,
        detect_ms: impact.detect.map(millis),
        reconnect_p95_ms: impact.reconnect_p95.map(millis),
        recovery_p95_ms: impact.recovery_p95.map(millis),
        never_recovered: impact.never_recovered,
        not_back: impact.not_back,
        lost: impact.lost,
        drain_p95_ms: impact.drain_p95.map(millis),
        replayed: impact.replayed,
        lost_examples: impact.lost_examples.clone(),
    };
    judged.faults.iter().zip(&judged.account.faults).map(report).collect()
}

/// Every metric that was measured: as a whole without the warm-up, then by phase, by group and by path where there
/// is more than one.
fn metrics(judged: &Judged<'_>) -> Vec<MetricReport> {
    let mut reports = Vec::new();
    for trend in Trend::ALL {
        let tags = judged.recorder.tags_of(*trend);
        let mut selectors = vec![(String::new(), Selector::default())];
        let mut phases: Vec<_> = tags.iter().map(|tags| tags.phase).collect();
        phases.dedup();
        if phases.len() > 1 {
            let names = phases.iter().map(|phase| judged.plan.phases.name(*phase).to_owned());
            selectors.extend(names.map(|name| {
                (format!("{{phase:{name}}}"), Selector { phase: Some(name), ..Selector::default() })
            }));
        }
        if judged.plan.groups.len() > 1 && *trend != Trend::GeneratorLag {
            let names = judged.plan.groups.iter().map(|group| group.name.clone());
            selectors.extend(names.map(|name| {
                (format!("{{group:{name}}}"), Selector { group: Some(name), ..Selector::default() })
            }));
        }
        if tags.iter().any(|tags| tags.path == Some(Path::Replay)) {
            selectors.extend([("live", Path::Live), ("replay", Path::Replay)].map(|(name, path)| {
                (format!("{{path:{name}}}"), Selector { path: Some(path), ..Selector::default() })
            }));
        }
        let rows = selectors
            .into_iter()
            .map(|(tags, selector)| metric(*trend, &tags, &thresholds::samples(judged, *trend, &selector)));
        reports.extend(
            rows.filter(|row| row.count > 0 || (row.missing > 0 && *trend == Trend::DeliveryLatency)),
        );
    }
    reports
}

fn metric(trend: Trend, tags: &str, samples: &Samples) -> MetricReport {
    let millis = |value: Duration| millis(if trend.is_of_numbers() { value * 1_000 } else { value });
    let percentile = |percent| samples.of_delivered(percent).map(millis);
    let of_expected = samples.of_expected(99.0);
    MetricReport {
        key: format!("{}{tags}", trend.name()),
        count: samples.count(),
        missing: samples.missing(),
        min: samples.min().map(millis),
        avg: samples.mean().map(millis),
        med: percentile(50.0),
        p90: percentile(90.0),
        p99: percentile(99.0),
        p999: percentile(99.9),
        max: percentile(100.0),
        p99_of_expected: match of_expected {
            Some(Value::Of(value)) => Some(millis(value)),
            Some(Value::Lost) | None => None,
        },
        p99_of_expected_is_lost: of_expected == Some(Value::Lost),
    }
}

/// Milliseconds with three digits behind the point: no more is measured.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
