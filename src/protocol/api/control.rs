//! The `data:` of events that a node itself sends: how a stream begins, what it could not replay, why it ends. Read
//! [`ConnectionEvent`] first.

use serde::{Deserialize, Serialize};

use crate::protocol::{ClientId, ConnectionId, EventId, Format, NodeId};

/// How a stream began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Resumed {
    /// Without a cursor: from now on.
    Live,
    /// Everything after the cursor follows.
    Replayed,
    /// Events after the cursor are missing; a `GAP` event says why.
    Gap,
}

/// `data:` of a `CONNECTION` event, the first one of every stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConnectionEvent {
    /// Id of this stream.
    pub connection_id: ConnectionId,
    /// The client as it named itself, or a ULID that the node made for it.
    pub client_id: ClientId,
    /// The node that serves the stream.
    pub instance_id: NodeId,
    /// The node's name for people.
    pub instance_name: String,
    /// The node's clock, milliseconds since 1970.
    pub server_time: u64,
    /// The value of `retry:`, milliseconds.
    pub reconnect_time: u32,
    /// Name of the service, `sse-node`.
    pub name: String,
    /// Whether several nodes can share the log.
    pub enable_cluster: bool,
    /// Version of the node.
    pub version: String,
    /// How the stream began.
    pub resumed: Resumed,
    /// What `data:` of published events is in this stream. Nodes before this version sent `envelope` only, and did not say it.
    #[serde(default)]
    pub format: Format,
    /// A sentence for people.
    pub message: String,
}

/// Why events cannot be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum GapReason {
    /// The log no longer keeps the events after the cursor.
    Trimmed,
    /// The cursor belongs to another history.
    Epoch,
    /// The log lost its tail, and with it the cursor's event.
    Rollback,
    /// A mailbox was full, or messages in it were too old, and it dropped its oldest messages.
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

/// `data:` of a `GAP` event: the client has missed events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GapEvent {
    /// Why the events cannot be replayed.
    pub reason: GapReason,
    /// The cursor as the client gave it; absent with `overflow`, which concerns no cursor.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requested: Option<String>,
    /// Everything after this position is kept; absent with `overflow`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oldest: Option<EventId>,
    /// Newest position of the log; absent with `overflow` and in a page of the history.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub newest: Option<EventId>,
    /// Number of missing events; absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub missed: Option<u64>,
}

impl GapEvent {
    /// So many messages were dropped from the mailboxes of a stream.
    #[must_use]
    pub fn overflow(missed: u64) -> Self {
        let reason = GapReason::Overflow;
        Self { reason, requested: None, oldest: None, newest: None, missed: Some(missed) }
    }
}

/// `data:` of a `SYNC` event: the log had lost events that the client has received, and has them again. The event has
/// no `id:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SyncEvent {
    /// The history that ended.
    pub old_epoch: String,
    /// The history that goes on.
    pub new_epoch: String,
    /// The client has everything of the old history up to this position.
    pub from: EventId,
    /// The rest of the old history ends at or before this position of the new one.
    pub to: EventId,
    /// Events that this node appended again; other nodes may have appended more.
    pub appended_again: u64,
}

/// `data:` of a `CLOSE` event: the node ends the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CloseEvent {
    /// Numbered as Centrifugo numbers its disconnects: 3001 shutdown, 3004 the log cannot be read, 3005 the token
    /// has ended, 3008 too slow, 3011 another node has room, 3013 too many requests, 3500 the
    /// token was revoked, 3503 ended by an operator, 3504
    /// connection limit, 4500 a newer stream of this client has taken over.
    pub code: u16,
    /// The code in words.
    pub reason: String,
    /// Whether the client should come back. False after 4500, since it would take over in turn, and after 3500.
    pub reconnect: bool,
    /// How long to wait before coming back, milliseconds; equal to the `retry:` of this event.
    pub retry_ms: u32,
}
