//! Anomalies that one client saw by itself: how often, and the first of them.

use serde::{Deserialize, Serialize};

use crate::bench::clock::RunTime;
use crate::bench::payload::Stamp;

/// Examples that one client keeps of each kind of anomaly.
const EXAMPLES_MAX: usize = 4;

/// How often, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench::ledger) struct Sightings {
    pub(in crate::bench::ledger) count: u64,
    pub(in crate::bench::ledger) first: Vec<Sighting>,
}

/// An event at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench::ledger) struct Sighting {
    pub(in crate::bench::ledger) at: RunTime,
    /// `None`: nothing that a run published.
    pub(in crate::bench::ledger) stamp: Option<Stamp>,
}

impl Sightings {
    pub(super) fn add(&mut self, sighting: Sighting) {
        self.count += 1;
        if self.first.len() < EXAMPLES_MAX {
            self.first.push(sighting);
        }
    }
}
