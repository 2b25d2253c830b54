//! A swarm in several processes: the verdict is that of one, a worker that is gone is never a pass, and none is left
//! behind.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::harness::{Lab, Ran, check, check_evidence, in_time};
use super::recipe::{KILL, LATE, Recipe};
use super::small_node::{Defect, SmallNode};
use crate::support::skip;

/// Ten are cut off before the node is killed: how long it takes to come back is the machine's affair.
const STORM: &str = r#"
[[faults]]
at = "500ms"
type = "reconnect-storm"
clients = 10
"#;

fn recipe(duration: &'static str, workers: Option<u16>) -> Recipe {
    let recipe = Recipe::new("workers", duration).verify("delivery = \"exactly-once\"").and(LATE);
    workers.map_or(recipe.clone(), |workers| recipe.and(&format!("[swarm]\nworkers = {workers}")))
}

/// What must not depend on how many processes there are.
fn essence(ran: &Ran) -> (Option<i32>, Vec<(&Value, &Value)>, Vec<&Value>) {
    let keys = ["failed", "events_lost", "events_duplicated", "events_reordered", "events_unexpected"];
    let figures = keys.iter().map(|key| &ran.report["summary"][key]).collect();
    // A note is no finding: it may tell of a moment in which the machine had other work.
    let checks = ran.report["verdict"]["checks"].as_array().unwrap().iter();
    let checks =
        checks.map(|check| (&check["name"], &check["status"])).filter(|(_, status)| *status != "note");
    (ran.code, checks.collect(), figures)
}

/// Deliveries that were owed for each event, all of which came.
fn owed(ran: &Ran) -> f64 {
    let summary = &ran.report["summary"];
    assert_eq!(summary["events_expected"], summary["events_ok"], "{}", ran.stdout);
    let published = ran.report["delivery"]["publishes"]["ok"].as_f64().unwrap();
    assert!(published > 100.0, "{}", ran.stdout);
    summary["events_expected"].as_f64().unwrap() / published
}

/// Names of the processes in the report that are workers.
fn workers(ran: &Ran) -> Vec<&str> {
    let names =
        ran.report["processes"].as_array().unwrap().iter().filter_map(|process| process["id"].as_str());
    names.filter(|name| name.starts_with("worker-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verdict_over_three_workers_is_that_of_one_process() {
    let one = recipe("5s", Some(1)).and(KILL).and(STORM).lab().run(&[]).await;
    let spread = recipe("5s", Some(3)).and(KILL).and(STORM).lab();
    let three = spread.run(&["--history", "all"]).await;
    assert_eq!(one.code, Some(0), "{}\n{}", one.stdout, one.stderr);
    assert_eq!(essence(&three), essence(&one), "{}\n{}", three.stdout, three.stderr);
    // Those that join later are owed what comes after that, which is not the same event in every run.
    assert!((owed(&one) - owed(&three)).abs() < 1.5, "{} {}", owed(&one), owed(&three));
    assert_eq!((workers(&one).len(), workers(&three)), (0, vec!["worker-1", "worker-2", "worker-3"]));
    let cut = |fault: usize| three.report["faults"][fault]["sessions_cut"].as_u64();
    assert!(
        cut(0) > Some(0) && cut(1) > Some(10),
        "orders reach the clients wherever they are: {}",
        three.stdout
    );
    check_evidence(&spread, &three).await;
    let (code, text) = check(&spread.out()).await;
    assert!(code == Some(0) && text.contains("the history gives the same ledgers"), "{text}");
    std::fs::remove_file(spread.out().join("history-worker-2.jsonl.gz")).unwrap();
    let (code, text) = check(&spread.out()).await;
    assert!(code == Some(104) && text.contains("history-worker-2.jsonl.gz"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_disk_is_full_is_named_and_makes_no_verdict_better() {
    let node = SmallNode::start(Defect::None).await;
    let lab = recipe("2s", Some(2)).attach(&node.base).clients(6).lab();
    std::fs::create_dir(lab.out()).unwrap();
    std::os::unix::fs::symlink("/dev/full", lab.out().join("history-worker-2.jsonl.gz")).unwrap();
    let ran = lab.run(&["--history", "all"]).await;
    assert_eq!(ran.code, Some(1), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("worker-2: history-worker-2.jsonl.gz is not stored"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_event_is_found_by_whichever_worker_lacks_it() {
    let node = SmallNode::start(Defect::DropsOne).await;
    let ran = recipe("3s", Some(3)).attach(&node.base).clients(6).lab().run(&[]).await;
    assert_eq!(ran.code, Some(120), "{}\n{}", ran.stdout, ran.stderr);
    let failed = ran.report["summary"]["failed"].as_array().unwrap();
    assert!(failed.iter().any(|name| name == "lost"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swarm_without_room_in_one_process_gets_workers_unasked() {
    let node = SmallNode::start(Defect::None).await;
    let lab = recipe("2s", None).attach(&node.base).clients(300).lab();
    // Publishes in flight need files too: with 400 there is room for them, and not for 300 clients beside them.
    let run = lab.command(&[]);
    let command: Vec<String> = std::iter::once(run.as_std().get_program())
        .chain(run.as_std().get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -n 400 && exec {}", command.join(" "))).kill_on_drop(true);
    let output = in_time(shell.stdin(Stdio::null()).output()).await;
    let ran = lab.ran(&output);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(workers(&ran), ["worker-1", "worker-2"]);
}

/// Process ids of the workers of a bench, once there are so many.
async fn workers_of(bench: &Child, count: usize) -> Vec<Pid> {
    let parent = bench.id().unwrap();
    let found = async {
        loop {
            let workers = children_of(parent);
            if workers.len() >= count {
                return workers;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("the workers are started")
}

fn children_of(parent: u32) -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_worker = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let ppid = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        ppid == Some(parent) && command.ends_with(b"\0worker\0")
    };
    pids.filter(is_worker).filter_map(Pid::from_raw).collect()
}

/// Waits until a process is gone, or only its exit status is left.
async fn until_gone(pid: Pid) {
    let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let gone = async {
        while std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("a worker ends with its parent");
}

/// Lines that the journal of a run has by now, a second each.
fn seconds_told(lab: &Lab) -> usize {
    let journal = std::fs::read_to_string(lab.out().join("live.jsonl")).unwrap_or_default();
    journal.matches("\"second\"").count()
}

/// Waits until the run has gone on for so many seconds more.
async fn until_seconds_later(lab: &Lab, seconds: usize) {
    let before = seconds_told(lab);
    let goes_on = async {
        while seconds_told(lab) < before + seconds {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), goes_on).await.expect("the run goes on");
}

/// A run that has started to publish.
async fn started(lab: &Lab) -> (Child, Vec<Pid>) {
    start(lab, &mut lab.command(&[])).await
}

async fn start(lab: &Lab, command: &mut Command) -> (Child, Vec<Pid>) {
    let bench = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let workers = workers_of(&bench, 2).await;
    let journal = lab.out().join("live.jsonl");
    let publishes = async {
        while !std::fs::read_to_string(&journal).unwrap_or_default().contains("\"steady\"") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), publishes).await.expect("the clock is started");
    (bench, workers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_makes_the_run_invalid_by_its_name() {
    let lab = recipe("60s", Some(2)).lab();
    let (bench, workers) = started(&lab).await;
    kill_process(workers[0], Signal::KILL).unwrap();
    let ran = lab.ran(&in_time(bench.wait_with_output()).await);
    assert_eq!(ran.code, Some(122), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("worker-") && ran.stdout.contains("failed at"), "{}", ran.stdout);
    assert!(ran.stdout.contains("signal 9"), "{}", ran.stdout);
    for worker in workers {
        until_gone(worker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_whose_loops_panic_make_the_run_invalid_at_once() {
    let lab = recipe("1h", Some(2)).lab();
    let file = lab.path().join("panic");
    let (bench, workers) = start(&lab, lab.command(&[]).env("SSE_BENCH_PANIC_LOOP_FILE", &file)).await;
    std::fs::write(&file, "").unwrap();
    let ran = lab.ran(&in_time(bench.wait_with_output()).await);
    assert_eq!(ran.code, Some(122), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("a loop of clients panicked: asked to panic"), "{}", ran.stdout);
    for worker in workers {
        until_gone(worker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stands_still_for_a_while_makes_the_run_invalid_by_its_name() {
    let lab = recipe("12s", Some(2)).lag("p(99)<1s").lab();
    let (bench, workers) = started(&lab).await;
    kill_process(workers[0], Signal::STOP).unwrap();
    until_seconds_later(&lab, 5).await;
    kill_process(workers[0], Signal::CONT).unwrap();
    let ran = lab.ran(&in_time(bench.wait_with_output()).await);
    assert_eq!(ran.code, Some(122), "{}\n{}", ran.stdout, ran.stderr);
    let thresholds = ran.report["verdict"]["thresholds"].as_array().unwrap();
    let lag = thresholds.iter().find(|threshold| threshold["key"] == "generator_lag").unwrap();
    assert!(lag["measured"].as_str().unwrap().contains(" in worker-"), "{}", ran.stdout);
    assert!(ran.stdout.contains("the bench was late"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stands_still_for_good_is_lost_by_its_name() {
    let lab = recipe("100s", Some(2)).lab();
    let (bench, workers) = started(&lab).await;
    kill_process(workers[0], Signal::STOP).unwrap();
    let ran = lab.ran(&in_time(bench.wait_with_output()).await);
    assert_eq!(ran.code, Some(122), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("worker-") && ran.stdout.contains("no message for"), "{}", ran.stdout);
    for worker in workers {
        until_gone(worker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_end_with_an_interrupt_and_with_the_death_of_their_parent() {
    let lab = recipe("60s", Some(2)).lab();
    let (bench, workers) = started(&lab).await;
    kill_process(Pid::from_raw(bench.id().unwrap().try_into().unwrap()).unwrap(), Signal::INT).unwrap();
    let ran = lab.ran(&in_time(bench.wait_with_output()).await);
    assert_eq!(ran.code, Some(105), "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(ran.report["summary"]["events_lost"], 0, "the ledgers were sent all the same");
    for worker in workers {
        until_gone(worker).await;
    }
    let (mut bench, workers) = started(&lab).await;
    bench.start_kill().unwrap();
    bench.wait().await.unwrap();
    for worker in workers {
        until_gone(worker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_is_closed_ends_a_run_in_order() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    if u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 1 {
        // Under nohup the bench inherits that, and stays when its terminal closes, as it is asked to.
        return skip("SIGHUP is ignored here, as under nohup");
    }
    let lab = recipe("60s", Some(2)).lab();
    let (bench, workers) = started(&lab).await;
    let pid = Pid::from_raw(bench.id().unwrap().try_into().unwrap()).unwrap();
    // The kernel and the shell both tell of it, and the second one is no second wish.
    kill_process(pid, Signal::HUP).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    let ran = lab.ran(&in_time(bench.wait_with_output()).await);
    assert_eq!(ran.code, Some(105), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("SIGHUP"), "{}", ran.stderr);
    assert_eq!(ran.report["summary"]["events_lost"], 0, "it was drained: {}", ran.stdout);
    for worker in workers {
        until_gone(worker).await;
    }
}
