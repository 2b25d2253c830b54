//! Merges stored runs of one scenario into one: histograms, counters and accounts are added, percentiles are never
//! averaged. Runs that do not add up are refused with the reason. Read [`merge`] first.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::Archive;
use super::check::result_differences;
use super::facts::Part;
use super::files::ArchiveError;
use super::stored_run::{Ledgers, StoredRun};
use crate::bench::exit::{Exit, RunProblem};
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::{Status, ThresholdResult};

/// Why runs cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// One of them cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Re-judging one of them gives another result than the one stored.
    #[error("{0:?}: judging the run again gives another result than the stored one; see `sse-bench check`")]
    Differs(PathBuf),
    /// The same run twice.
    #[error("{0:?} holds the run {1}, which another directory holds too")]
    Twice(PathBuf, String),
    /// Two runs do not add up.
    #[error("{path:?} cannot be merged with {first:?}: {what} differ")]
    Different {
        /// Directory of the first run.
        first: PathBuf,
        /// Directory of the run that differs from it.
        path: PathBuf,
        /// The part of the plan that differs.
        what: &'static str,
    },
    /// No directory was given.
    #[error("nothing to merge: no run directory is given")]
    Nothing,
}

/// Merges the runs in these directories.
///
/// # Errors
/// [`MergeError`].
pub fn merge(dirs: &[PathBuf]) -> Result<StoredRun, MergeError> {
    let (first_dir, others) = dirs.split_first().ok_or(MergeError::Nothing)?;
    let mut whole = read_part(first_dir)?;
    for dir in others {
        let more = read_part(dir)?;
        if let Some(what) = difference(&whole.plan, &more.plan) {
            return Err(MergeError::Different { first: first_dir.clone(), path: dir.clone(), what });
        }
        let known = |part: &&Part| whole.facts.merged.iter().any(|known| known.run == part.run);
        if let Some(twice) = more.facts.merged.iter().find(known) {
            return Err(MergeError::Twice(dir.clone(), twice.run.clone()));
        }
        add(&mut whole, more);
    }
    Ok(whole)
}

/// A run as a part of a merged one: its account instead of its ledgers.
fn read_part(dir: &Path) -> Result<StoredRun, MergeError> {
    let Archive { run, decision, as_written } = Archive::open(dir)?;
    let judged = run.judge();
    if !result_differences(&as_written, &judged).is_empty() {
        return Err(MergeError::Differs(dir.to_owned()));
    }
    let mut facts = run.facts;
    if facts.merged.is_empty() {
        let id = facts.run.to_string();
        for RunProblem { message, .. } in &mut facts.problems {
            *message = format!("run {id}: {message}");
        }
        // Sums may hide the failure of one part: a merged run is never better than its parts.
        let exit = decision.verdict.exit;
        if exit != Exit::Pass {
            let message = format!("run {id} ended with {} ({})", exit.word(), exit.code());
            facts.problems.push(RunProblem { exit, message });
        }
        let judges_generator = |result: &&ThresholdResult| result.judges_generator;
        let mut lateness = decision.verdict.thresholds.iter().filter(judges_generator);
        if lateness.any(|result| result.status == Status::Fail) {
            // The exit code does not show it where the part also lost events, and the sums may be on time.
            let why = facts.lateness.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            facts.problems.push(RunProblem {
                exit: Exit::Invalid,
                message: format!("run {id}: its load generator was late{why}"),
            });
        }
        // The explanation is of one part, not of the sum.
        facts.lateness = None;
        let (seed, exit_code) = (run.plan.seed, decision.exit_code);
        let (clock_started_unix_ms, ran_ms) = (facts.clock_started_unix_ms, facts.ran_ms);
        facts.merged = vec![Part { run: id, seed, exit_code, clock_started_unix_ms, ran_ms }];
    }
    Ok(StoredRun { ledgers: Ledgers::default(), added: Some(decision.account), facts, ..run })
}

/// The first part in which two plans differ and so do not add up.
fn difference(one: &Arc<Plan>, other: &Arc<Plan>) -> Option<&'static str> {
    let groups = |plan: &Plan| plan.groups.iter().map(|group| group.name.clone()).collect::<Vec<_>>();
    let publishers =
        |plan: &Plan| plan.publishers.iter().map(|publisher| publisher.name.clone()).collect::<Vec<_>>();
    let differences = [
        (one.name != other.name, "the scenario names"),
        (groups(one) != groups(other), "the groups of clients"),
        (publishers(one) != publishers(other), "the publishers"),
        (one.duration != other.duration, "the durations"),
        (one.phases != other.phases, "the phases"),
        (one.verify != other.verify, "the verify sections"),
        (one.thresholds != other.thresholds, "the thresholds"),
    ];
    differences.into_iter().find(|(differ, _)| *differ).map(|(_, what)| what)
}

fn add(whole: &mut StoredRun, more: StoredRun) {
    whole.recorder.merge(more.recorder);
    whole.observations.merge(more.observations);
    if let (Some(account), Some(added)) = (&mut whole.added, more.added) {
        account.merge(added);
    }
    let (facts, more) = (&mut whole.facts, more.facts);
    facts.merged.extend(more.merged);
    facts.faults.extend(more.faults);
    facts.problems.extend(more.problems);
    facts.sightings.merge(more.sightings);
    facts.quiescent &= more.quiescent;
    facts.is_void |= more.is_void;
    facts.publish_failures.extend(more.publish_failures);
    facts.turned_away.extend(more.turned_away);
    // Resources of different clusters do not add up.
    facts.processes.clear();
    facts.harness = None;
    facts.commands = None;
    facts.mailboxes = facts.mailboxes.take().zip(more.mailboxes).map(|(mut all, more)| {
        all.read += more.read;
        all.pending += more.pending;
        all
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::verdict::history::facts::ran;
    use std::time::Duration;

    /// Beginnings, and how long each went on where that is known, in seconds; sixty were planned.
    #[track_caller]
    fn check(parts: &[(u64, Option<u64>)], seconds: u64) {
        let part = |(start, ran): &(u64, Option<u64>)| Part {
            run: String::new(),
            seed: 1,
            exit_code: 0,
            clock_started_unix_ms: start * 1_000,
            ran_ms: ran.map(|ran| ran * 1_000),
        };
        let all: Vec<Part> = parts.iter().map(part).collect();
        assert_eq!(ran(&all, Duration::from_secs(60)), Duration::from_secs(seconds), "{parts:?}");
    }

    #[track_caller]
    fn check_whole(starts: &[u64], seconds: u64) {
        check(&starts.iter().map(|start| (*start, None)).collect::<Vec<_>>(), seconds);
    }

    #[test]
    fn runs_one_after_the_other_take_the_sum_and_runs_at_the_same_time_the_longest() {
        check_whole(&[1_000], 60);
        check_whole(&[1_000, 1_100, 5_000], 180);
        check_whole(&[1_000, 1_000, 1_000], 60);
        check_whole(&[1_020, 1_000], 80);
        check_whole(&[1_000, 1_010, 2_000, 2_030], 70 + 90);
        check_whole(&[0, 0], 120);
        check_whole(&[0, 1_000, 1_000], 120);
    }

    #[test]
    fn a_run_that_was_interrupted_counts_as_long_as_it_went_on() {
        check(&[(1_000, Some(60)), (2_000, Some(7))], 67);
        check(&[(1_000, Some(60)), (1_010, Some(7))], 60);
        check(&[(1_000, Some(7)), (1_003, Some(60)), (0, Some(5))], 63 + 5);
    }
}
