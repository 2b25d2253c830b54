//! The scenarios against nodes with one line broken on purpose: each mutant must be convicted, under the right name, and
//! the same scenario must pass where nothing is broken. `make mutants` prints the table; what each mutant does wrong
//! stands in `src/runtime/mutant.rs`. Read [`TRIALS`] first.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sse_lab::runtime::mutant::{ALL, Mutant, VARIABLE};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Longest time that one run may take on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(240);
/// Runs at the same time: each has a bench, a few nodes, and perhaps a Redis.
const AT_ONCE: usize = 2;

/// A scenario in a short form, and the mutants that it must convict.
struct Trial {
    scenario: &'static str,
    /// What makes it short, or sharper.
    args: &'static [&'static str],
    /// Each with how the report must begin to name what failed: a word of the verdict, a threshold, or a finding.
    convicts: &'static [(Mutant, &'static str)],
}

/// Deliveries are judged here, not speed: two slow cores shall not decide.
const LAX: &str = "--set=thresholds={generator_lag=[\"p(99)<2s\"]}";

const TRIALS: &[Trial] = &[
    Trial {
        scenario: "basic",
        // room-1, room-10 and room-11 begin alike.
        args: &[
            "--set=clients.several.clients=12",
            "--set=clients.several.subscribe.topics=[\"room-{i%12}\"]",
            LAX,
        ],
        convicts: &[
            (Mutant::DirectToAll, "isolation leak"),
            (Mutant::TopicPrefix, "isolation leak"),
            (Mutant::AckForgets, "acknowledged and forgotten"),
            (Mutant::IdsGoBack, "lost"),
        ],
    },
    Trial {
        scenario: "quickstart",
        args: &[
            "--set=duration=10s",
            "--set=clients.everybody.clients=60",
            // Only broadcasts: whatever a replay leaves out or repeats is everybody's.
            "--set=publishers.news.rate=40",
            "--set=publishers.mail.rate=40",
            "--set=publishers.mail.mix={broadcast=1}",
            "--set=faults.0.at=3s",
            "--set=faults.0.for=1s",
            "--set=verify.delivery=exactly-once",
            LAX,
        ],
        convicts: &[
            (Mutant::ReplayLate, "lost"),
            (Mutant::ReplayEarly, "duplicated across reconnect"),
            (Mutant::BatchReversed, "reordered"),
        ],
    },
    Trial {
        scenario: "redis-restart",
        args: &[
            "--set=duration=11s",
            "--set=clients.everybody.clients=40",
            "--set=faults.0.at=3s",
            "--set=faults.1.at=7s",
            LAX,
        ],
        convicts: &[(Mutant::TailSkips, "lost")],
    },
    Trial {
        scenario: "redis-rollback",
        args: &[
            "--set=duration=18s",
            "--set=clients.everybody.clients=40",
            "--set=faults.0.at=4s",
            "--set=faults.1.at=4500ms",
            "--set=faults.2.at=5s",
            "--set=faults.2.for=8s",
            "--set=faults.3.at=4800ms",
            "--set=faults.3.clients=20",
            LAX,
        ],
        convicts: &[
            (Mutant::RollbackRepeats, "duplicated in session"),
            (Mutant::RollbackForgets, "acknowledged and forgotten"),
        ],
    },
    Trial {
        scenario: "offline-mailbox",
        args: &[
            "--set=duration=20s",
            "--set=clients.users.clients=40",
            "--set=clients.users.joins=8s",
            "--set=clients.users.ramp=1s",
            "--set=publishers.mail.start_rate=40",
            "--set=publishers.mail.stages=[{duration=\"6s\",target=40}]",
            "--set=faults.0.at=3s",
            "--set=faults.0.for=9s",
            "--set=faults.1.at=10s",
            "--set=faults.1.for=4s",
            "--set=faults.2.at=17s",
            LAX,
        ],
        convicts: &[
            (Mutant::MailTwice, "duplicated in session"),
            (Mutant::MailEarly, "lost"),
            (Mutant::MailStays, "240 messages wait"),
        ],
    },
    Trial { scenario: "mutants/trim", args: &[], convicts: &[(Mutant::GapSilent, "lost")] },
    Trial { scenario: "mutants/small-window", args: &[LAX], convicts: &[(Mutant::SlowSkips, "lost")] },
    Trial {
        scenario: "mutants/farewell",
        args: &[],
        convicts: &[
            (Mutant::DrainCuts, "closes"),
            (Mutant::CloseBare, "reconnect_time"),
            (Mutant::HeartbeatMissing, "heartbeats"),
        ],
    },
    Trial {
        scenario: "mutants/takeover",
        args: &[],
        convicts: &[(Mutant::TakeoverOldest, "closes{group:newer}")],
    },
];

/// What one run came to.
struct Ran {
    trial: usize,
    /// `None`: nothing is broken.
    mutant: Option<Mutant>,
    verdict: String,
    failed: Vec<String>,
    text: String,
}

#[tokio::test]
async fn every_mutant_is_convicted_and_the_node_itself_is_not() {
    let all: Vec<(usize, Option<Mutant>)> = TRIALS
        .iter()
        .enumerate()
        .flat_map(|(trial, told)| {
            let mutants = told.convicts.iter().map(|(mutant, _)| Some(*mutant));
            [None].into_iter().chain(mutants).map(move |mutant| (trial, mutant))
        })
        .filter(|(_, mutant)| is_wanted(*mutant))
        .collect();
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut runs = JoinSet::new();
    for (trial, mutant) in all {
        let permits = Arc::clone(&permits);
        runs.spawn(async move {
            let _permit = permits.acquire().await.unwrap();
            run(trial, mutant).await
        });
    }
    let mut ran = runs.join_all().await;
    ran.sort_by_key(|ran| (ran.trial, ran.mutant.map(|mutant| mutant as usize)));
    println!("{}", table(&ran));
    let wrong: Vec<String> = ran.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_mutant_has_a_trial() {
    let tried: Vec<Mutant> =
        TRIALS.iter().flat_map(|trial| trial.convicts.iter().map(|(mutant, _)| *mutant)).collect();
    let missing: Vec<&str> =
        ALL.iter().filter(|(mutant, ..)| !tried.contains(mutant)).map(|(_, name, _)| *name).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// `MUTANTS=replay-late,gap-silent` tries only these, with their controls.
fn is_wanted(mutant: Option<Mutant>) -> bool {
    let Ok(wanted) = std::env::var("MUTANTS") else { return true };
    mutant.is_none_or(|mutant| wanted.split(',').any(|name| name == name_of(mutant)))
}

fn name_of(mutant: Mutant) -> &'static str {
    ALL.iter().find(|(known, ..)| *known == mutant).unwrap().1
}

async fn run(trial: usize, mutant: Option<Mutant>) -> Ran {
    let Trial { scenario, args, .. } = &TRIALS[trial];
    let dir = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{scenario}.toml"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_sse-bench"));
    command.arg("run").arg(file).args(["--quiet", "--format=text,json", "--out"]).arg(dir.path()).args(*args);
    command.env("SSE_BENCH_NODE_BIN", env!("CARGO_BIN_EXE_sse-node")).env_remove(VARIABLE);
    if let Some(mutant) = mutant {
        command.env(VARIABLE, name_of(mutant));
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output =
        tokio::time::timeout(TIMEOUT, command.output()).await.expect("the run comes to an end").unwrap();
    let report: Value = std::fs::read(dir.path().join("report.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let failed = report["summary"]["failed"].as_array().into_iter().flatten();
    let troubles = report["verdict"]["troubles"].as_array().into_iter().flatten();
    let failed = failed.chain(troubles.map(|trouble| &trouble["message"]));
    let failed = failed.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let verdict = report["summary"]["verdict"].as_str().unwrap_or("no report").to_owned();
    Ran { trial, mutant, verdict, failed, text: text_of(&output) }
}

fn text_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What is wrong with the judgement, if anything.
fn wrong(ran: &Ran) -> Option<String> {
    let Trial { scenario, convicts, .. } = &TRIALS[ran.trial];
    let why = match ran.mutant {
        None if ran.verdict == "PASS" => return None,
        None => "is judged though nothing is broken".to_owned(),
        Some(mutant) => {
            let (_, word) = convicts.iter().find(|(known, _)| *known == mutant)?;
            if ran.verdict == "FAIL" && ran.failed.iter().any(|name| name.starts_with(word)) {
                return None;
            }
            format!("with {} is not judged {word:?}", name_of(mutant))
        }
    };
    Some(format!("{scenario} {why}: {} {:?}\n{}", ran.verdict, ran.failed, ran.text))
}

fn table(ran: &[Ran]) -> String {
    let mut cells = vec![["mutant", "scenario", "verdict", "because of"].map(str::to_owned)];
    let names: BTreeMap<&str, &str> = ALL.iter().map(|(_, name, sentence)| (*name, *sentence)).collect();
    cells.extend(ran.iter().map(|ran| {
        let mutant = ran.mutant.map_or("-", name_of);
        let because = if ran.failed.is_empty() { "-".to_owned() } else { ran.failed.join(", ") };
        [mutant.to_owned(), TRIALS[ran.trial].scenario.to_owned(), ran.verdict.clone(), because]
    }));
    let width = |column: usize| cells.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut text = String::from("\n");
    for row in &cells {
        let [mutant, scenario, verdict, because] = row;
        let (a, b, c) = (widths[0], widths[1], widths[2]);
        text.push_str(&format!("{mutant:<a$}  {scenario:<b$}  {verdict:<c$}  {because}\n"));
    }
    let convicted = ran.iter().filter(|ran| ran.mutant.is_some() && wrong(ran).is_none()).count();
    text.push_str(&format!("\n{convicted} of {} mutants are convicted\n", names.len()));
    text
}
