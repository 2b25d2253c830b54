//! Anomalies that one client saw by itself: how often, and the first of them.

use serde::{Deserialize, Serialize};

use crate::bench::metrics::time::RunTime;
use crate::bench::stamp::Stamp;

/// Examples that one client keeps of each kind of anomaly.
const EXAMPLES_MAX: usize = 4;

/// How often, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench::verdict::ledger) struct Sightings {
    pub(in crate::bench::verdict::ledger) count: u64,
    pub(in crate::bench::verdict::ledger) first: Vec<Occurrence>,
}

/// An event at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench::verdict::ledger) struct Occurrence {
    pub(in crate::bench::verdict::ledger) at: RunTime,
    /// `None`: nothing that a run published.
    pub(in crate::bench::verdict::ledger) stamp: Option<Stamp>,
}

impl Sightings {
    pub(super) fn add(&mut self, sighting: Occurrence) {
        self.count += 1;
        if self.first.len() < EXAMPLES_MAX {
            self.first.push(sighting);
        }
    }
}
