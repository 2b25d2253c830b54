//! Decides pass or fail from the account, the metrics and what went wrong with the run itself. Never looks at a
//! single event. Read [`Verdict`] first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checks::checks;
use super::findings;
use super::ledger::FaultRecord;
use super::outcome::{Check, Status, ThresholdResult, VerdictInput};
use crate::bench::exit::{Exit, Grade, RunProblem};
use crate::bench::metrics::metric::{Metric, Tally};
use crate::bench::metrics::threshold::Threshold;
use crate::bench::scenario::plan::Phases;

/// The name of the check that says that the bench itself made clients wait for a connection.
pub(super) const TURNED_AWAY: &str = "connects turned away";

/// Pass or fail, and the checks, thresholds and problems behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The worst exit of all checks, thresholds and problems; where the bench itself broke the run, that it is invalid.
    pub exit: Exit,
    /// Expectations of the deliveries.
    pub checks: Vec<Check>,
    /// Expectations of the metrics, in the order of the scenario.
    pub thresholds: Vec<ThresholdResult>,
    /// What went wrong with the run itself, rather than with the deliveries or metrics.
    #[serde(rename = "troubles")]
    pub problems: Vec<RunProblem>,
}

impl Verdict {
    /// Judges a run.
    #[must_use]
    pub fn new(input: &VerdictInput<'_>) -> Self {
        let checks = checks(input);
        let thresholds = super::thresholds::results(input);
        let mut problems = input.problems.to_vec();
        problems.extend(fault_problems(input));
        problems.extend(dropped_publishes(input));
        let voids = findings::voids(input);
        let is_void = !voids.is_empty();
        problems.extend(voids);
        let exits = checks.iter().map(exit_of_check).chain(thresholds.iter().map(exit_of_threshold));
        let exits = exits.chain(problems.iter().map(|problem| problem.exit));
        let is_interrupted = problems.iter().any(|problem| problem.exit == Exit::Interrupted);
        // In an interrupted run, an undecided expectation says nothing.
        let worst = exits.filter(|exit| !(is_interrupted && *exit == Exit::Unknown)).max();
        // What the bench could not read proves nothing against the server.
        let exit = if is_void { Exit::Invalid } else { worst.unwrap_or(Exit::Pass) };
        Self { exit, checks, thresholds, problems }
    }

    /// This verdict, capped at `exit`.
    #[must_use]
    pub fn capped_at(self, exit: Exit) -> Self {
        Self { exit: self.exit.max(exit), ..self }
    }

    /// Names of the failed checks, then keys and expressions of the failed thresholds.
    pub fn failed_by_name(&self) -> impl Iterator<Item = String> {
        let checks = self.checks.iter().filter(|check| check.status == Status::Fail);
        let thresholds = self.thresholds.iter().filter(|result| result.status == Status::Fail);
        let thresholds = thresholds.map(|result| format!("{} {}", result.key, result.expression));
        checks.map(|check| check.name.clone()).chain(thresholds)
    }

    /// Everything that failed: the names, then the problems of the run, a sentence each. Unknown results are not included.
    pub fn failed(&self) -> impl Iterator<Item = String> {
        let problems = self.problems.iter().filter(|problem| problem.exit.grade() == Grade::Bad);
        self.failed_by_name().chain(problems.map(|problem| problem.message.clone()))
    }

    /// Adds problems that came up after the judgement. The verdict can only become worse.
    pub fn add_problems(&mut self, problems: impl IntoIterator<Item = RunProblem>) {
        for problem in problems {
            self.exit = self.exit.max(problem.exit);
            self.problems.push(problem);
        }
    }

    /// Adds the reason why the load generator was late, if that makes the run invalid.
    pub fn explain_lag(&mut self, why: Option<&str>) {
        let was_late = |result: &ThresholdResult| result.judges_generator && result.status == Status::Fail;
        let why = why.filter(|_| self.thresholds.iter().any(was_late));
        self.problems.extend(why.map(|why| RunProblem { exit: Exit::Invalid, message: why.to_owned() }));
    }

    /// Notes connects that listeners of the bench itself could not take.
    pub fn note_turned_away(&mut self, listeners: &[(String, u64)]) {
        let of = |(name, count): &(String, u64)| format!("{name} {count} times");
        let listeners: Vec<String> = listeners.iter().map(of).collect();
        let detail = format!(
            "a full queue of connects turned clients away, and each came again a second or more later: {}. The bench made them \
             wait, not the server. Let the clients connect over more time",
            listeners.join(", ")
        );
        let check = Check { name: TURNED_AWAY.to_owned(), status: Status::Note, detail };
        self.checks.extend((!listeners.is_empty()).then_some(check));
    }

    /// `None`: there is no check of this name.
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

/// Faults that could not be applied or healed as planned: the run did not measure what it planned.
fn fault_problems(input: &VerdictInput<'_>) -> Vec<RunProblem> {
    let is_interrupted = input.problems.iter().any(|problem| problem.exit == Exit::Interrupted);
    let problem = |fault: &FaultRecord| {
        let message = match (&fault.error, fault.applied) {
            (Some(error), _) => format!("{}: {error}", fault.name),
            (None, None) if !is_interrupted => format!("{}: never applied", fault.name),
            (None, _) => return None,
        };
        Some(RunProblem { exit: Exit::FaultFailed, message })
    };
    input.faults.iter().filter_map(problem).collect()
}

/// Publishes dropped outside fault windows make the run INVALID: the planned load was not produced. A threshold on
/// `publish_dropped` overrides this.
fn dropped_publishes(input: &VerdictInput<'_>) -> Option<RunProblem> {
    let has_threshold = |threshold: &Threshold| threshold.metric == Metric::Tally(Tally::PublishDropped);
    let (outside, dropped) = (dropped(input, false), input.account.publishes.dropped);
    if outside == 0 || input.plan.thresholds.iter().any(has_threshold) {
        return None;
    }
    let hint = if input.plan.publishers.iter().any(|publisher| publisher.in_order) {
        ", or set publishers.NAME.in_order = false so that publishes to one address do not wait for each other"
    } else {
        ""
    };
    let message = format!(
        "{outside} of {} publishes were dropped outside fault windows ({dropped} in total) because max_in_flight was \
         reached, so the planned load was not produced. Raise max_in_flight or lower the rate{hint}",
        input.account.publishes.total(),
    );
    Some(RunProblem { exit: Exit::Invalid, message })
}

/// Publishes that were never sent: in the windows of faults, or outside of them.
pub(super) fn dropped(input: &VerdictInput<'_>, disturbed: bool) -> u64 {
    let by_phase = input.account.dropped_by.iter();
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
