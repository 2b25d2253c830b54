//! tags

use serde::{Deserialize, Serialize};

use crate::bench::ids::{GroupId, PhaseId, PublisherId};

/// How an event reached the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// It was first sent while the session was open, however late that was.
    Live,
    /// It was first sent before the session was confirmed: the server read it again for this client.
    Replay,
}

/// What a measurement is told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tags {
    /// When. A delivery belongs to the phase in which it was due.
    pub phase: PhaseId,
    /// Who.
    pub source: Source,
    /// How the event came, for latencies of deliveries.
    pub path: Option<Path>,
}

/// Who measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A group of clients; the tag `group`.
    Group(GroupId),
    /// A publisher; the tag `publisher`.
    Publisher(PublisherId),
    /// The bench itself: the process that publishes, and that has the clients where there are no workers.
    Bench,
    /// One of its workers, from 0 on.
    Worker(u16),
}
