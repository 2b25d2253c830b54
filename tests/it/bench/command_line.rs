//! `sse-bench` refuses what it cannot do, says why, and ends with the code that scripts rely on.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use sse_lab::client::HttpOptions;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::harness::{Lab, bench, in_time, unbroken, until_nobody_listens};

const SMALL: &str = r#"
schema = 1
name = "small"
duration = "1s"

[cluster]
nodes = 1
broker = "memory"

[clients.all]
clients = 3

[publishers.main]
rate = 20

[verify]
quiesce = { idle = "2s", timeout = "20s" }

[thresholds]
generator_lag = ["p(99)<60s"]
"#;

/// Exit code, and everything that was printed.
async fn outcome(mut command: tokio::process::Command) -> (Option<i32>, String) {
    let output = in_time(command.output()).await;
    (output.status.code(), unbroken(&[output.stdout, output.stderr].concat()))
}

async fn check(args: &[&str], code: i32, words: &[&str]) {
    let (found, text) = outcome(bench(args)).await;
    assert_eq!(found, Some(code), "{args:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

#[tokio::test]
async fn a_bad_command_line_is_told_with_what_was_meant() {
    check(&[], 2, &["Usage"]).await;
    check(&["rum", "x.toml"], 2, &["run"]).await;
    check(&["run", "x.toml", "--sed", "1"], 2, &["--se"]).await;
    check(&["publish", "nonsense"], 2, &["http://HOST:PORT"]).await;
    check(&["--help"], 0, &["swarm", "Exit codes", "122"]).await;
    check(&["completions", "bash"], 0, &["sse-bench"]).await;
    check(&["man"], 0, &[".TH"]).await;
    check(&["man", "run"], 0, &["SSE_BENCH_KEEP_CLUSTER", "clients\\-scale"]).await;
    check(&["man", "rum"], 2, &["\"rum\"", "run, validate"]).await;
}

#[tokio::test]
async fn a_bad_scenario_is_told_with_all_its_problems() {
    check(&["run", "/does/not/exist.toml"], 104, &["/does/not/exist.toml"]).await;
    let lab = Lab::new(&SMALL.replace("rate = 20", "rat = 20").replace("clients = 3", "clients = -3"));
    let path = lab.scenario();
    let path = path.to_str().unwrap();
    check(&["run", path], 104, &["publishers.main.rat", "rate", "clients.all.clients"]).await;
    check(&["validate", path], 104, &["publishers.main.rat"]).await;
}

#[tokio::test]
async fn a_fault_of_a_process_is_refused_where_the_bench_did_not_start_it() {
    let fault = "[[faults]]\nat = \"500ms\"\ntype = \"pause\"\n";
    let lab = Lab::new(&format!("{SMALL}{fault}"));
    let (code, text) = outcome(lab.command(&["--target", "http://127.0.0.1:1"])).await;
    assert_eq!(code, Some(104), "{text}");
    assert!(text.contains("pause"), "{text}");
}

#[tokio::test]
async fn a_cluster_that_does_not_come_up_is_told_with_its_last_words() {
    let lab = Lab::new(SMALL);
    let mut missing = lab.command(&[]);
    missing.env("SSE_BENCH_NODE_BIN", "/does/not/exist");
    let (code, text) = outcome(missing).await;
    assert_eq!(code, Some(100), "{text}");
    assert!(text.contains("/does/not/exist"), "{text}");
    let lab =
        Lab::new(&SMALL.replace("broker = \"memory\"", "broker = \"memory\"\nflags = { nonsense = 1 }"));
    let (code, text) = outcome(lab.command(&[])).await;
    assert_eq!(code, Some(100), "{text}");
    assert!(text.contains("n1") && text.contains("--nonsense"), "{text}");
}

#[tokio::test]
async fn a_run_that_cannot_start_leaves_no_file_of_an_earlier_one_and_its_own_say_why() {
    let lab = Lab::new(SMALL);
    let (code, text) = outcome(lab.command(&["--format", "html,text,junit"])).await;
    assert_eq!(code, Some(0), "{text}");
    let results = ["report.json", "report.html", "report.txt", "junit.xml", "series.json", "verdict.json"];
    let left = || results.into_iter().filter(|name| lab.out().join(name).exists()).collect::<Vec<_>>();
    assert_eq!(left(), results);
    let mut missing = lab.command(&[]);
    missing.env("SSE_BENCH_NODE_BIN", "/does/not/exist");
    let (code, text) = outcome(missing).await;
    assert_eq!(code, Some(100), "{text}");
    assert_eq!(left(), ["report.json", "report.txt", "series.json"]);
    let read = |name: &str| std::fs::read_to_string(lab.out().join(name)).unwrap();
    let report: serde_json::Value = serde_json::from_str(&read("report.json")).unwrap();
    assert_eq!(
        (&report["summary"]["verdict"], &report["summary"]["exit_code"]),
        (&"ERROR".into(), &100.into())
    );
    assert!(report["summary"]["failed"][0].as_str().unwrap().contains("/does/not/exist"), "{report:#}");
    assert!(read("report.txt").contains("/does/not/exist"), "{}", read("report.txt"));
    let mut missing = lab.command(&["--format", "junit,html,md,csv"]);
    missing.env("SSE_BENCH_NODE_BIN", "/does/not/exist");
    let (code, text) = outcome(missing).await;
    assert_eq!(code, Some(100), "{text}");
    let junit = read("junit.xml");
    assert!(
        junit.contains("tests=\"2\" failures=\"0\" errors=\"1\"") && junit.contains("/does/not/exist"),
        "{junit}"
    );
    assert!(text.contains(&junit), "{text}");
    assert!(left().contains(&"report.html"));
    let journal = std::fs::read_to_string(lab.out().join("live.jsonl")).unwrap();
    let end: serde_json::Value = serde_json::from_str(journal.lines().last().unwrap()).unwrap();
    assert_eq!((&end["exit_code"], &end["summary"]), (&100.into(), &serde_json::Value::Null), "{end}");
}

#[tokio::test]
async fn faults_that_meet_one_process_at_one_time_are_told_before_the_run() {
    let fault = |at, kind| format!("[[faults]]\nat = \"{at}\"\nfor = \"500ms\"\ntype = \"{kind}\"\n");
    let lab = Lab::new(&format!("{SMALL}{}{}", fault("200ms", "kill"), fault("400ms", "pause")));
    let path = lab.scenario();
    let words = ["warning: faults kill-1 (kill n1) and pause-1 (pause n1) overlap on n1 at 400ms", "123"];
    check(&["validate", path.to_str().unwrap()], 0, &words).await;
}

#[tokio::test]
async fn several_runs_end_with_a_table_and_the_worst_code() {
    let lab = Lab::new(SMALL);
    let bad = SMALL.replace("name = \"small\"", "name = \"strict\"").replace(
        "generator_lag = [\"p(99)<60s\"]",
        "events_ok = [\"count<1\"]\ngenerator_lag = [\"p(99)<60s\"]",
    );
    let second = lab.path().join("strict.toml");
    std::fs::write(&second, bad).unwrap();
    let (code, text) = outcome(lab.command(&[second.to_str().unwrap(), "--clients-scale", "2"])).await;
    assert_eq!(code, Some(99), "{text}");
    let table = text.split("results in\n").last().unwrap();
    assert!(table.contains("PASS 0") && table.contains("FAIL 99"), "{table}");
    let dirs = std::fs::read_dir(lab.out()).unwrap().count();
    assert_eq!(dirs, 2, "each run has a directory of its own");
}

#[tokio::test]
async fn repeats_run_with_one_seed_after_the_other_until_one_fails() {
    let lab = Lab::new(SMALL);
    let (code, text) = outcome(lab.command(&["--repeat", "2", "--seed", "5", "--no-faults"])).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("seed 5") && text.contains("seed 6"), "{text}");
    let failing = ["--until-fail", "--repeat", "3", "-s", "thresholds.events_ok=[\"count<1\"]"];
    let lab = Lab::new(SMALL);
    let (code, text) = outcome(lab.command(&failing)).await;
    assert_eq!(code, Some(99), "{text}");
    assert_eq!(text.matches("VERDICT").count(), 1, "{text}");
}

#[tokio::test]
async fn json_goes_to_stdout_where_it_is_asked_for_and_progress_does_not() {
    let lab = Lab::new(SMALL);
    let output = in_time(lab.command(&["--format", "json"]).output()).await;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["summary"]["verdict"], "PASS", "{report:#}");
    assert!(!lab.out().join("report.txt").exists());
}

#[tokio::test]
async fn a_cluster_that_is_kept_is_told_and_runs_until_an_interrupt() {
    let lab = Lab::new(SMALL);
    let mut bench = lab.command(&["--keep-cluster", "-q"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(bench.stdout.take().unwrap()).lines();
    let url = loop {
        let line = lines.next_line().await.unwrap().expect("it says where the node is");
        if let Some((_, rest)) = line.split_once("n1 is still running at ") {
            break rest.split(';').next().unwrap().to_owned();
        }
    };
    let http = HttpOptions::default().build().unwrap();
    let ready = http.get(format!("{url}/health/ready")).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    assert!(lab.out().join("report.json").exists(), "it is reported already");
    kill_process(Pid::from_raw(bench.id().unwrap().try_into().unwrap()).unwrap(), Signal::INT).unwrap();
    let output = in_time(bench.wait_with_output()).await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    until_nobody_listens(url.strip_prefix("http://").unwrap()).await;
}

#[tokio::test]
async fn only_the_cluster_of_a_single_run_can_be_kept() {
    let lab = Lab::new(SMALL);
    let path = lab.scenario();
    let path = path.to_str().unwrap();
    check(&["run", path, path, "--keep-cluster"], 2, &["--keep-cluster", "a single run"]).await;
    check(&["run", path, "--repeat", "2", "--keep-cluster"], 2, &["--keep-cluster", "--repeat"]).await;
}

/// Names of the presets, as the program tells them.
async fn presets() -> Vec<String> {
    let (_, text) = outcome(bench(&["new", "x", "--preset", "nonsense"])).await;
    let (_, names) = text.split_once("[possible values: ").expect("it says what there is");
    names.split(']').next().unwrap().split(", ").map(str::to_owned).collect()
}

#[tokio::test]
async fn every_preset_is_valid_as_it_is_written() {
    let presets = presets().await;
    assert_eq!(presets.len(), 8, "{presets:?}");
    let dir = tempfile::tempdir().unwrap();
    for preset in presets {
        let file = dir.path().join(format!("{preset}.toml"));
        let file = file.to_str().unwrap();
        check(&["new", file, "--preset", &preset], 0, &["sse-bench run"]).await;
        check(&["validate", file], 0, &[&format!("{preset}: valid"), "deliveries expected"]).await;
    }
}

#[tokio::test]
async fn the_first_preset_passes_when_it_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("first.toml");
    check(&["new", file.to_str().unwrap()], 0, &[]).await;
    let lab = Lab::new(&std::fs::read_to_string(&file).unwrap());
    // Shorter, smaller, and without limits that only a machine for itself can keep.
    let ran = lab.command(&[
        "-z",
        "6s",
        "--clients-scale",
        "0.2",
        "-s",
        "cluster.flags.retry=1s",
        "-s",
        "thresholds={ events_ok = [\"count>100\"], generator_lag = [\"p(99)<60s\"] }",
    ]);
    let (code, text) = outcome(ran).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("crash"), "the fault is told: {text}");
}

#[tokio::test]
async fn a_variable_that_says_no_is_in_the_way_of_no_flag_and_a_flag_wins_over_the_variable_of_another() {
    let lab = Lab::new(SMALL);
    let path = lab.scenario();
    let with = |words: &[&str], variables: &[(&str, &str)]| {
        let mut command = bench(&[words[0], path.to_str().unwrap()]);
        command.args(&words[1..]).envs(variables.iter().copied());
        outcome(command)
    };
    let nowhere = "/does/not/exist.pem";
    let (code, text) = with(&["validate", "--insecure"], &[("SSE_BENCH_CA", nowhere)]).await;
    assert_eq!(code, Some(0), "{text}");
    for value in ["0", "1"] {
        let told = with(&["validate", "--ca", nowhere], &[("SSE_BENCH_INSECURE", value)]).await;
        assert!(told.0 == Some(104) && told.1.contains(nowhere), "{told:?}");
    }
    let both = [("SSE_BENCH_CA", nowhere), ("SSE_BENCH_INSECURE", "1")];
    let told = with(&["validate"], &both).await;
    assert!(told.0 == Some(2) && told.1.contains("SSE_BENCH_INSECURE cannot be used"), "{told:?}");
    let told = with(&["validate", "--insecure", "--ca", nowhere], &[]).await;
    assert!(told.0 == Some(2) && told.1.contains("--insecure cannot be used with --ca"), "{told:?}");
    // Beyond the flags, to the file that is not there.
    let told = with(&["run", "--repeat", "2", "--ca", nowhere], &[("SSE_BENCH_KEEP_CLUSTER", "0")]).await;
    assert!(told.0 == Some(104) && told.1.contains(nowhere), "{told:?}");
}

#[tokio::test]
async fn a_variable_stands_for_a_flag_and_a_flag_goes_before_it() {
    let lab = Lab::new(SMALL);
    let path = lab.scenario();
    let validate = |args: &[&str]| {
        let mut command = bench(&["validate", path.to_str().unwrap()]);
        command.args(args).env("SSE_BENCH_DURATION", "2s").env("SSE_BENCH_CLIENTS_SCALE", "5");
        command.env("SSE_BENCH_SET", "seed=9\npublishers.main.rate=10").env("SSE_BENCH_NO_FAULTS", "1");
        outcome(command)
    };
    let (code, text) = validate(&[]).await;
    assert!(code == Some(0) && text.contains("seed 9, 2s, 1 nodes, 15 clients"), "{text}");
    let (code, text) = validate(&["-z", "3s", "--clients-scale", "1", "-s", "seed=4"]).await;
    assert!(code == Some(0) && text.contains("seed 4, 3s, 1 nodes, 3 clients"), "{text}");
}
