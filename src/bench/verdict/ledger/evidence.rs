//! evidence

use serde::{Deserialize, Serialize};

use super::SubscriberLedger;
use super::audit::AuditLedger;
use super::judge::MARGIN;
use super::publish::PublishLedger;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::{Plan, RECOVERY};

/// All books of a run.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What was planned.
    pub plan: &'a Plan,
    /// Of every publisher that sent anything, without the one of the sentinels.
    pub publishes: &'a [PublishLedger],
    /// Of the sentinels, once they were sent.
    pub sentinels: Option<&'a PublishLedger>,
    /// Of every client that was started.
    pub subscribers: &'a [SubscriberLedger],
    /// Of the audit read, if there was one.
    pub audit: Option<&'a AuditLedger>,
    /// What was broken when.
    pub faults: &'a [FaultRecord],
    /// Whether somebody ended the run early: then nobody was waited for.
    pub was_interrupted: bool,
}

/// A fault as it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// Name of the fault, as in the plan.
    pub name: String,
    /// When it was to be applied.
    pub planned: RunTime,
    /// When it was; `None`: never.
    pub applied: Option<RunTime>,
    /// When it was healed.
    pub healed: Option<RunTime>,
    /// Why it could not be applied or healed.
    pub error: Option<String>,
}

impl FaultRecord {
    /// Whether what was sent at this time stands in the fault's window: from one margin before it was applied (it
    /// may have been under way) until the cluster had time to recover.
    #[must_use]
    pub fn covers(&self, time: RunTime) -> bool {
        self.window().is_some_and(|(begins, ends)| time >= begins && time < ends)
    }

    /// That window; `None` where it was never applied.
    #[must_use]
    pub fn window(&self) -> Option<(RunTime, RunTime)> {
        let ends = self.healed.map_or(RunTime::NEVER, |healed| healed.plus(RECOVERY));
        self.applied.map(|applied| (applied.minus(MARGIN), ends))
    }
}
