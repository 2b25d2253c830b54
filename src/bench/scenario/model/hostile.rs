//! Clients that mean harm. Nothing that they get is judged. Read [`HostileGroup`] first.

use std::time::Duration;

/// Hostile clients with the same behaviour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostileGroup {
    pub name: String,
    pub behavior: Behavior,
    /// Connections at once. One that the server ends is opened again.
    pub clients: u32,
    /// Since the start of the run.
    pub at: Duration,
    pub until: Duration,
    /// Wait before an ended connection is opened again.
    pub every: Duration,
    /// Path and query that they ask for.
    pub path: String,
    /// Indices of the nodes to connect to, from 0; empty: all.
    pub nodes: Vec<u16>,
}

/// What hostile clients do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behavior {
    /// Connects, and says nothing.
    Silent,
    /// Sends the head of a request one byte a second.
    SlowHead,
    /// Sends the body of a publish one byte a second.
    SlowBody,
    /// Sends header fields without end.
    EndlessHead,
    /// Sends random bytes.
    Garbage,
    /// Opens a stream, and sends bytes into it as fast as it can.
    Flood,
    /// Opens a stream, and reads nothing.
    UnreadStream,
    /// Asks for the same page again and again, and reads nothing.
    UnreadPages,
    /// Opens a stream and closes it at once.
    OpenAndClose,
}

impl Behavior {
    /// In the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Silent,
        Self::SlowHead,
        Self::SlowBody,
        Self::EndlessHead,
        Self::Garbage,
        Self::Flood,
        Self::UnreadStream,
        Self::UnreadPages,
        Self::OpenAndClose,
    ];

    /// As in scenarios.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::SlowHead => "slow-head",
            Self::SlowBody => "slow-body",
            Self::EndlessHead => "endless-head",
            Self::Garbage => "garbage",
            Self::Flood => "flood",
            Self::UnreadStream => "unread-stream",
            Self::UnreadPages => "unread-pages",
            Self::OpenAndClose => "open-and-close",
        }
    }

    /// What `sse-node` answers with the most work.
    #[must_use]
    pub fn default_path(self) -> &'static str {
        match self {
            Self::Silent
            | Self::SlowHead
            | Self::EndlessHead
            | Self::Garbage
            | Self::Flood
            | Self::UnreadStream
            | Self::OpenAndClose => "/api/sse/stream",
            Self::SlowBody => "/api/sse/broadcast",
            Self::UnreadPages => "/api/sse/history?limit=1000",
        }
    }
}
