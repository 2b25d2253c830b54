//! Bodies of publishing and of acknowledging. Read [`PublishRequest`] first.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Problem, object};
use crate::protocol::{Address, ClientId, EventId, EventType, MessageId, UserId};

/// Body of every publishing call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PublishRequest {
    /// Event type. Without it the address decides: `MESSAGE` to all and to topics, `DIRECT` to users and clients,
    /// `SERVER_MESSAGE` to a node, `CLIENT_ON_SERVER` to a client on one node.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<EventType>,
    /// The payload, any JSON value. It is delivered as it was written: numbers keep their digits, keys their order.
    #[cfg_attr(test, schemars(with = "serde_json::Value"))]
    pub data: Box<RawValue>,
    /// About the payload, any JSON value; `null` without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<serde_json::Value>"))]
    pub metadata: Option<Box<RawValue>>,
    /// The message's identity; the node makes one without it. A second publish with the same id within the
    /// idempotency window makes no second event and gets the first answer again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<MessageId>,
    /// 0 (the default): delivered to connections that are open, or that come back within what the log keeps.
    /// 1: also kept in the mailbox of the user or client until confirmed; other addresses have no mailbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("enum" = [0, 1], "default" = 0)))]
    pub qos: Option<u8>,
}

/// Answer to a publish, status 202: the log has the event.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// Position in the log, equal to the `id:` that connections see.
    pub id: EventId,
    /// The message's identity, equal to the envelope's `id`.
    pub message_id: MessageId,
    /// The history that the position belongs to.
    pub epoch: String,
    /// The log had the message already, at `id`.
    pub duplicate: bool,
}

/// One event of `POST /api/sse/batch`. The body is an array of up to 1,000 of them, or has one in each line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BatchEvent {
    /// Receivers: `all`, `topic:T`, `user:U`, `client:C`, `node:N` or `node:N/client:C`.
    pub to: Address,
    /// What they receive.
    #[serde(deserialize_with = "object")]
    #[cfg_attr(test, schemars(with = "PublishRequest"))]
    pub event: PublishRequest,
}

/// Answer to a batch, status 200.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BatchAnswer {
    /// One answer for each event, in the order of the body.
    pub answers: Vec<BatchOutcome>,
}

/// What became of one event of a batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum BatchOutcome {
    /// The log has the event.
    Ok(Published),
    /// The log does not have it, and why.
    Refused(Problem),
    /// The log may or may not have it: publish it again with the same id.
    Unknown(Problem),
}

/// Body of `POST /api/sse/ack`: *I have everything up to `id`*. At least one of `clientId` and `userId` says whose
/// mailbox is meant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("anyOf" = [{ "required": ["clientId"] }, { "required": ["userId"] }])))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AckRequest {
    /// Confirms messages in the mailbox of this client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    /// Confirms messages in the mailbox of this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Everything up to this position is confirmed. A position beyond the newest event is refused.
    pub id: EventId,
}

/// Answer to `POST /api/sse/ack`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Acked {
    /// Mailbox messages that this call confirmed.
    pub confirmed: u64,
}
