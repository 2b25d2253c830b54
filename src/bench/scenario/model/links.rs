//! What a scenario says of links: which of them pass the fault proxy, and what is done to them.

use std::fmt;

use super::faults::Target;
use super::toxic::{Stream, ToxicKind};

/// A kind of link; each node has one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkKind {
    /// From clients and publishers, or from the balancer in front of the nodes, to a node.
    ClientNode,
    /// From a node to the Redis that the nodes share.
    NodeRedis,
}

impl LinkKind {
    /// The words, as in scenarios.
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

/// What is done to links.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkFault {
    /// To which kind.
    pub link: LinkKind,
    /// What.
    pub effect: LinkEffect,
    /// To those of which nodes.
    pub target: Target,
}

/// What is done to a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LinkEffect {
    /// A toxic on its connections; healed by taking it away.
    Toxic {
        /// What it does.
        kind: ToxicKind,
        /// In which direction.
        stream: Stream,
        /// Share of the connections that it meets.
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
