//! Which nodes are alive. A node reports itself every [`BEAT_EVERY`] ([`super::Broker::beat`]). A node that is silent
//! for longer than [`ALIVE_FOR`] is gone, by the clock of the broker alone. A broker does not parse the records of the
//! nodes. Read [`Alive`] first.

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
    /// The description of the node as it sent it: JSON.
    pub record: Arc<str>,
    /// Time since the node sent its last beat.
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
