//! Why nothing of a publisher was accepted, where the scenario shows it. Read [`unaccepted`] first.

use crate::bench::exit::{Exit, RunProblem};
use crate::bench::load::publishers::Published;
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::ledger::PublishOutcome;

/// The problem of a publisher of which nothing was accepted, where a variable that is not set may be why.
pub(super) fn unaccepted(plan: &Plan, name: &str, published: &Published) -> Option<RunProblem> {
    let ledger = &published.ledger;
    let outcomes = || ledger.addresses().into_iter().flat_map(|address| ledger.outcomes(address));
    if outcomes().any(|outcome| outcome == PublishOutcome::Acknowledged) {
        return None;
    }
    let reason = published.last_failure.as_deref()?;
    let variables = plan.why_empty(&[&format!("publishers.{name}"), "dialect.publish"]);
    let message = format!("no publish of {name} was acknowledged: {reason}{variables}");
    (!variables.is_empty()).then_some(RunProblem { exit: Exit::Unknown, message })
}
