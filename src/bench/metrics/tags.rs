//! Tags of measurements: phase, source and path. Read [`Tags`] first.

use serde::{Deserialize, Serialize};

use crate::bench::ids::{GroupId, PhaseId, PublisherId};

/// How an event reached the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// It was first sent during the open session.
    Live,
    /// It was first sent before the session was confirmed: the server replayed it.
    Replay,
}

/// The tags of one measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tags {
    /// A delivery belongs to the phase of its due time.
    pub phase: PhaseId,
    pub source: Source,
    /// For latencies of deliveries; else `None`.
    pub path: Option<Path>,
}

/// The part of the bench that measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A group of clients; the tag `group`.
    Group(GroupId),
    /// A publisher; the tag `publisher`.
    Publisher(PublisherId),
    /// The process that publishes; without workers it has the clients too.
    Bench,
    /// A worker process, from 0.
    Worker(u16),
}
