//! The metrics of a node as JSON. Read [`NodeMetrics`] first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::protocol::{EventId, NodeId};

/// Memory of the process and of the machine, bytes; 0 where the operating system does not say.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MemoryUsage {
    /// Memory of the machine.
    pub max: u64,
    /// Largest resident memory of this process so far.
    pub total: u64,
    /// Resident memory of this process.
    pub used: u64,
    /// Available memory of the machine.
    pub free: u64,
}

/// A histogram that can be added to those of other nodes: HdrHistogram V2, values in microseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HistogramDump {
    /// Number of values.
    pub count: u64,
    /// Median, microseconds. For people: a cluster's quantiles are computed from merged histograms, never from these.
    pub p50_us: u64,
    /// 99th percentile, microseconds. For people, as `p50Us`.
    pub p99_us: u64,
    /// Largest value, microseconds.
    pub max_us: u64,
    /// The whole histogram, V2 DEFLATE in base64, as HdrHistogram's own tools read it; empty where it is not known.
    pub hdr: String,
}

/// `GET /api/sse/metrics`: the figures of one node. The first fields have the names of the system that this one
/// replaces.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct NodeMetrics {
    /// Value of the node's `--id` flag.
    pub instance_id: NodeId,
    /// Its name for people.
    pub instance_name: String,
    /// Seconds since start.
    pub uptime: u64,
    /// Number of open streams.
    pub active_connections: u64,
    /// Events written to connections since start.
    pub total_messages_sent: u64,
    /// Events written to connections in the last minute.
    pub messages_per_minute: u64,
    /// Memory of the process and of the machine.
    pub memory_usage: MemoryUsage,
    /// `draining`: the node is leaving. `degraded`: the log does not answer, or the node is behind it. `ready`: neither.
    #[cfg_attr(test, schemars(extend("enum" = ["ready", "degraded", "draining"])))]
    pub state: String,
    /// Version of the node.
    pub version: String,
    /// Events that this node accepted from publishers since start, without repeated ones.
    pub total_messages_published: u64,
    /// Events that this node read from the log since start.
    pub total_messages_tailed: u64,
    /// For how long this node has not had all of the log, milliseconds; 0 when it has.
    pub tail_lag: u64,
    /// Bytes written to connections since start.
    pub total_bytes_sent: u64,
    /// Streams opened since start.
    pub total_connections: u64,
    /// `GAP` events sent since start, by reason.
    pub gaps: BTreeMap<String, u64>,
    /// Streams closed since start, by reason.
    pub closed: BTreeMap<String, u64>,
    /// Streams refused since start, by reason.
    #[serde(default)]
    pub rejected: BTreeMap<String, u64>,
    /// Time from the log's append to the write to a connection, of the last minute.
    pub delivery_latency: HistogramDump,
    /// CPU time since start, user and system, seconds.
    pub cpu_seconds: f64,
    /// Open file descriptors.
    pub open_files: u64,
    /// The log as the node sees it.
    pub log: LogMetrics,
    /// Events in the window: the newest part of the log, which the node keeps in memory.
    pub window_frames: u64,
    /// Bytes in the window.
    pub window_bytes: u64,
}

/// The log as a node sees it. While the log does not answer, these are its last known figures.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LogMetrics {
    /// Kind of the log: `memory`, `file` or `redis`.
    pub broker: String,
    /// The present history of the log: the first part of every event id.
    pub epoch: String,
    /// Events that the log keeps.
    pub length: u64,
    /// Bytes kept, without the store's own overhead.
    pub bytes: u64,
    /// Everything after this position is kept.
    pub oldest: EventId,
    /// Position of the newest event.
    pub newest: EventId,
    /// Mailboxes that hold at least one message.
    pub mailboxes: u64,
    /// Messages in all mailboxes.
    pub mailbox_messages: u64,
    /// Times that the log's history ended since this node started: restarts and failovers of the broker.
    #[serde(default)]
    pub histories_ended: u64,
    /// Events that the log had lost and this node appended again.
    #[serde(default)]
    pub appended_again: u64,
    /// How long the log took to answer, microseconds; absent when it did not answer in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// The server that keeps the log; absent when the node keeps it itself, or the server does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<LogServer>,
}

/// The server that keeps the log, by its own `INFO`. Figures that it leaves out are 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LogServer {
    /// Address of the server, `host:port`.
    pub place: String,
    /// Version that the server reports.
    pub version: String,
    /// Seconds since its start.
    pub uptime: u64,
    /// Bytes that its data takes.
    pub memory: u64,
    /// Bytes that its data may take; 0 without a limit.
    pub memory_max: u64,
    /// Its open connections.
    pub clients: u64,
    /// Commands in the last second.
    pub commands_per_second: u64,
    /// Replicas that are connected to the server.
    pub replicas: u64,
    /// False when its last write to disk failed. True also where it writes none.
    pub saves: bool,
}
