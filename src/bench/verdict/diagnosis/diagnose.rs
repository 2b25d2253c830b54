//! Collects the findings of all causes: special ones first, then one for each failed expectation that none of them
//! explains. Pure. Read [`diagnose`] first.

use std::collections::BTreeSet;

use super::causes::{connects, events, expectations, replay, streams};
use super::finding::Finding;
use super::observations::Observations;
use crate::bench::exit::{Exit, RunProblem};
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::ledger::Replays;
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
