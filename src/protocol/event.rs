//! The parts of an event: its type, the identity of its message, and the envelope with the payload.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Longest event type in bytes.
pub const EVENT_TYPE_MAX_BYTES: usize = 64;
/// Longest message id in bytes.
pub const MESSAGE_ID_MAX_BYTES: usize = 128;

/// Types of the events that a node itself sends.
pub mod control {
    /// First event of every stream.
    pub const CONNECTION: &str = "CONNECTION";
    /// Events could not be replayed.
    pub const GAP: &str = "GAP";
    /// The history was rolled back and repaired.
    pub const SYNC: &str = "SYNC";
    /// Only moves the client's cursor.
    pub const CURSOR: &str = "CURSOR";
    /// The node ends the stream.
    pub const CLOSE: &str = "CLOSE";
    /// Sent when the client asked for `heartbeat=event`.
    pub const HEARTBEAT: &str = "HEARTBEAT";
    /// With `format=data`, an event that comes in its envelope. Publishers may use it, too: what they send then does.
    pub const ENVELOPE: &str = "ENVELOPE";
    /// All of them; a publisher may use none of these.
    pub const ALL: [&str; 6] = [CONNECTION, GAP, SYNC, CURSOR, CLOSE, HEARTBEAT];
}

/// What an event type is, as a regular expression. It leaves out [`NOT_EVENT_TYPES`], and that the length counts bytes.
#[cfg(test)]
const EVENT_TYPE_PATTERN: &str = r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$";
#[cfg(test)]
const NOT_EVENT_TYPES: [&str; 8] = {
    let [a, b, c, d, e, f] = control::ALL;
    ["open", "error", a, b, c, d, e, f]
};

/// The `event:` of an event. Never empty, never `open` or `error`, which collide with what a browser's
/// EventSource fires by itself (HTML standard 9.2.2), without CR, LF and NUL, without blanks at the ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(extend("maxLength" = EVENT_TYPE_MAX_BYTES, "pattern" = EVENT_TYPE_PATTERN, "not" = { "enum": NOT_EVENT_TYPES })))]
pub struct EventType(Arc<str>);

/// Why a text cannot be an event type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event type {value:?} is not valid: {why}; allowed are 1 to {EVENT_TYPE_MAX_BYTES} bytes without control characters, and not open, error, or a type that a node itself sends ({})", control::ALL.join(", "))]
pub struct InvalidEventType {
    value: String,
    why: &'static str,
}

impl EventType {
    /// A type that a publisher chose.
    ///
    /// # Errors
    /// [`InvalidEventType`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidEventType> {
        let why = if text.is_empty() {
            "it is empty"
        } else if text.len() > EVENT_TYPE_MAX_BYTES {
            "it is too long"
        } else if text.chars().any(char::is_control) {
            "it holds a control character"
        } else if text.trim() != text {
            "it starts or ends with a blank"
        } else if matches!(text, "open" | "error") {
            "a browser fires events of that name itself"
        } else if control::ALL.contains(&text) {
            "only a node sends it"
        } else {
            return Ok(Self(Arc::from(text)));
        };
        Err(InvalidEventType { value: text.chars().take(40).collect(), why })
    }

    /// The type [`control::ENVELOPE`].
    #[must_use]
    pub fn envelope() -> Self {
        Self(Arc::from(control::ENVELOPE))
    }

    /// The text behind `event:`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EventType {
    type Error = InvalidEventType;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<EventType> for String {
    fn from(event_type: EventType) -> Self {
        event_type.0.as_ref().to_owned()
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message's own identity: the publisher's key, or a ULID. It stays the same wherever and however often the
/// message appears, so clients de-duplicate by it, and a repeated publish is recognised by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(extend("maxLength" = MESSAGE_ID_MAX_BYTES, "pattern" = "^[ -~]+$")))]
pub struct MessageId(Arc<str>);

/// Why a text cannot be a message id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message id {0:?} is not valid; allowed are 1 to {MESSAGE_ID_MAX_BYTES} printable ASCII characters")]
pub struct InvalidMessageId(String);

impl MessageId {
    /// A publisher's own key.
    ///
    /// # Errors
    /// [`InvalidMessageId`] when it is empty, too long or not printable ASCII.
    pub fn parse(text: &str) -> Result<Self, InvalidMessageId> {
        let allowed = !text.is_empty()
            && text.len() <= MESSAGE_ID_MAX_BYTES
            && text.bytes().all(|b| (0x20..0x7f).contains(&b));
        if allowed {
            Ok(Self(Arc::from(text)))
        } else {
            Err(InvalidMessageId(text.chars().take(40).collect()))
        }
    }

    /// The id as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MessageId {
    type Error = InvalidMessageId;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<MessageId> for String {
    fn from(id: MessageId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The content of `data:` of every published event, as JSON. The payload is kept as the publisher wrote it (numbers
/// keep their digits, keys their order).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Envelope {
    /// The message's own identity.
    pub id: MessageId,
    /// The event type, equal to `event:`.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// The payload: any JSON value.
    #[cfg_attr(test, schemars(with = "serde_json::Value"))]
    pub data: Box<RawValue>,
    /// When the publishing node took the message, RFC 3339 in UTC with milliseconds.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    pub timestamp: String,
    /// The publisher: the id of a node, or the name of a publisher without a node.
    pub source: String,
    /// Whatever the publisher wants to say about the message; a JSON object, or null.
    #[cfg_attr(test, schemars(with = "serde_json::Value"))]
    pub metadata: Box<RawValue>,
}

/// What a node must know of an envelope that is on its way: a look that allocates nothing and copies nothing.
#[derive(Debug, Deserialize)]
pub struct Skimmed<'a> {
    /// The payload, as it was written.
    #[serde(borrow)]
    pub data: &'a RawValue,
    /// When the publishing node took the message; empty if nobody says.
    #[serde(borrow, default)]
    pub timestamp: Cow<'a, str>,
}

impl<'a> Skimmed<'a> {
    /// `None`: the text is no envelope.
    #[must_use]
    pub fn of(envelope: &'a str) -> Option<Self> {
        serde_json::from_str(envelope).ok()
    }

    /// The envelope that it was read from in three parts, with the payload in the middle.
    pub(super) fn around_payload(&self, envelope: &'a str) -> Option<[&'a str; 3]> {
        let payload = self.data.get();
        let begin = payload.as_ptr().addr().checked_sub(envelope.as_ptr().addr())?;
        let (before, rest) = envelope.split_at_checked(begin)?;
        let (payload, behind) = rest.split_at_checked(payload.len())?;
        Some([before, payload, behind])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_says_what_types_and_message_ids_are() {
        let types = jsonschema::validator_for(&schemars::schema_for!(EventType).to_value()).unwrap();
        for text in [
            "a",
            "a b",
            "order.created",
            "",
            " a",
            "a ",
            "a\u{a0}",
            "a\nb",
            "a\u{85}b",
            "open",
            "GAP",
            "ENVELOPE",
            "é",
        ] {
            assert_eq!(types.is_valid(&text.into()), EventType::parse(text).is_ok(), "{text:?}");
        }
        let ids = jsonschema::validator_for(&schemars::schema_for!(MessageId).to_value()).unwrap();
        for text in ["a", " a ", "", "é", "a\n", "~", "\u{7f}"] {
            assert_eq!(ids.is_valid(&text.into()), MessageId::parse(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn types_that_would_confuse_a_browser_or_forge_a_field_are_refused() {
        for text in ["", "open", "error", "GAP", "CONNECTION", "a\nb", "a\rb", "a\0", " a", &"x".repeat(65)] {
            assert!(EventType::parse(text).is_err(), "{text:?}");
        }
        for text in ["MESSAGE", "message", "order created", "größe"] {
            assert!(EventType::parse(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn an_envelope_keeps_the_payload_as_it_was_written() {
        let text = r#"{"id":"m1","type":"MESSAGE","data":{"b":1.10,"a":12345678901234567890},"timestamp":"t","source":"n1","metadata":null}"#;
        let envelope: Envelope = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&envelope).unwrap(), text);
    }
}
