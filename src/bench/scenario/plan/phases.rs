//! Parts of a run, the tag `phase` of metrics: warm-up, steady, each fault, recovery after it, and the drain.
//! Read [`Phases`] first.

use std::time::Duration;

use super::faults::PlannedFault;
use crate::bench::ids::PhaseId;
use crate::bench::metrics::time::RunTime;

/// Length of the phase `recovery` after the heal of a fault.
pub const RECOVERY: Duration = Duration::from_secs(10);
/// Length of the phase of a momentary fault.
const SHORTEST_FAULT: Duration = Duration::from_secs(1);

const WARMUP: PhaseId = PhaseId(0);
const STEADY: PhaseId = PhaseId(1);
const RECOVERING: PhaseId = PhaseId(2);
const DRAIN: PhaseId = PhaseId(3);
const FIRST_FAULT: u16 = 4;

/// Phases over time, as planned: every worker can look them up on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phases {
    names: Vec<String>,
    /// Begin of each phase; sorted, starting at zero.
    edges: Vec<(RunTime, PhaseId)>,
}

impl Phases {
    /// Where faults overlap, the one that began last names the phase.
    #[must_use]
    pub fn new(warmup: Duration, duration: Duration, faults: &[PlannedFault]) -> Self {
        let windows: Vec<(Duration, Duration)> = faults.iter().map(|fault| window(fault, duration)).collect();
        let mut names: Vec<String> = ["warmup", "steady", "recovery", "drain"].map(str::to_owned).to_vec();
        names.extend(faults.iter().map(|fault| format!("fault:{}", fault.name)));
        let at = |time: Duration| {
            let running =
                (FIRST_FAULT..).zip(&windows).filter(|(_, (from, to))| (*from..*to).contains(&time));
            if time >= duration {
                DRAIN
            } else if let Some((fault, _)) = running.max_by_key(|(fault, (from, _))| (*from, *fault)) {
                PhaseId(fault)
            } else if windows.iter().any(|(_, to)| (*to..*to + RECOVERY).contains(&time)) {
                RECOVERING
            } else if time < warmup {
                WARMUP
            } else {
                STEADY
            }
        };
        let mut times = vec![Duration::ZERO, warmup, duration];
        times.extend(windows.iter().flat_map(|(from, to)| [*from, *to, *to + RECOVERY]));
        times.sort_unstable();
        times.dedup();
        let mut edges: Vec<_> = times.into_iter().map(|time| (RunTime::from(time), at(time))).collect();
        edges.dedup_by_key(|(_, phase)| *phase);
        Self { names, edges }
    }

    /// Names, as in the tag `phase`: `warmup`, `steady`, `recovery`, `drain`, `fault:<name>`.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Empty for an unknown id.
    #[must_use]
    pub fn name(&self, id: PhaseId) -> &str {
        self.names.get(usize::from(id.0)).map_or("", String::as_str)
    }

    /// Each phase with its begin, in order, starting at zero.
    pub fn edges(&self) -> impl Iterator<Item = (&str, Duration)> {
        self.edges.iter().map(|(from, phase)| (self.name(*phase), from.since_start()))
    }

    /// The phase at a time. A delivery belongs to the phase of its due time.
    #[must_use]
    pub fn at(&self, time: RunTime) -> PhaseId {
        let behind = self.edges.partition_point(|(from, _)| *from <= time);
        self.edges[behind.saturating_sub(1)].1
    }

    /// The phase at a time and all that begin later, sorted.
    #[must_use]
    pub fn since(&self, time: RunTime) -> Vec<PhaseId> {
        let later = self.edges.iter().filter(|(from, _)| *from > time).map(|(_, phase)| *phase);
        let mut phases: Vec<PhaseId> = std::iter::once(self.at(time)).chain(later).collect();
        phases.sort_unstable();
        phases.dedup();
        phases
    }

    /// Whether the phase is that of a fault, or the recovery after one.
    #[must_use]
    pub fn is_disturbed(phase: PhaseId) -> bool {
        phase == RECOVERING || phase.0 >= FIRST_FAULT
    }

    #[must_use]
    pub fn warmup() -> PhaseId {
        WARMUP
    }
}

fn window(fault: &PlannedFault, duration: Duration) -> (Duration, Duration) {
    let ends = fault.heals_at.unwrap_or(duration);
    (fault.at, ends.max(fault.at + SHORTEST_FAULT))
}
