//! Judges a stored run again, and lays what comes out beside what the run came to. They must be the same: the code that
//! judges is, and the evidence should be. Read [`Check::new`] first.

use std::path::Path;

use serde_json::Value;

use super::archive::{Archive, Decision};
use super::case::{JudgedRun, StoredRun};
use super::files::ArchiveError;
use super::rebuild;
use crate::bench::exit::{Exit, RunProblem};

/// Differences that are told.
const DIFFERENCES_MAX: usize = 20;

/// A stored run, judged again.
#[derive(Debug)]
pub struct Check {
    /// What was stored.
    pub case: StoredRun,
    /// What comes out. Differences are troubles of it.
    pub judgement: JudgedRun,
    /// What the run came to.
    pub decision: Decision,
    /// Where the two differ, or the books from the history.
    pub differences: Vec<String>,
    /// Whether there is a history in full, from which the books were made again.
    pub is_full: bool,
}

impl Check {
    /// Reads a run's directory and judges it again.
    ///
    /// # Errors
    /// [`ArchiveError`] where that is not possible.
    pub fn new(dir: &Path) -> Result<Self, ArchiveError> {
        let Archive { case, decision } = Archive::open(dir)?;
        let mut judgement = case.judge();
        let histories = decision.files.iter().filter(|entry| entry.name.ends_with(".jsonl.gz"));
        let histories: Vec<_> = histories.map(|entry| entry.path(dir)).collect();
        let is_full = !histories.is_empty();
        let mut differences = if is_full { rebuild::differences(&case, &histories)? } else { Vec::new() };
        let report = &judgement.report;
        let exit = report.verdict.exit.code();
        if exit != decision.exit_code {
            differences.push(format!("the run ended with {}, this with {exit}", decision.exit_code));
        }
        compare(&mut differences, "verdict", &decision.verdict, &report.verdict);
        compare(&mut differences, "account", &decision.account, &judgement.account);
        let troubles = differences.iter().map(|difference| RunProblem {
            exit: Exit::Internal,
            message: format!("the evidence does not give what the run came to: {difference}"),
        });
        judgement.report.add_troubles(troubles.collect::<Vec<_>>());
        Ok(Self { case, judgement, decision, differences, is_full })
    }

    /// The worst of everything: what comes out, and whether that is what the run came to.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.judgement.report.verdict.exit
    }
}

fn compare<T: serde::Serialize>(differences: &mut Vec<String>, name: &str, run: &T, now: &T) {
    match (serde_json::to_value(run), serde_json::to_value(now)) {
        (Ok(run), Ok(now)) => walk(differences, name, &run, &now),
        (Err(error), _) | (_, Err(error)) => differences.push(format!("{name}: {error}")),
    }
    differences.truncate(DIFFERENCES_MAX);
}

/// The smallest parts that differ, by their path.
fn walk(differences: &mut Vec<String>, path: &str, run: &Value, now: &Value) {
    match (run, now) {
        (run, now) if run == now => {}
        (Value::Object(run), Value::Object(now)) => {
            let only_now = now.keys().filter(|key| !run.contains_key(*key));
            for key in run.keys().chain(only_now) {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                walk(differences, &format!("{path}.{key}"), &of(run), &of(now));
            }
        }
        (Value::Array(run), Value::Array(now)) if run.len() == now.len() => {
            for (index, (run, now)) in run.iter().zip(now).enumerate() {
                walk(differences, &format!("{path}.{index}"), run, now);
            }
        }
        (run, now) => differences.push(format!("{path} was {run}, and is {now}")),
    }
}
