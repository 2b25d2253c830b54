//! Open streams as JSON, and the values that a filter can compare: one vocabulary for the node that filters and the
//! console that shows the list. Read [`ConnectionRow`] first.

use serde::{Deserialize, Serialize};

use super::Unreachable;
use crate::protocol::{ClientId, ConnectionId, EventId, Fields, NodeId, Topic, UserId};

/// One open stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConnectionRow {
    /// Id of this stream.
    pub connection_id: ConnectionId,
    /// The client as it named itself, or a ULID that the node made for it.
    pub client_id: ClientId,
    /// The user that the client named; absent without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user_id: Option<UserId>,
    /// Topics that the client subscribed to.
    pub topics: Vec<Topic>,
    /// The node that serves the stream.
    pub instance_id: NodeId,
    /// IP address of the peer: the client, or a proxy before it.
    pub remote: String,
    /// When the stream was opened, milliseconds since 1970.
    pub connected_at: u64,
    /// The stream has been sent everything up to this position.
    pub last_event_id: EventId,
    /// Events written to the socket.
    pub sent: u64,
    /// Bytes written to the socket.
    pub bytes: u64,
    /// Events of the log after `lastEventId`: an upper bound of the events that the stream still has to get.
    pub lag: u64,
    /// `closing`: the stream has an order to end. `slow`: a write waits for the client. `replaying`: the node reads the
    /// log for it. `live`: none of these.
    #[cfg_attr(test, schemars(extend("enum" = ["live", "replaying", "slow", "closing"])))]
    pub state: String,
}

/// `GET /api/sse/connections`: a page of the open streams.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// Number of this page, from 1.
    pub page: u64,
    /// Most rows of a page.
    pub limit: u64,
    /// The rows of this page.
    pub clients: Vec<ConnectionRow>,
    /// Nodes that did not answer and whose streams are missing here; absent when all answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Unreachable>,
}

/// A connection at a moment: its age depends on the clock.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionAt<'a> {
    pub row: &'a ConnectionRow,
    /// Milliseconds since 1970.
    pub now: u64,
}

impl Fields for ConnectionAt<'_> {
    const TEXTS: &'static [&'static str] = &["id", "client", "user", "topic", "node", "ip", "state"];
    /// `age` is in seconds.
    const NUMBERS: &'static [&'static str] = &["lag", "sent", "bytes", "age"];

    fn any_text(&self, key: Option<&str>, is_it: &mut dyn FnMut(&str) -> bool) -> bool {
        let row = self.row;
        let is_asked = |name: &str| key.is_none_or(|key| key == name);
        (is_asked("id") && is_it(row.connection_id.as_str()))
            || (is_asked("client") && is_it(row.client_id.as_str()))
            || (is_asked("user") && row.user_id.as_ref().is_some_and(|user| is_it(user.as_str())))
            || (is_asked("topic") && row.topics.iter().any(|topic| is_it(topic.as_str())))
            || (is_asked("ip") && is_it(&row.remote))
            || (is_asked("state") && is_it(&row.state))
            || (is_asked("node") && is_it(row.instance_id.as_str()))
    }

    fn number(&self, key: &str) -> Option<f64> {
        let row = self.row;
        Some(match key {
            "lag" => row.lag as f64,
            "sent" => row.sent as f64,
            "bytes" => row.bytes as f64,
            "age" => self.now.saturating_sub(row.connected_at) as f64 / 1e3,
            _ => return None,
        })
    }
}
