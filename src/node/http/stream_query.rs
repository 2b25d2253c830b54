//! What a request for a stream says: its query, its cursor, and whether it asks for a stream at all. Pure. Read
//! [`StreamQuery`] first.

use http::{HeaderMap, header};

use super::error::ApiError;
use super::query::{FromQuery, set};
use crate::protocol::{ClientId, Position, Resume, Topic, UserId};

/// The query of a stream request.
#[derive(Debug, Default)]
pub(crate) struct StreamQuery {
    pub(super) client_id: Option<ClientId>,
    pub(super) user_id: Option<UserId>,
    pub(super) topics: Vec<Topic>,
    pub(super) cursors: Vec<String>,
    pub(super) heartbeat: Option<String>,
    pub(super) ack: Option<String>,
    pub(super) format: Option<String>,
}

impl FromQuery for StreamQuery {
    /// Clients spell the cursor in three ways. Polyfills send padding, which is not needed.
    const NAMES: &'static [&'static str] = &[
        "clientId",
        "userId",
        "topics",
        "lastEventId",
        "lastEventID",
        "last_event_id",
        "heartbeat",
        "ack",
        "format",
        "padding",
    ];

    fn take(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        match name {
            "clientId" => set(&mut self.client_id, name, value),
            "userId" => set(&mut self.user_id, name, value),
            "topics" => {
                let names = value.split(',').filter(|topic| !topic.is_empty()).map(Topic::parse);
                let topics = names.collect::<Result<Vec<_>, _>>();
                self.topics.extend(topics.map_err(|error| ApiError::Invalid(error.to_string()))?);
                Ok(())
            }
            "heartbeat" => set(&mut self.heartbeat, name, value),
            "ack" => set(&mut self.ack, name, value),
            "format" => set(&mut self.format, name, value),
            "padding" => Ok(()),
            _ => {
                self.cursors.push(value.to_owned());
                Ok(())
            }
        }
    }
}

/// Whether the client asks for a stream and for nothing else: `EventSource` does, an image does not.
pub(super) fn accepts_events(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = fields.flat_map(|field| field.split(',')).filter_map(|part| part.split(';').next());
    types.any(|name| name.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// The cursor of `Last-Event-ID`, else of `X-Last-Event-ID`, else of the query. A page that was opened with a cursor
/// in its query reconnects with the old query and a newer header, so a non-empty header takes precedence. Of several at
/// one place the newest counts: others were left over by whoever added it.
pub(super) fn requested_cursor(headers: &HeaderMap, in_query: Vec<String>) -> Option<String> {
    let from_header = |name: &str| {
        let values =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        values.collect()
    };
    [from_header("last-event-id"), from_header("x-last-event-id"), in_query].into_iter().find_map(newest)
}

fn newest(cursors: Vec<String>) -> Option<String> {
    cursors.into_iter().filter(|text| !text.is_empty()).max_by_key(|text| match Resume::parse(text) {
        Resume::After(cursor) => (2, cursor.position),
        Resume::Earliest => (1, Position::ZERO),
        Resume::Live | Resume::Malformed(_) => (0, Position::ZERO),
    })
}
