//! Parts of a run that metrics are told apart by: warm-up, steady, each fault, recovery after it, and the drain.

use std::time::Duration;

use crate::bench::clock::RunTime;

/// A phase: index into [`Phases::names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhaseId(pub u16);

/// Which phase it is when, as planned: a worker can look it up without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phases {
    names: Vec<String>,
    /// From when on which phase; sorted, beginning at zero.
    edges: Vec<(RunTime, PhaseId)>,
}

impl Phases {
    /// Names, as in the tag `phase`: `warmup`, `steady`, `fault:<name>`, `recovery`, `drain`.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The phase at a time.
    #[must_use]
    pub fn at(&self, time: RunTime) -> PhaseId {
        let behind = self.edges.partition_point(|(from, _)| *from <= time);
        self.edges[behind.saturating_sub(1)].1
    }
}

/// For how long after a fault's heal it is still `recovery`.
pub const RECOVERY: Duration = Duration::from_secs(10);
