//! Kinds of links, and what a fault can do to a link that passes the fault proxy. Read [`LinkKind`] first.

use std::fmt;

use super::toxic::{Stream, ToxicKind};

/// A kind of link. Each node has one link of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkKind {
    /// From clients and publishers, or from the load balancer in front of the nodes, to a node.
    ClientNode,
    /// From a node to the Redis that the nodes share.
    NodeRedis,
}

impl LinkKind {
    /// Names as in scenarios.
    pub const WORDS: [(&'static str, Self); 2] =
        [("client->node", Self::ClientNode), ("node->redis", Self::NodeRedis)];
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientNode => "client->node",
            Self::NodeRedis => "node->redis",
        })
    }
}

/// What a fault does to a link.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkEffect {
    /// A toxic on its connections; healed by removing the toxic.
    Toxic {
        kind: ToxicKind,
        /// Directions that the toxic affects.
        stream: Stream,
        /// Share of the connections that are affected, 0 to 1.
        toxicity: f64,
    },
    /// Its connections are closed and new ones refused; healed by listening again.
    Down,
}

impl fmt::Display for LinkEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // As the type of the fault is written.
            Self::Toxic { kind: ToxicKind::HalfOpen, .. } => f.write_str("half-open"),
            Self::Toxic { kind, .. } => f.write_str(kind.name()),
            Self::Down => f.write_str("down"),
        }
    }
}
