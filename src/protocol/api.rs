//! JSON bodies of the HTTP interface, shared by the node that writes them and by bench and console that read them.
//! Keys are camelCase; the seed's fields keep their names. Durations are milliseconds and say so in their names.

mod cluster;
mod rows;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::address::Address;
use super::cursor::EventId;
use super::event::{Envelope, EventType, MessageId};
use super::name::{ClientId, ConnectionId, NodeId, Topic, UserId};

pub use cluster::{
    DrainRequest, DrainStatus, Presence, Rebalance, RebalanceRequest, RebalanceStatus, Server, Servers,
    Unreachable, Whereabouts,
};
pub use rows::ConnectionAt;

/// Body of every publishing call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishRequest {
    /// Event type; without it the default of the address (`MESSAGE`, `DIRECT`, …).
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<EventType>,
    /// The payload, any JSON value.
    pub data: Box<RawValue>,
    /// About the payload, any JSON value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// The message's identity; the same id within the idempotency window gives the first answer again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<MessageId>,
    /// 0: to those connected, or back within what the log keeps. 1: kept in the mailbox until confirmed as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos: Option<u8>,
}

/// 202: the log has the event.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// Position in the log, equal to the `id:` that connections see.
    pub id: EventId,
    /// The message's identity, equal to the envelope's `id`.
    pub message_id: MessageId,
    /// The history that the position belongs to.
    pub epoch: String,
    /// The message was in the log already; `id` is where.
    pub duplicate: bool,
}

/// RFC 9457 problem details, `application/problem+json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank` or a link.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short text, the same for every problem of this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong with this request, and what is allowed.
    pub detail: String,
    /// Stable and machine-readable, `snake_case`.
    pub code: String,
}

/// How a stream began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resumed {
    /// Without a cursor: from now on.
    Live,
    /// Everything after the cursor follows.
    Replayed,
    /// Something after the cursor is gone; a `GAP` says what.
    Gap,
}

/// `data:` of a `CONNECTION` event: the fields of both systems that this one descends from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionEvent {
    /// This stream.
    pub connection_id: ConnectionId,
    /// The client as it named itself, or as the node named it.
    pub client_id: ClientId,
    /// The node.
    pub instance_id: NodeId,
    /// The node's name for people.
    pub instance_name: String,
    /// The node's clock, milliseconds since 1970.
    pub server_time: u64,
    /// What `retry:` says, milliseconds.
    pub reconnect_time: u32,
    /// Name of the service.
    pub name: String,
    /// Whether other nodes share the log.
    pub enable_cluster: bool,
    /// Version of the node.
    pub version: String,
    /// How the stream began.
    pub resumed: Resumed,
    /// A sentence for people.
    pub message: String,
}

/// Why something cannot be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GapReason {
    /// The log no longer keeps what came after the cursor.
    Trimmed,
    /// The cursor belongs to another history.
    Epoch,
    /// The log lost its tail: the cursor's event is no longer in it.
    Rollback,
    /// A mailbox was full and dropped its oldest messages.
    Overflow,
    /// The cursor is not an id of this system.
    Malformed,
}

impl GapReason {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::Epoch => "epoch",
            Self::Rollback => "rollback",
            Self::Overflow => "overflow",
            Self::Malformed => "malformed",
        }
    }
}

/// `data:` of a `GAP` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GapEvent {
    /// Why.
    pub reason: GapReason,
    /// The cursor as the client gave it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requested: Option<String>,
    /// After this position everything is kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oldest: Option<EventId>,
    /// Newest position of the log.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub newest: Option<EventId>,
    /// How many events are missing, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub missed: Option<u64>,
}

/// `data:` of a `SYNC` event: the log had lost what the client has had, and has it again. The event has no `id:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncEvent {
    /// The history that ended.
    pub old_epoch: String,
    /// The history that goes on.
    pub new_epoch: String,
    /// Up to where the client has everything of the old history.
    pub from: EventId,
    /// What is left of the old history ends at or before this position of the new one.
    pub to: EventId,
    /// Events that this node appended again; other nodes may have done more.
    pub appended_again: u64,
}

/// `data:` of a `CLOSE` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloseEvent {
    /// Numbered as Centrifugo numbers its disconnects.
    pub code: u16,
    /// The code in words.
    pub reason: String,
    /// Whether the client should come back. Not where another stream took over: it would take over in turn.
    pub reconnect: bool,
    /// When, in milliseconds; equal to the `retry:` of this event.
    pub retry_ms: u32,
}

/// Body of `POST /api/sse/ack`: *I have everything up to `id`*.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AckRequest {
    /// The client, if its own mailbox is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    /// The user, if the user's mailbox is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Everything up to this position is confirmed.
    pub id: EventId,
}

/// Answer to an ack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Acked {
    /// Mailbox messages that this ack confirmed.
    pub confirmed: u64,
}

/// One open stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionRow {
    /// This stream.
    pub connection_id: ConnectionId,
    /// The client.
    pub client_id: ClientId,
    /// The user, if it named one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user_id: Option<UserId>,
    /// Topics that it subscribed to.
    pub topics: Vec<Topic>,
    /// The node that serves it.
    pub instance_id: NodeId,
    /// Peer address.
    pub remote: String,
    /// Milliseconds since 1970.
    pub connected_at: u64,
    /// Position of the newest event that was written to it.
    pub last_event_id: EventId,
    /// Events written.
    pub sent: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Events of the log between its cursor and the newest one, an upper bound of what it still has to get.
    pub lag: u64,
    /// `live`, `replaying`, `slow`, `closing`.
    pub state: String,
}

/// `GET /api/sse/connections`: the seed's fields, and paging.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionList {
    /// The node that answers.
    pub instance_id: NodeId,
    /// Its name for people.
    pub instance_name: String,
    /// All open streams, whatever the filter.
    pub total_connections: u64,
    /// Streams that match the filter.
    pub matched: u64,
    /// 1-based page number.
    pub page: u64,
    /// Rows a page.
    pub limit: u64,
    /// The rows of this page.
    pub clients: Vec<ConnectionRow>,
    /// Nodes whose streams are missing here, since they did not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Unreachable>,
}

/// One entry of the log as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogEvent {
    /// Position.
    pub id: EventId,
    /// Whom it is for.
    pub address: Address,
    /// What was published.
    pub envelope: Envelope,
}

/// `GET /api/sse/users/{userId}/pending`: a mailbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Whose mailbox.
    pub address: Address,
    /// Messages that wait for confirmation, oldest first.
    pub messages: Vec<LogEvent>,
    /// Messages that were dropped because the mailbox was full, and not yet told.
    pub overflowed: u64,
}

/// `GET /api/sse/history`: a page of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// The history.
    pub epoch: String,
    /// After this position everything is kept.
    pub oldest: EventId,
    /// Newest position.
    pub newest: EventId,
    /// Set when what came after the given cursor is no longer kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gap: Option<GapEvent>,
    /// The events.
    pub events: Vec<LogEvent>,
    /// Give this as `after` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<EventId>,
}

/// `GET /api/sse/events/{id}`: the ledger of one event.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventLedger {
    /// Position.
    pub id: EventId,
    /// The message.
    pub message_id: MessageId,
    /// Whom it is for.
    pub address: Address,
    /// When the publishing node took it, RFC 3339.
    pub accepted_at: String,
    /// Which node wrote it to how many connections, as far as their windows reach back.
    pub written: Vec<WrittenBy>,
    /// Clients that confirmed it.
    pub confirmed: u64,
    /// Nodes that are missing in `written` and `confirmed`, since they did not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Unreachable>,
}

/// Part of an [`EventLedger`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WrittenBy {
    /// The node.
    pub instance_id: NodeId,
    /// Connections that it wrote the event to.
    pub connections: u64,
}

/// Part of the metrics: memory in bytes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MemoryUsage {
    /// Memory of the machine.
    pub max: u64,
    /// Resident and reserved by this process.
    pub total: u64,
    /// Resident.
    pub used: u64,
    /// Free on the machine.
    pub free: u64,
}

/// A histogram that can be added to those of other nodes: HdrHistogram V2, base64, values in microseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistogramDump {
    /// Number of values.
    pub count: u64,
    /// Quantiles for people, microseconds; a cluster's are computed from merged histograms, never from these.
    pub p50_us: u64,
    /// See `p50_us`.
    pub p99_us: u64,
    /// Largest value.
    pub max_us: u64,
    /// The whole histogram, V2 DEFLATE in base64, as HdrHistogram's own tools read it.
    pub hdr: String,
}

/// `GET /api/sse/metrics`: the seed's fields, and ours.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeMetrics {
    /// The node.
    pub instance_id: NodeId,
    /// Its name for people.
    pub instance_name: String,
    /// Seconds since start.
    pub uptime: u64,
    /// Open streams.
    pub active_connections: u64,
    /// Events written to connections since start.
    pub total_messages_sent: u64,
    /// Events written to connections in the last minute.
    pub messages_per_minute: u64,
    /// Memory.
    pub memory_usage: MemoryUsage,
    /// `starting`, `ready`, `degraded`, `draining`.
    pub state: String,
    /// Version of the node.
    pub version: String,
    /// Events that this node accepted from publishers since start.
    pub total_messages_published: u64,
    /// Events that the tail read from the log since start.
    pub total_messages_tailed: u64,
    /// For how long this node has not had all of the log, milliseconds; 0 when it has.
    pub tail_lag: u64,
    /// Bytes written to connections since start.
    pub total_bytes_sent: u64,
    /// Streams opened since start.
    pub total_connections: u64,
    /// `GAP` events sent since start, by reason.
    pub gaps: std::collections::BTreeMap<String, u64>,
    /// Streams closed since start, by reason.
    pub closed: std::collections::BTreeMap<String, u64>,
    /// Streams refused since start, by reason.
    #[serde(default)]
    pub rejected: std::collections::BTreeMap<String, u64>,
    /// From the log's append to the write to a connection, of the last minute.
    pub delivery_latency: HistogramDump,
    /// CPU seconds used since start.
    pub cpu_seconds: f64,
    /// Open file descriptors.
    pub open_files: u64,
    /// The log.
    pub log: LogMetrics,
    /// Frames in the window.
    pub window_frames: u64,
    /// Bytes in the window.
    pub window_bytes: u64,
}

/// What the broker tells of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogMetrics {
    /// `memory`, `file`, `redis`, …
    pub broker: String,
    /// The history.
    pub epoch: String,
    /// Events kept.
    pub length: u64,
    /// Bytes kept.
    pub bytes: u64,
    /// After this position everything is kept.
    pub oldest: EventId,
    /// Newest position.
    pub newest: EventId,
    /// Mailboxes that hold at least one message.
    pub mailboxes: u64,
    /// Messages in them.
    pub mailbox_messages: u64,
    /// Times that the log's history ended since this node started: restarts and failovers of the broker.
    #[serde(default)]
    pub histories_ended: u64,
    /// Events that the log had lost and this node appended again.
    #[serde(default)]
    pub appended_again: u64,
    /// How long the log took to say all this, microseconds; absent when it did not answer in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// The server that keeps the log, where there is one and it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<LogServer>,
}

/// What the server that keeps the log says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogServer {
    /// Where it is.
    pub place: String,
    /// Its version.
    pub version: String,
    /// Seconds since its start.
    pub uptime: u64,
    /// Bytes that its data takes.
    pub memory: u64,
    /// Bytes that its data may take; 0: no limit.
    pub memory_max: u64,
    /// Its connections.
    pub clients: u64,
    /// Commands in the last second.
    pub commands_per_second: u64,
    /// Replicas that are connected.
    pub replicas: u64,
    /// Whether its last write to disk succeeded, or none was asked for.
    pub saves: bool,
}
