//! Names that people and programs choose: topics, users, clients, nodes. One rule for all of them, checked once, in
//! `parse`; a value of these types needs no further check.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name in bytes. Names travel in URLs, headers and log entries.
pub const NAME_MAX_BYTES: usize = 128;

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
            "{}; allowed are 1 to {NAME_MAX_BYTES} bytes without control characters, ',' or '/', and no blank at either end",
            self.why
        )
    }
}

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
    Err(InvalidName { what, value: text.chars().take(40).collect(), why })
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(test, derive(schemars::JsonSchema), schemars(extend("maxLength" = NAME_MAX_BYTES)))]
        pub struct $type(Arc<str>);

        impl $type {
            /// The only way in.
            ///
            /// # Errors
            /// [`InvalidName`] says which rule the text breaks.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                check($what, text)?;
                Ok(Self(Arc::from(text)))
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
                Self::parse(&text)
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
        check_topic(&"x".repeat(NAME_MAX_BYTES), true);
        check_topic(&"x".repeat(NAME_MAX_BYTES + 1), false);
    }

    #[test]
    fn an_error_names_the_kind_the_value_and_the_rule() {
        let text = UserId::parse("a,b").unwrap_err().to_string();
        assert!(text.contains("user id") && text.contains("a,b") && text.contains("','"), "{text}");
    }
}
