//! The log and the mailboxes as JSON. Read [`LogEvent`] first.

use serde::{Deserialize, Serialize};

use super::{GapEvent, Unreachable};
use crate::protocol::{Address, Envelope, EventId, MessageId, NodeId};

/// One event of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LogEvent {
    /// Position in the log.
    pub id: EventId,
    /// Whom the event is for.
    pub address: Address,
    /// The event as connections see it.
    pub envelope: Envelope,
}

/// `GET /api/sse/users/{user}/pending`: a mailbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// The owner of the mailbox.
    pub address: Address,
    /// Messages that wait for confirmation, oldest first.
    pub messages: Vec<LogEvent>,
    /// Messages that were dropped because the mailbox was full or they were too old, as long as the owner has not
    /// confirmed the `GAP` event about them.
    pub overflowed: u64,
    /// Give this as `after` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<EventId>,
}

/// `GET /api/sse/history`: a page of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// The present history of the log: the first part of every event id.
    pub epoch: String,
    /// Everything after this position is kept.
    pub oldest: EventId,
    /// Position of the newest event of the log.
    pub newest: EventId,
    /// Present when events after the given cursor are missing; the page then starts at a later one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gap: Option<GapEvent>,
    /// The events, oldest first. With `topic`, a page of the log without the other events: it may be short, or empty.
    pub events: Vec<LogEvent>,
    /// Give this as `after` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<EventId>,
}

/// `GET /api/sse/events/{id}`: the way of one event to its receivers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventLedger {
    /// Position in the log.
    pub id: EventId,
    /// The message's identity.
    pub message_id: MessageId,
    /// Whom the event is for.
    pub address: Address,
    /// When the publishing node took it, RFC 3339 in UTC with milliseconds.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    pub accepted_at: String,
    /// How many connections each node wrote it to. A node whose window no longer holds the event is missing here.
    pub written: Vec<WrittenBy>,
    /// Clients that confirmed it, as far as the windows of the nodes reach back.
    pub confirmed: u64,
    /// Nodes that did not answer and are missing in `written` and `confirmed`; absent when all answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Unreachable>,
}

/// One node's part of an [`EventLedger`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WrittenBy {
    /// Value of the node's `--id` flag.
    pub instance_id: NodeId,
    /// Connections that it wrote the event to.
    pub connections: u64,
}
