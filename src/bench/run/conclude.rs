//! The last step of a run: judge, store the evidence, write the reports. A file that cannot be written is reported with
//! the verdict and never improves it. Read [`conclude`] first.

use std::path::PathBuf;

use tokio::task::JoinSet;

use super::files;
use super::outcome::{RunError, RunOptions};
use crate::bench::exit::{Exit, RunProblem};
use crate::bench::metrics::recorder::Recorder;
use crate::bench::report::{Report, ReportFiles, TimeSeries};
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::history::{self, Entry, History, JudgedRun, StoredRun};
use crate::runtime::panic_message;

/// Judges, stores, and writes the reports. `entries` are evidence files that the run has written already.
pub(super) async fn conclude(mut case: StoredRun, options: &RunOptions, entries: Vec<Entry>) -> ReportFiles {
    let mut judgement = case.judge();
    let mut told = ReportFiles { is_full: options.full, ..ReportFiles::of(&case, &judgement) };
    let unwritten = files::write(&options.dir, &told, &options.formats);
    if !unwritten.is_empty() {
        case.facts.problems.extend(unwritten.into_iter().map(of_the_bench));
        judgement = case.judge();
        told.report = Report::of(&case, &judgement);
    }
    if options.history == History::Off {
        return told;
    }
    if let Err(why) = store(options.dir.clone(), case, judgement, entries).await {
        told.report.add_problems([of_the_bench(why)]);
        // On a full disk an earlier report is kept, or this one is cut; the caller prints it whole.
        let _again = files::write(&options.dir, &told, &options.formats);
    }
    told
}

/// Writes the report of a run that could not start, for those who read files. Of an interrupted one there is none.
pub(super) fn conclude_without_a_run(plan: &Plan, options: &RunOptions, error: &RunError, started_at: &str) {
    let (problem, findings) = error.told();
    if problem.exit == Exit::Interrupted {
        return;
    }
    let report = Report::without_a_run(plan, problem, findings, started_at.to_owned());
    let told = ReportFiles {
        report,
        time_series: TimeSeries::new(plan, Recorder::default().series(), 0),
        is_full: options.full,
    };
    for why in files::write(&options.dir, &told, &options.formats) {
        tracing::warn!("{why}");
    }
}

fn of_the_bench(message: String) -> RunProblem {
    RunProblem { exit: Exit::Internal, message }
}

/// A panic here is reported like a full disk: the verdict is known already.
async fn store(
    dir: PathBuf,
    case: StoredRun,
    judgement: JudgedRun,
    entries: Vec<Entry>,
) -> Result<(), String> {
    guarded(move || history::store(&dir, &case, &judgement, entries).map_err(|error| error.to_string())).await
}

async fn guarded(work: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    let mut task = JoinSet::new();
    task.spawn_blocking(work);
    let told = match task.join_next().await {
        Some(Ok(told)) => told,
        Some(Err(panicked)) => Err(format!("a panic: {}", word(panicked))),
        None => Ok(()),
    };
    told.map_err(|why| format!("the evidence is not stored: {why}"))
}

fn word(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => panic_message(&*payload).unwrap_or_default().to_owned(),
        Err(cancelled) => cancelled.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_while_storing_is_told_like_a_full_disk() {
        let told = guarded(|| panic!("no more room in {}", "here")).await;
        assert_eq!(told, Err("the evidence is not stored: a panic: no more room in here".to_owned()));
        let told = guarded(|| Err("full".to_owned())).await;
        assert_eq!(told, Err("the evidence is not stored: full".to_owned()));
        assert_eq!(guarded(|| Ok(())).await, Ok(()));
    }
}
