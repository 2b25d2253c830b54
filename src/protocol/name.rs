//! Names that people and programs choose: topics, users, clients, nodes. One rule for all of them, checked once, in
//! `parse`; a value of these types needs no further check. `stored` takes what earlier versions let through as well.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name in bytes. Names travel in URLs, headers and log entries.
pub const NAME_MAX_BYTES: usize = 128;

/// What a name is, as a regular expression. It leaves out `.` and `..`, and that the length counts bytes.
#[cfg(test)]
const NAME_PATTERN: &str =
    r"^[^\s,/\x00-\x1f\x7f-\x9f\ufffd]([^,/\x00-\x1f\x7f-\x9f\ufffd]*[^\s,/\x00-\x1f\x7f-\x9f\ufffd])?$";

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: {}", self.reason())]
pub struct InvalidName {
    /// The kind of name: `topic`, `user id`, …
    pub what: &'static str,
    /// The given text, cut to a length that fits into a message.
    pub value: String,
    /// The rule that it breaks.
    pub why: &'static str,
}

impl InvalidName {
    /// The rule that the text breaks, and what is allowed, for a message that has the text already.
    #[must_use]
    pub fn reason(&self) -> String {
        format!(
            "{}; allowed are 1 to {NAME_MAX_BYTES} bytes of UTF-8 without control characters, ',' or '/', no blank at either end, and not . or ..",
            self.why
        )
    }
}

/// What every name of every version holds to.
fn check(what: &'static str, text: &str) -> Result<(), InvalidName> {
    let why = if text.is_empty() {
        "it is empty"
    } else if text.len() > NAME_MAX_BYTES {
        "it is too long"
    } else if text.chars().any(char::is_control) {
        "it holds a control character"
    } else if text.contains([',', '/']) {
        // A comma separates topics in `?topics=a,b`, a slash separates segments of a path.
        "it holds ',' or '/'"
    } else if text.trim() != text {
        "it starts or ends with a blank"
    } else {
        return Ok(());
    };
    Err(invalid(what, text, why))
}

/// What a name must hold to as well, so that a URL can name it and no other has the same.
fn check_new(what: &'static str, text: &str) -> Result<(), InvalidName> {
    if matches!(text, "." | "..") {
        // RFC 3986, 5.2.4, and the URL standard: clients and proxies take such a segment out of a path, also as %2e.
        return Err(invalid(what, text, "no path can hold it"));
    }
    if text.contains(char::REPLACEMENT_CHARACTER) {
        // What bytes that are not UTF-8 are decoded to: %ff and %fe would be one client.
        return Err(invalid(what, text, "it holds U+FFFD, which stands for bytes that are not UTF-8"));
    }
    Ok(())
}

fn invalid(what: &'static str, text: &str, why: &'static str) -> InvalidName {
    InvalidName { what, value: text.chars().take(40).collect(), why }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(test, derive(schemars::JsonSchema), schemars(extend("maxLength" = NAME_MAX_BYTES, "pattern" = NAME_PATTERN, "not" = { "enum": [".", ".."] })))]
        pub struct $type(Arc<str>);

        impl $type {
            /// The way in for a name that somebody gives now.
            ///
            /// # Errors
            /// [`InvalidName`] says which rule the text breaks.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                check_new($what, text)?;
                Self::stored(text)
            }

            /// A name that was given earlier, maybe to an earlier version: it stands in a log, or in an answer of a node.
            ///
            /// # Errors
            /// [`InvalidName`] says which rule the text breaks.
            pub fn stored(text: &str) -> Result<Self, InvalidName> {
                check($what, text)?;
                Ok(Self(Arc::from(text)))
            }

            /// Checks what [`Self::stored`] leaves out.
            ///
            /// # Errors
            /// [`InvalidName`] says which rule the name breaks.
            pub fn check_new(&self) -> Result<(), InvalidName> {
                check_new($what, &self.0)
            }

            /// The name as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::stored(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name!(
    /// A named group of receivers.
    Topic,
    "topic"
);
name!(
    /// A person or account; may have many connections.
    UserId,
    "user id"
);
name!(
    /// One client program; normally one connection at a time.
    ClientId,
    "client id"
);
name!(
    /// A node of the cluster, as `--id` names it.
    NodeId,
    "node id"
);
name!(
    /// One stream on one node. Made by the node, never by a client.
    ConnectionId,
    "connection id"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_topic(text: &str, allowed: bool) {
        assert_eq!(Topic::parse(text).is_ok(), allowed, "{text:?}");
    }

    #[test]
    fn names_are_checked_once_at_the_door() {
        check_topic("orders", true);
        check_topic("orders 2026 für alle", true);
        check_topic("", false);
        check_topic(" orders", false);
        check_topic("a,b", false);
        check_topic("a/b", false);
        check_topic("a\nid: 1", false);
        check_topic("a\0", false);
        check_topic(".", false);
        check_topic("..", false);
        check_topic("...", true);
        check_topic("a.", true);
        check_topic("a\u{fffd}", false);
        check_topic(&"x".repeat(NAME_MAX_BYTES), true);
        check_topic(&"x".repeat(NAME_MAX_BYTES + 1), false);
    }

    #[test]
    fn the_description_says_what_names_are() {
        let schema = jsonschema::validator_for(&schemars::schema_for!(Topic).to_value()).unwrap();
        for text in [
            "a",
            "é",
            "a b",
            "a.b",
            "...",
            "a:1",
            "",
            ".",
            "..",
            " a",
            "a ",
            "a\u{a0}",
            "a,b",
            "a/b",
            "/",
            ",",
            "a\n",
            "\u{84}",
            "a\u{7f}b",
            "a\u{fffd}b",
        ] {
            assert_eq!(schema.is_valid(&text.into()), Topic::parse(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_name_that_an_earlier_version_took_can_be_read() {
        for text in [".", "..", "\u{fffd}"] {
            let topic = Topic::stored(text).unwrap();
            assert_eq!(serde_json::from_str::<Topic>(&serde_json::to_string(text).unwrap()).unwrap(), topic);
            assert_eq!(topic.check_new(), Err(Topic::parse(text).unwrap_err()));
        }
        assert!(Topic::stored("a/b").is_err());
    }

    #[test]
    fn an_error_names_the_kind_the_value_and_the_rule() {
        let text = UserId::parse("a,b").unwrap_err().to_string();
        assert!(text.contains("user id") && text.contains("a,b") && text.contains("','"), "{text}");
    }
}
