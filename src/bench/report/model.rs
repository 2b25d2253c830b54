//! A report as data. The field `summary` is small and stable, for CI; the rest may grow.

use serde::{Deserialize, Serialize};

use crate::bench::ledger::{Anomaly, PublishCounts, Unexpected};
use crate::bench::verdict::{Exit, Judged, Verdict};

/// Version of the JSON. Raised when a field changes its meaning or goes away, not when one is added.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that is told of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// What was counted: name with tags, and how many.
    pub counters: Vec<(String, u64)>,
}

/// Small and stable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the scenario.
    pub scenario: String,
    /// `PASS`, `FAIL`, …
    pub verdict: String,
    /// Exit code.
    pub exit_code: u8,
    /// Names of the checks and thresholds that failed.
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
    /// Latency from the due time, of what was delivered, in milliseconds; absent without samples.
    pub delivery_latency_p50_ms: Option<f64>,
    /// The same.
    pub delivery_latency_p99_ms: Option<f64>,
    /// The same of what was expected: absent also when it is `lost`.
    pub delivery_latency_p99_of_expected_ms: Option<f64>,
}

/// What was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFacts {
    /// The run.
    pub id: String,
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

/// What became of the deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// See [`crate::bench::ledger::Account`] for this and the following.
    pub expected: u64,
    /// Arrived.
    pub ok: u64,
    /// Anomalies with examples.
    pub anomalies: Vec<Anomaly>,
    /// Unexpected ones by kind.
    pub unexpected: Unexpected,
    /// How publishes ended.
    pub publishes: PublishCounts,
}

/// A fault, planned and as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultReport {
    /// Name.
    pub name: String,
}

/// A metric with one set of tags.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricReport {
    /// `delivery_latency{phase:steady}`.
    pub key: String,
}

impl Report {
    /// Puts a report together.
    #[must_use]
    pub fn new(judged: &Judged<'_>, verdict: Verdict, started_at: Option<String>) -> Self {
        let _ = (judged, verdict, started_at, Exit::Pass);
        todo!()
    }

    /// The report as JSON with a newline at its end.
    #[must_use]
    pub fn to_json(&self) -> String {
        todo!()
    }
}
