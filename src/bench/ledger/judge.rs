//! Lays the ledgers beside each other. Decides what each owed event became; never what that is worth.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::clock::RunTime;
use crate::bench::plan::Plan;

use super::{Account, AuditLedger, PublishLedger, SubscriberLedger};

/// Under at-most-once: what was acknowledged less than this before a session ended may have been under way.
pub const AT_MOST_ONCE_MARGIN: Duration = Duration::from_secs(1);

/// All books of a run.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What was planned.
    pub plan: &'a Plan,
    /// Of every publisher that sent anything.
    pub publishes: &'a [PublishLedger],
    /// Of every client that was started.
    pub subscribers: &'a [SubscriberLedger],
    /// Of the audit read, if there was one.
    pub audit: Option<&'a AuditLedger>,
    /// What was broken when.
    pub faults: &'a [FaultRecord],
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

/// Makes the account. May be called twice: without the audit read to learn what to audit, then with it.
#[must_use]
pub fn judge(evidence: &Evidence<'_>) -> Account {
    let _ = evidence;
    todo!()
}
