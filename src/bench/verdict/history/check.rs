//! Judges a stored run again and compares the result with the one that was stored. Any difference is an error: of the
//! evidence, or of a judge that is not a pure function. Read [`Check::new`] first.

use std::path::Path;

use serde_json::Value;

use super::archive::{Archive, Decision};
use super::files::ArchiveError;
use super::rebuild;
use super::stored_run::{JudgedRun, StoredRun};
use crate::bench::exit::{Exit, RunProblem};

/// Differences that are reported.
const DIFFERENCES_MAX: usize = 20;

/// Sentences for people in a verdict: another version may word them differently. Their figures stand in the account.
const PROSE: [&str; 2] = ["detail", "message"];

/// A stored run, judged again.
#[derive(Debug)]
pub struct Check {
    pub run: StoredRun,
    /// The new result. Its verdict lists the differences as problems.
    pub judged: JudgedRun,
    /// The result at the end of the run.
    pub decision: Decision,
    /// Where the two results differ, or the stored ledgers from those of the full history.
    pub differences: Vec<String>,
    /// Whether there is a full history, from which the ledgers were rebuilt.
    pub is_full: bool,
}

impl Check {
    /// Reads the directory of a run and judges it again.
    ///
    /// # Errors
    /// [`ArchiveError`] where it cannot be read.
    pub fn new(dir: &Path) -> Result<Self, ArchiveError> {
        let Archive { run, decision } = Archive::open(dir)?;
        let mut judged = run.judge();
        let histories = decision.files.iter().filter(|entry| entry.name.ends_with(".jsonl.gz"));
        let histories: Vec<_> = histories.map(|entry| entry.path(dir)).collect();
        let is_full = !histories.is_empty();
        let mut differences = if is_full { rebuild::differences(&run, &histories)? } else { Vec::new() };
        differences.extend(result_differences(&decision, &judged));
        let problems = differences.iter().map(|difference| RunProblem {
            exit: Exit::Internal,
            message: format!(
                "re-judging the evidence gives another result than the one stored: {difference}"
            ),
        });
        judged.verdict.add_problems(problems);
        Ok(Self { run, judged, decision, differences, is_full })
    }

    /// The exit code of the new verdict, where a difference counts as an internal error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.judged.verdict.exit
    }
}

/// Where a new result differs from the stored one.
pub(super) fn result_differences(decision: &Decision, judged: &JudgedRun) -> Vec<String> {
    let mut differences = Vec::new();
    let exit = judged.verdict.exit.code();
    if exit != decision.exit_code {
        differences.push(format!("the exit code was {} and is now {exit}", decision.exit_code));
    }
    compare(&mut differences, "verdict", &decision.verdict, &judged.verdict);
    compare(&mut differences, "account", &decision.account, &judged.account);
    differences
}

fn compare<T: serde::Serialize>(differences: &mut Vec<String>, name: &str, run: &T, now: &T) {
    match (serde_json::to_value(run), serde_json::to_value(now)) {
        (Ok(run), Ok(now)) => walk(differences, name, &run, &now),
        (Err(error), _) | (_, Err(error)) => differences.push(format!("{name}: {error}")),
    }
    differences.truncate(DIFFERENCES_MAX);
}

/// Adds the smallest parts that differ, each with its path.
fn walk(differences: &mut Vec<String>, path: &str, run: &Value, now: &Value) {
    match (run, now) {
        (run, now) if run == now => {}
        (Value::Object(run), Value::Object(now)) => {
            let only_now = now.keys().filter(|key| !run.contains_key(*key));
            for key in run.keys().chain(only_now).filter(|key| !PROSE.contains(&key.as_str())) {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                walk(differences, &format!("{path}.{key}"), &of(run), &of(now));
            }
        }
        (Value::Array(run), Value::Array(now)) if run.len() == now.len() => {
            for (index, (run, now)) in run.iter().zip(now).enumerate() {
                walk(differences, &format!("{path}.{index}"), run, now);
            }
        }
        (run, now) => differences.push(format!("{path} was {run} and is now {now}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_sentences_may_be_worded_differently() {
        let verdict = |status: &str, detail: &str| json!({ "checks": [{ "name": "lost", "status": status, "detail": detail }], "troubles": [{ "message": detail }] });
        let differences = |now| {
            let mut differences = Vec::new();
            compare(&mut differences, "verdict", &verdict("pass", "none"), &now);
            differences
        };
        assert_eq!(differences(verdict("pass", "no event is lost")), Vec::<String>::new());
        let expected = r#"verdict.checks.0.status was "pass" and is now "fail""#;
        assert_eq!(differences(verdict("fail", "1 is lost")), [expected]);
    }
}
