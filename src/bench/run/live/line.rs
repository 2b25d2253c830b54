//! The lines of `live.jsonl`. Read [`Line`] first.

use serde::{Deserialize, Serialize};

use crate::bench::report::Summary;
use crate::bench::verdict::diagnosis::Finding;

/// Version of the lines. Raised when a field changes its meaning or is removed, not when one is added.
pub const SCHEMA_VERSION: u32 = 1;

/// One line of `live.jsonl`: first a `begin`, a `cluster` once the nodes are up, then a `second` every second, at last an
/// `end`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// What is run.
    Begin(Begin),
    /// Where the nodes are.
    Cluster(Cluster),
    /// The counters of one second.
    Second(Second),
    /// The verdict, or why there is none.
    End(End),
}

/// The run and its plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema: u32,
    /// Run id, 16 hexadecimal digits.
    pub run: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Description of the scenario.
    pub description: String,
    /// Seed of the scenario.
    pub seed: u64,
    /// Start of the run, RFC 3339.
    pub started_at: String,
    /// Planned duration of the load, milliseconds.
    pub duration_ms: u64,
    /// Number of clients.
    pub clients: u64,
    /// Names of the nodes, in the order of `connections` in every `second`.
    pub nodes: Vec<String>,
    /// Planned faults, in the order of their times.
    pub faults: Vec<PlannedFault>,
}

/// A planned fault. Times in milliseconds since the start of the clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// Name of the fault.
    pub name: String,
    /// Type and target, for people.
    pub title: String,
    /// When it is applied.
    pub planned_ms: f64,
    /// When it is healed; absent: at the end of the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_heal_ms: Option<f64>,
}

/// The nodes that the run started with, for programs that ask them directly.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// In the order of `nodes` in `begin`.
    pub nodes: Vec<NodeUrl>,
}

/// A node and its URL.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeUrl {
    /// Name of the node.
    pub name: String,
    /// Base URL of the node itself, not of a proxy or load balancer.
    pub url: String,
}

/// One second. Counts are totals since the start; rates and latencies are those since the line before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Milliseconds since the start of the clock; 0 before it starts.
    pub elapsed_ms: u64,
    /// `set-up`, `warmup`, `steady`, `fault:<name>`, `recovery`, `drain`.
    pub phase: String,
    /// Streams open and confirmed.
    pub connected: u64,
    /// Streams by node, including those that are not yet confirmed.
    pub connections: Vec<u32>,
    /// Events that arrived at clients.
    pub delivered: u64,
    /// Events that arrived at clients, a second.
    pub delivered_per_s: f64,
    /// Publishes acknowledged by a node.
    pub published: u64,
    /// Publishes acknowledged, a second.
    pub published_per_s: f64,
    /// Publishes refused, or without a definite answer.
    pub not_acknowledged: u64,
    /// Publishes that were due and never sent, because `max_in_flight` was reached.
    pub dropped: u64,
    /// Reconnects: streams opened after the first one of a client.
    pub reconnects: u64,
    /// Connects that failed, for any reason.
    pub connect_errors: u64,
    /// `GAP` events received.
    pub gaps: u64,
    /// Median latency from the due time, milliseconds, of events since the line before; absent where none arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// 99th percentile of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// Largest of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<f64>,
    /// Names of the active faults.
    pub faults: Vec<String>,
    /// Names of the healed faults.
    #[serde(default)]
    pub healed: Vec<String>,
}

/// The end of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Verdict: `PASS`, `FAIL`, …
    pub verdict: String,
    /// Exit code of the process.
    pub exit_code: u8,
    /// The summary block of the report; absent where there is no report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// The causes that the report names; empty where nothing stood out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnosis: Vec<Finding>,
    /// Why there is no report; absent where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
