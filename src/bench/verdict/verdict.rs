//! Decides pass or fail from the account, the metrics and what went wrong with the run itself. Never looks at a
//! single event. Read [`Verdict`] first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checks::checks;
use super::ledger::FaultRecord;
use super::outcome::{Check, Judged, Status, ThresholdResult};
use crate::bench::exit::{Exit, Grade, RunProblem};
use crate::bench::metrics::metric::{Metric, Tally};
use crate::bench::metrics::threshold::Threshold;
use crate::bench::scenario::Order;
use crate::bench::scenario::plan::Phases;

/// Pass or fail, and by which names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The worst of everything.
    pub exit: Exit,
    /// Expectations of the deliveries.
    pub checks: Vec<Check>,
    /// Expectations of the metrics.
    pub thresholds: Vec<ThresholdResult>,
    /// What went wrong with the run itself.
    pub troubles: Vec<RunProblem>,
}

impl Verdict {
    /// Judges a run.
    #[must_use]
    pub fn new(judged: &Judged<'_>) -> Self {
        let checks = checks(judged);
        let thresholds = super::thresholds::results(judged);
        let mut troubles = judged.troubles.to_vec();
        troubles.extend(fault_troubles(judged));
        troubles.extend(load_trouble(judged));
        let exits = checks.iter().map(exit_of_check).chain(thresholds.iter().map(exit_of_threshold));
        let exits = exits.chain(troubles.iter().map(|trouble| trouble.exit));
        let is_interrupted = troubles.iter().any(|trouble| trouble.exit == Exit::Interrupted);
        // What could not be found out because somebody ended the run early is no finding.
        let worst = exits.filter(|exit| !(is_interrupted && *exit == Exit::Unknown)).max();
        Self { exit: worst.unwrap_or(Exit::Pass), checks, thresholds, troubles }
    }

    /// The same, and no better than this.
    #[must_use]
    pub fn no_better_than(self, exit: Exit) -> Self {
        Self { exit: self.exit.max(exit), ..self }
    }

    /// Names of the checks that failed, and keys with expressions of the thresholds, in their order.
    pub fn failed_by_name(&self) -> impl Iterator<Item = String> {
        let checks = self.checks.iter().filter(|check| check.status == Status::Fail);
        let thresholds = self.thresholds.iter().filter(|result| result.status == Status::Fail);
        let thresholds = thresholds.map(|result| format!("{} {}", result.key, result.expression));
        checks.map(|check| check.name.clone()).chain(thresholds)
    }

    /// Everything that failed: the names, and in whole sentences what went wrong with the run itself. What nobody knows is
    /// not among it.
    pub fn failed(&self) -> impl Iterator<Item = String> {
        let troubles = self.troubles.iter().filter(|trouble| trouble.exit.grade() == Grade::Bad);
        self.failed_by_name().chain(troubles.map(|trouble| trouble.message.clone()))
    }

    /// Says why the bench was late, where that makes the run invalid.
    pub fn explain_lateness(&mut self, why: Option<&str>) {
        let was_late = |result: &ThresholdResult| result.judges_generator && result.status == Status::Fail;
        let why = why.filter(|_| self.thresholds.iter().any(was_late));
        self.troubles.extend(why.map(|why| RunProblem { exit: Exit::Invalid, message: why.to_owned() }));
    }

    /// The check of this name.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }
}

fn exit_of_check(check: &Check) -> Exit {
    match check.status {
        Status::Pass | Status::Note => Exit::Pass,
        Status::Unknown => Exit::Unknown,
        Status::Fail => Exit::VerificationFailed,
    }
}

fn exit_of_threshold(result: &ThresholdResult) -> Exit {
    match result.status {
        Status::Pass | Status::Note => Exit::Pass,
        Status::Unknown => Exit::Unknown,
        Status::Fail if result.judges_generator => Exit::Invalid,
        Status::Fail => Exit::ThresholdsFailed,
    }
}

/// A fault that did not happen as planned: the run measured something else than it says.
fn fault_troubles(judged: &Judged<'_>) -> Vec<RunProblem> {
    let is_interrupted = judged.troubles.iter().any(|trouble| trouble.exit == Exit::Interrupted);
    let trouble = |fault: &FaultRecord| {
        let message = match (&fault.error, fault.applied) {
            (Some(error), _) => format!("{}: {error}", fault.name),
            (None, None) if !is_interrupted => format!("{}: was never applied", fault.name),
            (None, _) => return None,
        };
        Some(RunProblem { exit: Exit::FaultFailed, message })
    };
    judged.faults.iter().filter_map(trouble).collect()
}

/// Publishes that were due and never sent while nothing was broken: the load was not the one that was to be judged. A
/// scenario with a threshold of its own for them says how many it bears.
fn load_trouble(judged: &Judged<'_>) -> Option<RunProblem> {
    let has_threshold = |threshold: &Threshold| threshold.metric == Metric::Tally(Tally::PublishDropped);
    let (calm, dropped) = (dropped(judged, false), judged.account.publishes.dropped);
    if calm == 0 || judged.plan.thresholds.iter().any(has_threshold) {
        return None;
    }
    let hint = match judged.plan.verify.order {
        Order::PerPublisherAddress => {
            ", or set verify.order = \"none\", so that those to one address need not wait for each other"
        }
        Order::None => "",
    };
    let message = format!(
        "{calm} of {} publishes that were due were never sent, in no fault's window ({dropped} in all): max_in_flight \
         were unanswered, so the load was not the planned one; raise max_in_flight, or lower the rate{hint}",
        judged.account.publishes.total(),
    );
    Some(RunProblem { exit: Exit::Invalid, message })
}

/// Publishes that were never sent, in the windows of faults or out of them.
pub(super) fn dropped(judged: &Judged<'_>, disturbed: bool) -> u64 {
    let by_phase = judged.account.dropped_by.iter();
    by_phase.filter(|(phase, _)| Phases::is_disturbed(**phase) == disturbed).map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_exit_wins_in_the_order_of_the_documentation() {
        assert!(Exit::ALL.is_sorted_by(|worse, better| worse > better));
        let codes = Exit::ALL.map(Exit::code);
        assert_eq!(codes, [120, 122, 99, 121, 123, 100, 101, 104, 105, 106, 1, 2, 0]);
    }
}
