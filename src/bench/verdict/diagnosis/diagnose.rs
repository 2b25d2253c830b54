//! Collects the findings of all causes: special ones first, then one for each failed expectation that none of them
//! explains. Pure. Read [`diagnose`] first.

use std::collections::BTreeSet;

use super::causes::{connects, events, expectations, replay, streams};
use super::finding::{Cause, Finding};
use super::observations::Observations;
use crate::bench::exit::{Exit, RunProblem};
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::ledger::Replays;
use crate::bench::verdict::verdict::TURNED_AWAY;
use crate::bench::verdict::{Verdict, VerdictInput};

/// What a diagnosis rests on.
#[derive(Debug, Clone, Copy)]
pub struct Judgement<'a> {
    pub input: VerdictInput<'a>,
    pub verdict: &'a Verdict,
    /// How replays went; empty in merged runs, which have no ledgers.
    pub replays: &'a Replays,
    /// What clients saw; empty in runs that were stored before they noted it.
    pub observations: &'a Observations,
}

/// All findings, the likeliest root cause first. Empty where the run passed and nothing stood out.
#[must_use]
pub fn diagnose(judgement: &Judgement<'_>) -> Vec<Finding> {
    let mut found = connects::causes(judgement.observations, judgement.input.plan);
    if judgement.verdict.check(TURNED_AWAY).is_some() {
        // Who waits for a connection waits for a head.
        found.retain(|found| found.finding.cause != Cause::NoHead);
    }
    found.extend(streams::causes(judgement.observations));
    found.extend(events::causes(judgement));
    found.extend(replay::causes(judgement));
    let explained: BTreeSet<_> = found.iter().flat_map(|found| found.explains).copied().collect();
    found.extend(expectations::checks(judgement, &explained));
    found.extend(expectations::thresholds(judgement));
    let mut findings: Vec<Finding> = found.into_iter().map(|found| found.finding).collect();
    let problems = of_problems(&judgement.verdict.problems);
    // A run that says little about the server begins with the problems of its own.
    match judgement.verdict.exit {
        Exit::VerificationFailed | Exit::ThresholdsFailed => findings.extend(problems),
        _ => findings.splice(0..0, problems).for_each(drop),
    }
    findings
}

/// Why clients could not connect before the start, as far as this process saw it.
#[must_use]
pub fn of_setup(observations: &Observations, plan: &Plan) -> Vec<Finding> {
    connects::causes(observations, plan).into_iter().map(|found| found.finding).collect()
}

/// A finding for each kind of problem of the run itself.
#[must_use]
pub fn of_problems(problems: &[RunProblem]) -> Vec<Finding> {
    expectations::problems(problems).into_iter().map(|found| found.finding).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::observations::{Refusal, Refused, Why};
    use super::*;
    use crate::bench::ids::RunId;
    use crate::bench::metrics::recorder::Recorder;
    use crate::bench::scenario;
    use crate::bench::verdict::ledger::{Account, RULES};
    use crate::bench::verdict::{Sightings, Status};

    const SCENARIO: &str = r#"
schema = 1
name = "burst"
duration = "1s"
[clients.c]
clients = 1
[publishers.p]
rate = 1
mix = { broadcast = 1 }
"#;

    #[test]
    fn a_server_is_not_told_to_flush_where_the_bench_itself_made_clients_wait() {
        let plan = Plan::new(&scenario::parse("burst.toml", SCENARIO, &[]).unwrap(), RunId::from_random(1));
        let input = VerdictInput {
            plan: &plan,
            account: &Account::default(),
            recorder: &Recorder::default(),
            faults: &[],
            rules: RULES,
            problems: &[],
            sightings: &Sightings::default(),
            ran: Duration::from_secs(1),
            quiescent: true,
        };
        let refusal = Refusal {
            why: Why::Timeout(10_000),
            is_disturbed: false,
            server: None,
            has_retry_after: false,
            redirected_to: None,
        };
        let refusals = vec![(refusal, Refused { count: 3, gave_up: 0 })];
        let observations = Observations { refusals, ..Observations::default() };
        for (listeners, is_blamed) in
            [(vec![], true), (vec![("fault proxy client->n1".to_owned(), 3)], false)]
        {
            let mut verdict = Verdict::new(&input);
            verdict.note_turned_away(&listeners);
            let notes = verdict.checks.iter().filter(|check| check.status == Status::Note).count();
            let judgement = Judgement {
                input,
                verdict: &verdict,
                replays: &Replays::default(),
                observations: &observations,
            };
            let found = diagnose(&judgement);
            let blames = found.iter().any(|finding| finding.cause == Cause::NoHead);
            assert_eq!((blames, notes), (is_blamed, listeners.len()), "{found:?}");
        }
    }
}
