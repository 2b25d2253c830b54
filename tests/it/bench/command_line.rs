//! `sse-bench` refuses what it cannot do, says why, and ends with the code that scripts rely on.

use super::harness::{Lab, bench, in_time};

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
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text.into_owned())
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
async fn a_run_that_does_not_come_to_a_report_leaves_none_of_an_earlier_one() {
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
    assert_eq!(left(), [""; 0]);
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
