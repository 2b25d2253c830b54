//! Which nodes are alive. A node says so again and again ([`super::Broker::beat`]); whoever is silent for longer than
//! [`ALIVE_FOR`] is gone, by the clock of the broker and nobody else's. A broker does not look into what a node says of
//! itself. Read [`Alive`] first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A node that was silent for this long is gone.
pub const ALIVE_FOR: Duration = Duration::from_secs(10);
/// How often a node says that it is alive: four beats may be lost.
pub const BEAT_EVERY: Duration = Duration::from_secs(2);

/// A node that was heard of within [`ALIVE_FOR`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alive {
    /// One life of a node: a restart has another one. Starts with the time, so that it sorts by age.
    pub incarnation: Arc<str>,
    /// What the node says of itself, as it said it: JSON.
    pub record: Arc<str>,
    /// How long ago that was.
    pub age: Duration,
}

/// A roster in this process: for a log that has one node.
#[derive(Debug, Default)]
pub(super) struct LocalRoster {
    nodes: BTreeMap<Arc<str>, (Arc<str>, Instant)>,
}

impl LocalRoster {
    pub(super) fn beat(&mut self, incarnation: &Arc<str>, record: &Arc<str>, now: Instant) {
        self.nodes.insert(Arc::clone(incarnation), (Arc::clone(record), now));
    }

    pub(super) fn leave(&mut self, incarnation: &str) {
        self.nodes.remove(incarnation);
    }

    pub(super) fn alive(&mut self, now: Instant) -> Vec<Alive> {
        self.nodes.retain(|_, (_, heard)| now.saturating_duration_since(*heard) < ALIVE_FOR);
        let alive = self.nodes.iter().map(|(incarnation, (record, heard))| Alive {
            incarnation: Arc::clone(incarnation),
            record: Arc::clone(record),
            age: now.saturating_duration_since(*heard),
        });
        alive.collect()
    }
}
