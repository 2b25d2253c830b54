//! The receivers of an event. An address stands in the log beside the event, so that a node can route without parsing
//! the payload.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::name::{ClientId, InvalidName, NodeId, Topic, UserId};

/// The receivers of an event. Text form: `all`, `topic:T`, `user:U`, `client:C`, `node:N`, `node:N/client:C`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Address {
    /// Every connection of the cluster.
    All,
    /// Every connection that subscribed to the topic.
    Topic(Topic),
    /// Every connection of the user.
    User(UserId),
    /// Every connection of the client, on any node.
    Client(ClientId),
    /// Every connection of one node.
    Node(NodeId),
    /// The connections that a client has on one node.
    NodeClient(NodeId, ClientId),
}

/// Why a text is not an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// The part before the colon is not one of the kinds.
    #[error(
        "address {0:?} is not valid; allowed are all, topic:T, user:U, client:C, node:N and node:N/client:C"
    )]
    Kind(String),
    /// The part behind the colon is not a name.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl Address {
    /// Whether a mailbox can be kept for this address: only one user or one client can be away as a whole.
    #[must_use]
    pub fn has_mailbox(&self) -> bool {
        match self {
            Self::User(_) | Self::Client(_) => true,
            Self::All | Self::Topic(_) | Self::Node(_) | Self::NodeClient(..) => false,
        }
    }

    /// Checks its names as those that somebody gives now; one that was read may hold others.
    ///
    /// # Errors
    /// [`InvalidName`] says which rule a name breaks.
    pub fn check_new(&self) -> Result<(), InvalidName> {
        match self {
            Self::All => Ok(()),
            Self::Topic(topic) => topic.check_new(),
            Self::User(user) => user.check_new(),
            Self::Client(client) => client.check_new(),
            Self::Node(node) => node.check_new(),
            Self::NodeClient(node, client) => node.check_new().and_then(|()| client.check_new()),
        }
    }

    /// The default event type for this address, as the systems that this one descends from name it.
    #[must_use]
    pub fn default_type(&self) -> &'static str {
        match self {
            Self::All | Self::Topic(_) => "MESSAGE",
            Self::User(_) | Self::Client(_) => "DIRECT",
            Self::Node(_) => "SERVER_MESSAGE",
            Self::NodeClient(..) => "CLIENT_ON_SERVER",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Topic(topic) => write!(f, "topic:{topic}"),
            Self::User(user) => write!(f, "user:{user}"),
            Self::Client(client) => write!(f, "client:{client}"),
            Self::Node(node) => write!(f, "node:{node}"),
            Self::NodeClient(node, client) => write!(f, "node:{node}/client:{client}"),
        }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    /// Also takes the names of earlier versions: it reads the log.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Self::All);
        }
        let unknown = || InvalidAddress::Kind(text.chars().take(80).collect());
        let (kind, name) = text.split_once(':').ok_or_else(unknown)?;
        Ok(match kind {
            "topic" => Self::Topic(Topic::stored(name)?),
            "user" => Self::User(UserId::stored(name)?),
            "client" => Self::Client(ClientId::stored(name)?),
            "node" => match name.split_once("/client:") {
                Some((node, client)) => Self::NodeClient(NodeId::stored(node)?, ClientId::stored(client)?),
                None => Self::Node(NodeId::stored(name)?),
            },
            _ => return Err(unknown()),
        })
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str) {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.to_string(), text);
    }

    #[test]
    fn text_form_round_trips() {
        check("all");
        check("topic:orders: new");
        check("user:u-1");
        check("client:c");
        check("node:backend-1");
        check("node:backend-1/client:c");
    }

    #[test]
    fn an_address_of_an_earlier_version_is_read_but_takes_nothing_new() {
        for text in ["topic:..", "user:.", "client:\u{fffd}", "node:..", "node:a/client:.."] {
            check(text);
            assert!(text.parse::<Address>().unwrap().check_new().is_err(), "{text}");
        }
        for text in ["all", "topic:...", "node:a/client:b"] {
            assert_eq!(text.parse::<Address>().unwrap().check_new(), Ok(()), "{text}");
        }
    }

    #[test]
    fn unknown_kinds_and_bad_names_are_refused() {
        assert!(matches!("everyone".parse::<Address>(), Err(InvalidAddress::Kind(_))));
        assert!(matches!("topic:".parse::<Address>(), Err(InvalidAddress::Name(_))));
        assert!(matches!("node:a/b".parse::<Address>(), Err(InvalidAddress::Name(_))));
    }
}
