//! The scenarios against servers that do one thing wrong: each mutant must be convicted, under the right name, and the
//! same scenario must pass where nothing is wrong. What can be done to the bytes is done by an event toxic in the fault
//! proxy, the rest by patches of the node (`patched.rs`). `make mutants` prints the table. Read [`TRIALS`] first.

mod patched;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use patched::words;

/// The variable that chooses the broken line of a patched node.
const VARIABLE: &str = "SSE_NODE_MUTANT";
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

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutant {
    /// An event toxic in the links of the clients, from the beginning on: the name of the mutant, and the lines of the fault.
    Wire(&'static str, &'static str),
    /// A patch of the node.
    Patch(&'static str),
}
use Mutant::{Patch, Wire};

impl Mutant {
    fn name(self) -> &'static str {
        match self {
            Wire(name, _) | Patch(name) => name,
        }
    }
}

/// A replay lacks its first event.
const REPLAY_LATE: Mutant = Wire("replay-late", "type = \"drop_event\"\nwhich = \"first-after-reconnect\"");
/// A replay starts one event early.
const REPLAY_EARLY: Mutant = Wire("replay-early", "type = \"rewrite_last_event_id\"\nback = 1");
/// Events go out in another order.
const BATCH_REVERSED: Mutant = Wire("batch-reversed", "type = \"reorder_events\"\nrate = 0.2");
/// A cursor that the log has trimmed away goes on without a GAP.
const GAP_SILENT: Mutant = Wire("gap-silent", "type = \"drop_event\"\nevent = \"GAP\"");
/// One publish of ten is acknowledged and never appended.
const ACK_FORGETS: Mutant = Wire("ack-forgets", "type = \"answer_publish\"\nstatus = 202\nrate = 0.1");
/// A mailbox is delivered twice.
const MAIL_TWICE: Mutant = Wire("mail-twice", "type = \"duplicate_event\"");
/// A quiet stream gets no heartbeat.
const HEARTBEAT_MISSING: Mutant = Wire("heartbeat-missing", "type = \"drop_event\"\nwhich = \"comments\"");
/// No CLOSE says when to come back.
const CLOSE_BARE: Mutant = Wire("close-bare", "type = \"drop_event\"\nevent = \"CLOSE\"");
/// A drain ends a stream in the middle of its CLOSE.
const DRAIN_CUTS: Mutant = Wire("drain-cuts", "type = \"truncate_event\"\nevent = \"CLOSE\"");

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
            (Patch("direct-to-all"), "isolation leak"),
            (Patch("topic-prefix"), "isolation leak"),
            (ACK_FORGETS, "acknowledged and forgotten"),
            (Patch("ids-go-back"), "lost"),
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
            (REPLAY_LATE, "lost"),
            (REPLAY_EARLY, "duplicated across reconnect"),
            (BATCH_REVERSED, "reordered"),
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
        convicts: &[(Patch("tail-skips"), "lost")],
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
            (Patch("rollback-repeats"), "duplicated in session"),
            (Patch("rollback-forgets"), "acknowledged and forgotten"),
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
            (MAIL_TWICE, "duplicated in session"),
            (Patch("mail-early"), "lost"),
            (Patch("mail-stays"), "240 messages wait"),
        ],
    },
    Trial { scenario: "mutants/trim", args: &[], convicts: &[(GAP_SILENT, "lost")] },
    Trial { scenario: "mutants/small-window", args: &[LAX], convicts: &[(Patch("slow-skips"), "lost")] },
    Trial {
        scenario: "mutants/farewell",
        args: &[],
        convicts: &[
            (DRAIN_CUTS, "closes"),
            (CLOSE_BARE, "reconnect_time"),
            (HEARTBEAT_MISSING, "heartbeats"),
        ],
    },
    Trial {
        scenario: "mutants/takeover",
        args: &[],
        convicts: &[(Patch("takeover-oldest"), "closes{group:newer}")],
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
    let began = std::time::Instant::now();
    let node = Arc::from(build());
    println!("the patched node took {:.1} minutes", began.elapsed().as_secs_f64() / 60.0);
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
        let (permits, node) = (Arc::clone(&permits), Arc::clone(&node));
        runs.spawn(async move {
            let _permit = permits.acquire().await.unwrap();
            run(trial, mutant, &node).await
        });
    }
    let mut ran = runs.join_all().await;
    ran.sort_by_key(|ran| (ran.trial, ran.mutant.map(Mutant::name)));
    println!("{}", table(&ran));
    println!("{:.1} minutes", began.elapsed().as_secs_f64() / 60.0);
    let wrong: Vec<String> = ran.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_patch_has_a_trial_and_says_what_it_breaks() {
    let tried: Vec<&str> = TRIALS
        .iter()
        .flat_map(|trial| trial.convicts.iter().filter(|(mutant, _)| matches!(mutant, Patch(_))))
        .map(|(mutant, _)| mutant.name())
        .collect();
    let patches = patched::patches();
    let names: Vec<&str> = patches.iter().map(|(name, _)| name.as_str()).collect();
    let mut sorted = tried.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, names);
    for (name, what) in &patches {
        assert!(what.ends_with('.'), "{name}.patch does not say what it breaks");
    }
}

/// `MUTANTS=replay-late,gap-silent` tries only these, with their controls.
fn is_wanted(mutant: Option<Mutant>) -> bool {
    let Ok(wanted) = std::env::var("MUTANTS") else { return true };
    mutant.is_none_or(|mutant| wanted.split(',').any(|name| name == mutant.name()))
}

async fn run(trial: usize, mutant: Option<Mutant>, patched: &Path) -> Ran {
    let Trial { scenario, args, .. } = &TRIALS[trial];
    let dir = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{scenario}.toml"));
    let mut text = std::fs::read_to_string(file).unwrap();
    if let Some(Wire(_, fault)) = mutant {
        text += &format!("\n[[faults]]\nat = \"0s\"\nlink = \"client->node\"\n{fault}\n");
    }
    let file = dir.path().join("scenario.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sse-bench"));
    command.arg("run").arg(file).args(["--quiet", "--format=text,json", "--out"]).arg(dir.path()).args(*args);
    command.env_remove(VARIABLE);
    match mutant {
        Some(Patch(name)) => command.env("SSE_BENCH_NODE_BIN", patched).env(VARIABLE, name),
        Some(Wire(..)) | None => command.env("SSE_BENCH_NODE_BIN", env!("CARGO_BIN_EXE_sse-node")),
    };
    // The honest twin of what is wrong on the wire passes the proxy too.
    if !matches!(mutant, Some(Patch(_))) {
        command.arg("--set=cluster.proxy=[\"client->node\"]");
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
    Ran { trial, mutant, verdict, failed, text: words(&output) }
}

/// Builds the patched node; its file is in the target directory of the tests.
///
/// # Panics
/// It does not build.
fn build() -> PathBuf {
    let tree = patched::tree();
    let debug = Path::new(env!("CARGO_BIN_EXE_sse-node")).parent().unwrap();
    let target = debug.parent().unwrap();
    let own = target.join("mutants");
    let mut command = std::process::Command::new(env!("CARGO"));
    // Dependencies are those of the tests; only what is put beside `debug` is its own.
    command.env("CARGO_BUILD_BUILD_DIR", target).env("CARGO_TARGET_DIR", &own).current_dir(tree.path());
    command.args(["build", "--locked", "--offline", "-q", "--bin", "sse-node"]);
    let output = command.output().expect("cargo is there");
    assert!(output.status.success(), "the patched node does not build: {}", words(&output));
    own.join("debug/sse-node")
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
            format!("with {} is not judged {word:?}", mutant.name())
        }
    };
    Some(format!("{scenario} {why}: {} {:?}\n{}", ran.verdict, ran.failed, ran.text))
}

fn table(ran: &[Ran]) -> String {
    let mut cells = vec![["mutant", "scenario", "verdict", "because of"].map(str::to_owned)];
    cells.extend(ran.iter().map(|ran| {
        let mutant = ran.mutant.map_or("-", Mutant::name);
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
    text.push_str(&format!(
        "\n{convicted} of {} mutants are convicted\n",
        ran.iter().filter(|ran| ran.mutant.is_some()).count()
    ));
    text
}
