//! A run while it goes on, once a second: for the line on a terminal, for `live.jsonl`, for a scrape. Whoever looks
//! learns what the bench knows by now; nothing is judged here. Read [`Line`] first, then [`LiveSampler`].

use serde::{Deserialize, Serialize};

use crate::bench::report::Summary;

/// Version of the lines. Raised when a field changes its meaning or goes away, not when one is added.
pub const SCHEMA_VERSION: u32 = 1;

/// One line of `live.jsonl`: first a `begin`, a `cluster` once the nodes are up, then a `second` every second, at last an
/// `end`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// What is run.
    Begin(Begin),
    /// Where its nodes are.
    Cluster(Cluster),
    /// How it goes.
    Second(Second),
    /// How it ended.
    End(End),
}

/// What is run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// [`SCHEMA_VERSION`].
    pub schema: u32,
    /// The run.
    pub run: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Its description.
    pub description: String,
    /// Its seed.
    pub seed: u64,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// Planned duration of the load.
    pub duration_ms: u64,
    /// Virtual clients.
    pub clients: u64,
    /// Names of the nodes, in the order of `connections` in every `second`.
    pub nodes: Vec<String>,
    /// Planned faults, in the order of their times.
    pub faults: Vec<PlannedFault>,
}

/// A fault as it is planned. Times in milliseconds since the start of the clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// Its name.
    pub name: String,
    /// What it does to whom.
    pub title: String,
    /// When it is applied.
    pub planned_ms: f64,
    /// When it is healed; absent: when the load is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_heal_ms: Option<f64>,
}

/// Where the nodes are that the run began with, for whoever wants to ask them as well.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// In the order of `nodes` in `begin`.
    pub nodes: Vec<Place>,
}

/// Where a node is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Its base URL, past every proxy and balancer.
    pub url: String,
}

/// How it goes. Counts are totals since the beginning; rates and latencies are those since the line before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Since the start of the clock; 0 as long as it stands.
    pub elapsed_ms: u64,
    /// `set-up`, `warmup`, `steady`, `fault:<name>`, `recovery`, `drain`.
    pub phase: String,
    /// Streams open and confirmed.
    pub connected: u64,
    /// Streams by node, those under way too.
    pub connections: Vec<u32>,
    /// Events that arrived at clients.
    pub delivered: u64,
    /// The same in a second.
    pub delivered_per_s: f64,
    /// Publishes acknowledged.
    pub published: u64,
    /// The same in a second.
    pub published_per_s: f64,
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
    /// Latency from the due time of what arrived since the line before; absent where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// The same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// The same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<f64>,
    /// Names of the faults that are applied and not healed.
    pub faults: Vec<String>,
    /// Names of those that are over.
    #[serde(default)]
    pub healed: Vec<String>,
}

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// `PASS`, `FAIL`, …
    pub verdict: String,
    /// Exit code.
    pub exit_code: u8,
    /// The small block of the report; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// Why there is no report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
