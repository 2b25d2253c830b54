//! JSON bodies about several nodes: which are alive, which serve a user, which shed streams. A node that did not answer
//! is named in them, never left out. Read [`Servers`] first.

use serde::{Deserialize, Serialize};

use crate::protocol::{ClientId, ConnectionId, NodeId, UserId};

/// A node in `GET /api/sse/servers`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Value of the node's `--id` flag.
    pub instance_id: NodeId,
    /// Its name for people.
    pub instance_name: String,
    /// Where the other nodes reach it.
    pub url: String,
    /// `starting`: it does not serve yet. `draining`: it is leaving. `degraded`: the log does not answer, or the node is
    /// behind it. `ready`: none of these.
    #[cfg_attr(test, schemars(extend("enum" = ["starting", "ready", "degraded", "draining"])))]
    pub state: String,
    /// Number of open streams.
    pub connections: u64,
    /// For how long it has not had all of the log, milliseconds; 0 when it has.
    pub lag: u64,
    /// Version of the node.
    pub version: String,
    /// When the process started, milliseconds since 1970.
    pub started_at: u64,
    /// Identifies this process: a restarted node has another one.
    #[serde(default)]
    pub incarnation: String,
    /// How long ago the node last reported that it is alive, milliseconds.
    #[serde(default)]
    pub last_beat_ms: u64,
}

/// `GET /api/sse/servers`: the roster.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Servers {
    /// The node that answers.
    pub current_instance: NodeId,
    /// All nodes that are alive.
    pub available_servers: Vec<Server>,
    /// Number of `availableServers`.
    pub total_servers: u64,
    /// The roster cannot be read now. These are the nodes that were known last; `lastBeatMs` says how long ago.
    #[serde(default)]
    pub stale: bool,
    /// Ids that several nodes have at once; absent when there are none. Each node needs an id of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicates: Vec<NodeId>,
}

/// A node that did not answer, or not as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Unreachable {
    /// Value of the node's `--id` flag.
    pub instance_id: NodeId,
    /// Where it was asked.
    pub url: String,
    /// The error, for people.
    pub reason: String,
}

/// `GET /api/sse/users/{user}` and `GET /api/sse/clients/{client}`: is a user or client online, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// The user in the path; absent when a client was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The client in the path; absent when a user was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    /// Whether a stream is open on any node that answered.
    pub online: bool,
    /// The open streams, oldest first.
    pub connections: Vec<Whereabouts>,
    /// Nodes that did not answer and whose streams are missing here; absent when all answered. With such nodes,
    /// `online: false` means *not known*.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Unreachable>,
}

/// One open stream of a user or client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Whereabouts {
    /// The node that serves it.
    pub instance_id: NodeId,
    /// Id of the stream.
    pub connection_id: ConnectionId,
    /// The client as it named itself, or a ULID that the node made for it.
    pub client_id: ClientId,
    /// The user that the client named; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// When it was opened, milliseconds since 1970.
    pub since: u64,
}

/// Body of `POST /admin/drain`; an empty body takes the defaults.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// Spread the ends of the streams over this time, as `30s` or `2m`, at most one day. Default: the node's
    /// `--drain-over`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(example = "30s"))]
    pub over: Option<String>,
    /// Sent to every client with the `CLOSE` event. Default: `the node is leaving`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answer of `/admin/drain`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DrainStatus {
    /// Whether a drain is under way.
    pub draining: bool,
    /// Streams that are still open.
    pub remaining: u64,
    /// Streams that were open when the drain began; 0 without one.
    pub total: u64,
    /// Time until the last stream is ended, milliseconds; 0 without a drain.
    pub ends_in_ms: u64,
    /// The reason that clients get; empty without a drain.
    pub reason: String,
}

/// Body of `POST /admin/rebalance`; an empty body takes the defaults.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RebalanceRequest {
    /// Spread the ends of the streams over this time, as `30s` or `2m`, at most one day. Default: the node's
    /// `--drain-over`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(example = "30s"))]
    pub over: Option<String>,
    /// Sent to every client whose stream is ended. Default: `another node has room`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answer of `/admin/rebalance`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rebalance {
    /// Streams that got an order to end, on all nodes below.
    pub shed: u64,
    /// The state of each node: of one, or with `scope=cluster` of all.
    pub nodes: Vec<RebalanceStatus>,
    /// Nodes that did not answer and are missing here; absent when all answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Unreachable>,
}

/// How far a node is with shedding the streams above its share.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RebalanceStatus {
    /// Value of the node's `--id` flag.
    pub instance_id: NodeId,
    /// Its open streams now.
    pub connections: u64,
    /// Mean number of streams of a ready node, rounded up, when the rebalance began; 0 without one.
    pub mean: u64,
    /// Streams that got an order to end when the rebalance began.
    pub shed: u64,
    /// Those of them that are still open.
    pub remaining: u64,
    /// Time until the last of them is ended, milliseconds; 0 without a rebalance.
    pub ends_in_ms: u64,
    /// Why no rebalance began; absent where one could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
