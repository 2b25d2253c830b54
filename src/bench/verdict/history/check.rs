//! Judges a stored run again and compares the result with the one that was stored. Any difference is an error: of the
//! evidence, or of a judge that is not a pure function. Read [`Check::new`] first.

use std::path::Path;

use serde_json::Value;

use super::archive::{Archive, Decision};
use super::files::ArchiveError;
use super::rebuild;
use super::stored_run::{JudgedRun, StoredRun};
use crate::bench::exit::{Exit, RunProblem};
use crate::bench::verdict::diagnosis::of_problems;

/// Differences that are reported.
const DIFFERENCES_MAX: usize = 20;

/// Sentences for people in a verdict and in examples: another version may word them differently. Their figures stand in the account.
const PROSE: [&str; 3] = ["detail", "message", "note"];

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
        let Archive { run, decision, as_written } = Archive::open(dir)?;
        let mut judged = run.judge();
        let histories = decision.files.iter().filter(|entry| entry.name.ends_with(".jsonl.gz"));
        let histories: Vec<_> = histories.map(|entry| entry.path(dir)).collect();
        let is_full = !histories.is_empty();
        let mut differences = if is_full { rebuild::differences(&run, &histories)? } else { Vec::new() };
        differences.extend(result_differences(&as_written, &judged));
        let problem = |difference: &String| RunProblem {
            exit: Exit::Internal,
            message: format!("judging the run again gives another result than the stored one: {difference}"),
        };
        let problems: Vec<RunProblem> = differences.iter().map(problem).collect();
        judged.diagnosis.extend(of_problems(&problems));
        judged.verdict.add_problems(problems);
        Ok(Self { run, judged, decision, differences, is_full })
    }

    /// The exit code of the new verdict, where a difference counts as an internal error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.judged.verdict.exit
    }
}

/// Where a new result differs from the stored one, which an earlier version may have written: what that version did not know
/// yet is no difference, unless the new result complains of it.
pub(super) fn result_differences(as_written: &Value, judged: &JudgedRun) -> Vec<String> {
    let mut differences = Vec::new();
    let (run, now) = (&as_written["exit_code"], judged.verdict.exit.code());
    if *run != now {
        differences.push(format!("the exit code was {run} and is now {now}"));
    }
    compare(&mut differences, "verdict", &as_written["verdict"], &judged.verdict);
    compare(&mut differences, "account", &as_written["account"], &judged.account);
    differences
}

fn compare<T: serde::Serialize>(differences: &mut Vec<String>, name: &str, run: &Value, now: &T) {
    match serde_json::to_value(now) {
        Ok(now) => walk(differences, name, run, &now),
        Err(error) => differences.push(format!("{name}: {error}")),
    }
    differences.truncate(DIFFERENCES_MAX);
}

/// Adds the smallest parts that differ, each with its path.
fn walk(differences: &mut Vec<String>, path: &str, run: &Value, now: &Value) {
    match (run, now) {
        (run, now) if run == now => {}
        (Value::Object(run), Value::Object(now)) => {
            for (key, run) in run.iter().filter(|(key, _)| !PROSE.contains(&key.as_str())) {
                let now = now.get(key).cloned().unwrap_or_default();
                walk(differences, &format!("{path}.{key}"), run, &now);
            }
        }
        (Value::Array(run), Value::Array(now)) if run.len() == now.len() => {
            for (index, (run, now)) in run.iter().zip(now).enumerate() {
                walk(differences, &format!("{path}.{index}"), run, now);
            }
        }
        (Value::Array(run), Value::Array(now)) if are_checks(run) && are_checks(now) => {
            walk_checks(differences, path, (run, now));
        }
        (run, now) => differences.push(format!("{path} was {run} and is now {now}")),
    }
}

/// Whether these are checks, which have a name and a status.
fn are_checks(list: &[Value]) -> bool {
    list.iter().all(|one| one["name"].is_string() && one["status"].is_string())
}

/// Compares checks by their names. One that is new may pass, or be a note.
fn walk_checks(differences: &mut Vec<String>, path: &str, (run, now): (&[Value], &[Value])) {
    let find = |list: &[Value], name: &Value| list.iter().find(|one| one["name"] == *name).cloned();
    for check in run {
        let name = check["name"].as_str().unwrap_or_default();
        walk(differences, &format!("{path}.{name}"), check, &find(now, &check["name"]).unwrap_or_default());
    }
    let is_new = |check: &&Value| find(run, &check["name"]).is_none();
    for check in
        now.iter().filter(is_new).filter(|check| check["status"] != "pass" && check["status"] != "note")
    {
        differences.push(format!("{path} has {check} now"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(run: &Value, now: &Value, expected: &[&str]) {
        let mut differences = Vec::new();
        compare(&mut differences, "verdict", run, now);
        assert_eq!(differences, expected);
    }

    #[test]
    fn only_sentences_may_be_worded_differently() {
        let verdict = |status: &str, detail: &str| json!({ "checks": [{ "name": "lost", "status": status, "detail": detail }], "troubles": [{ "message": detail }] });
        let run = verdict("pass", "none");
        check(&run, &verdict("pass", "no event is lost"), &[]);
        check(
            &run,
            &verdict("fail", "1 is lost"),
            &[r#"verdict.checks.0.status was "pass" and is now "fail""#],
        );
    }

    #[test]
    fn what_an_earlier_version_did_not_know_is_no_difference_unless_it_is_a_complaint() {
        let check_of = |name: &str, status: &str| json!({ "name": name, "status": status });
        let run = json!({ "lost": 0, "checks": [check_of("lost", "pass"), check_of("order", "unknown")] });
        let now = |more: Value| {
            json!({ "lost": 0, "late": 7, "checks": [check_of("altered", more["altered"].as_str().unwrap()),
                check_of("order", "unknown"), check_of("lost", more["lost"].as_str().unwrap())] })
        };
        check(&run, &now(json!({ "altered": "pass", "lost": "pass" })), &[]);
        check(
            &run,
            &now(json!({ "altered": "note", "lost": "fail" })),
            &[r#"verdict.checks.lost.status was "pass" and is now "fail""#],
        );
        check(
            &run,
            &now(json!({ "altered": "fail", "lost": "pass" })),
            &[r#"verdict.checks has {"name":"altered","status":"fail"} now"#],
        );
        // What it knew has to be there still.
        let expected = r#"verdict.checks.order.status was "unknown" and is now null"#;
        let gone = json!({ "lost": 0, "checks": [check_of("lost", "pass")] });
        let mut differences = Vec::new();
        compare(&mut differences, "verdict", &run, &gone);
        assert!(
            differences.iter().any(|line| line.starts_with("verdict.checks.order was") || line == expected),
            "{differences:?}"
        );
    }
}
