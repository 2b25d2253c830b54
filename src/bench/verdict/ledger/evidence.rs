//! What the judge is given: the ledgers of a run, its plan, and which faults were applied when. Decides nothing.
//! Read [`Evidence`] first.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::audit::AuditLedger;
use super::probes::ProbeLedger;
use super::publish::PublishLedger;
use super::subscriber::SubscriberLedger;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::{Plan, RECOVERY};

/// An event that was acknowledged less than this before a stream ended for good (under at-most-once: before any stream
/// ended) may have been in flight then, and is not owed.
pub const MARGIN: Duration = Duration::from_secs(1);

/// Version of the rules that runs are planned and judged by. A stored run is planned and judged again by those of its end.
/// Raised where a plan gets a field that matters for the judgement, where a scenario means something else, or where a rule
/// may give another result.
///
/// 0: those of every run that does not say. Payloads, event types and the order of ids were not checked.
pub const RULES: u16 = 1;

/// All ledgers of a run.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    pub plan: &'a Plan,
    /// One of each publisher that sent anything, without that of the sentinels.
    pub publishes: &'a [PublishLedger],
    /// `None`: no sentinels were sent.
    pub sentinels: Option<&'a PublishLedger>,
    /// One of each client that was started.
    pub subscribers: &'a [SubscriberLedger],
    /// `None`: there was no audit read.
    pub audit: Option<&'a AuditLedger>,
    /// `None`: the judge resumed no streams itself.
    pub probes: Option<&'a ProbeLedger>,
    /// Each fault of the plan, as applied.
    pub faults: &'a [FaultRecord],
    /// At most [`RULES`].
    pub rules: u16,
    /// Whether the run was interrupted: then it did not wait for clients to come back.
    pub was_interrupted: bool,
}

/// A fault as it was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// Name of the fault, as in the plan.
    pub name: String,
    /// When the plan applies it.
    pub planned: RunTime,
    /// When it was applied; `None`: never.
    pub applied: Option<RunTime>,
    /// When it was healed; `None`: never.
    pub healed: Option<RunTime>,
    /// Why it could not be applied or healed; `None`: both worked.
    pub error: Option<String>,
}

impl FaultRecord {
    /// Whether an event sent at this time lies in the window of the fault: from one margin before it was applied (the event
    /// may have been in flight then) until the cluster had time to recover.
    #[must_use]
    pub fn covers(&self, time: RunTime) -> bool {
        self.window().is_some_and(|(begins, ends)| time >= begins && time < ends)
    }

    /// Begin and end of that window; `None`: the fault was never applied.
    #[must_use]
    pub fn window(&self) -> Option<(RunTime, RunTime)> {
        let ends = self.healed.map_or(RunTime::NEVER, |healed| healed.plus(RECOVERY));
        self.applied.map(|applied| (applied.minus(MARGIN), ends))
    }
}
