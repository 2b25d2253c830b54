//! JSON bodies about several nodes: who is alive, who is where, who leaves. A node that did not answer is named in
//! them, never left out. Read [`Servers`] first.

use serde::{Deserialize, Serialize};

use crate::protocol::{ClientId, ConnectionId, NodeId, UserId};

/// A node in `GET /api/sse/servers`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// The node.
    pub instance_id: NodeId,
    /// Its name for people.
    pub instance_name: String,
    /// Where it can be reached.
    pub url: String,
    /// `starting`, `ready`, `degraded`, `draining`.
    pub state: String,
    /// Open streams.
    pub connections: u64,
    /// For how long it has not had all of the log, milliseconds; 0 when it has.
    pub lag: u64,
    /// Version.
    pub version: String,
    /// Milliseconds since 1970.
    pub started_at: u64,
    /// This life of the node: a restart has another one.
    #[serde(default)]
    pub incarnation: String,
    /// How long ago the node was last heard of, milliseconds.
    #[serde(default)]
    pub last_beat_ms: u64,
}

/// `GET /api/sse/servers`: the roster.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Servers {
    /// The node that answers.
    pub current_instance: NodeId,
    /// All nodes that are alive.
    pub available_servers: Vec<Server>,
    /// How many.
    pub total_servers: u64,
    /// The roster cannot be read now: this is what was known last, and the ages tell how old it is.
    #[serde(default)]
    pub stale: bool,
    /// Ids that several nodes have at once. Each node needs one of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicates: Vec<NodeId>,
}

/// A node that did not answer, or not as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unreachable {
    /// The node.
    pub instance_id: NodeId,
    /// Where it was asked.
    pub url: String,
    /// What happened.
    pub reason: String,
}

/// `GET /api/sse/users/{userId}` and `GET /api/sse/clients/{clientId}`: who is online, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// The user, if that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The client, if that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    /// Whether a stream is open on any node that answered.
    pub online: bool,
    /// Where, oldest first.
    pub connections: Vec<Whereabouts>,
    /// Nodes that did not answer: with some of them, `online: false` means *not known*.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Unreachable>,
}

/// One open stream of a user or client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Whereabouts {
    /// The node that serves it.
    pub instance_id: NodeId,
    /// The stream.
    pub connection_id: ConnectionId,
    /// The client.
    pub client_id: ClientId,
    /// The user, if it named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// When it was opened, milliseconds since 1970.
    pub since: u64,
}

/// Body of `POST /admin/drain`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// Spread the goodbyes over this long, as `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<String>,
    /// Told to every client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answer to `/admin/drain`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainStatus {
    /// Whether a drain is under way.
    pub draining: bool,
    /// Streams still open.
    pub remaining: u64,
    /// Streams open when it began.
    pub total: u64,
    /// Until the last goodbye, milliseconds.
    pub ends_in_ms: u64,
    /// The reason that clients are told.
    pub reason: String,
}

/// Body of `POST /admin/rebalance`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RebalanceRequest {
    /// Spread the goodbyes over this long, as `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<String>,
    /// Told to every client that is sent away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answer to `/admin/rebalance`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebalance {
    /// Streams that were told to go, of all nodes below.
    pub shed: u64,
    /// What each node does: one of them, or all with `scope=cluster`.
    pub nodes: Vec<RebalanceStatus>,
    /// Nodes that did not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Unreachable>,
}

/// How far a node is with shedding its excess.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceStatus {
    /// The node.
    pub instance_id: NodeId,
    /// Its open streams now.
    pub connections: u64,
    /// Streams of a ready node on average, rounded up, when it began; 0 where nothing was begun.
    pub mean: u64,
    /// Streams that were told to go when it began.
    pub shed: u64,
    /// Those of them that are still open.
    pub remaining: u64,
    /// Until the last goodbye, milliseconds.
    pub ends_in_ms: u64,
    /// Why nothing was begun, where it could not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
