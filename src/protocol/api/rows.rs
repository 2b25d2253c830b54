//! What a filter can ask of a connection: one vocabulary for the node that filters and the console that shows the list.

use super::ConnectionRow;
use crate::protocol::Fields;

/// A connection at the moment at which it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionAt<'a> {
    /// The connection.
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
