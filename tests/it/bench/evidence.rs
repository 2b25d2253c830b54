//! What a run stores is judged again like the run; what is damaged or could not be written is told by name, and is never a
//! pass. `broken` judges every one of its runs again, too.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::harness::{Lab, bench, check, check_evidence, in_time};
use super::small_node::{Defect, SmallNode};

const SCENARIO: &str = r#"
schema = 1
name = "evidence"
seed = 7
duration = "1s"

[cluster]
attach = ["NODE"]

[clients.all]
clients = 4
subscribe = { topics = ["room-{i%2}"], user = "u{i}" }

[publishers.main]
rate = 100
mix = { broadcast = 1, topic = 1, user = 1 }

[verify]
quiesce = { idle = "1s", timeout = "10s" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_is_unknown_again() {
    let node = SmallNode::start(Defect::None).await;
    let thresholds = "[thresholds]\nrecovery_time = [\"p(95)<1s\"]\n";
    let lab = Lab::new(&(SCENARIO.replace("NODE", &node.base) + thresholds));
    let ran = lab.run(&[]).await;
    assert_eq!(ran.code, Some(121), "{}", ran.stdout);
    check_evidence(&lab, &ran).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_evidence_is_named_and_never_passes() {
    let node = SmallNode::start(Defect::None).await;
    let lab = Lab::new(&SCENARIO.replace("NODE", &node.base));
    let ran = lab.run(&["--history", "all"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    assert_eq!(check(&lab.out()).await.0, Some(0));
    for name in ["case.json", "books.bin", "anomalies.jsonl", "history.jsonl.gz", "verdict.json"] {
        let path = lab.out().join(name);
        let whole = std::fs::read(&path).unwrap();
        let cut = whole.len() / 2;
        std::fs::write(&path, &whole[..cut]).unwrap();
        let (code, text) = check(&lab.out()).await;
        // What went wrong is nothing here, so there is nothing to cut.
        if cut < whole.len() {
            assert_eq!(code, Some(1), "{text}");
            assert!(text.contains(name) && text.contains("damaged"), "{text}");
        }
        std::fs::remove_file(&path).unwrap();
        let (code, text) = check(&lab.out()).await;
        assert_eq!(code, Some(104), "{text}");
        assert!(text.contains(name) && text.contains("missing"), "{text}");
        std::fs::write(&path, &whole).unwrap();
    }
    assert_eq!(check(&lab.out()).await.0, Some(0), "it is whole again");
    let verdict = lab.out().join("verdict.json");
    let better = std::fs::read_to_string(&verdict).unwrap().replace("\"lost\": 0", "\"lost\": 3");
    std::fs::write(&verdict, better).unwrap();
    let (code, text) = check(&lab.out()).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("account.lost was 3 and is now 0"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_in_full_gives_the_books_and_what_was_changed_in_it_is_found() {
    for defect in [Defect::None, Defect::DropsOne, Defect::DeliversTwice] {
        let node = SmallNode::start(defect).await;
        let lab = Lab::new(&SCENARIO.replace("NODE", &node.base));
        let ran = lab.run(&["--history", "all"]).await;
        check_evidence(&lab, &ran).await;
        let (code, text) = check(&lab.out()).await;
        assert_eq!(code, ran.code);
        assert!(text.contains("the history gives the same ledgers"), "{text}");
    }
    let node = SmallNode::start(Defect::None).await;
    let lab = Lab::new(&SCENARIO.replace("NODE", &node.base));
    lab.run(&["--history", "all"]).await;
    // An arrival is taken out, and the checksums are made to fit.
    let path = lab.out().join("history.jsonl.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
    let removed = text.lines().position(|line| line.contains("\"op\":\"event\"")).unwrap();
    let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let kept = text.lines().enumerate().filter(|(number, _)| *number != removed);
    kept.for_each(|(_, line)| writeln!(file, "{line}").unwrap());
    let bytes = file.finish().unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let verdict = lab.out().join("verdict.json");
    let mut decision: serde_json::Value = serde_json::from_slice(&std::fs::read(&verdict).unwrap()).unwrap();
    for entry in decision["files"].as_array_mut().unwrap() {
        if entry["name"] == "history.jsonl.gz" {
            entry["bytes"] = bytes.len().into();
            entry["crc32"] = crc32fast::hash(&bytes).into();
        }
    }
    std::fs::write(&verdict, decision.to_string()).unwrap();
    let (code, text) = check(&lab.out()).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("differs from the one that the history gives"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_stored_nothing_cannot_be_checked() {
    let node = SmallNode::start(Defect::None).await;
    let lab = Lab::new(&SCENARIO.replace("NODE", &node.base));
    let ran = lab.run(&["--history", "off"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    let (code, text) = check(&lab.out()).await;
    assert_eq!(code, Some(104), "{text}");
    assert!(text.contains("--history off"), "{text}");
    // Nor is it taken for a run that was in its directory before.
    assert_eq!(lab.run(&[]).await.code, Some(0));
    assert_eq!(check(&lab.out()).await.0, Some(0));
    assert_eq!(lab.run(&["--history", "off"]).await.code, Some(0));
    assert_eq!(check(&lab.out()).await.0, Some(104));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_hides_no_verdict_and_makes_none_better() {
    for (defect, code, word) in [(Defect::DropsOne, 120, "FAIL"), (Defect::None, 1, "ERROR")] {
        let node = SmallNode::start(defect).await;
        let lab = Lab::new(&SCENARIO.replace("NODE", &node.base));
        std::fs::create_dir(lab.out()).unwrap();
        for name in ["books.bin", "report.txt", "history.jsonl.gz"] {
            std::os::unix::fs::symlink("/dev/full", lab.out().join(name)).unwrap();
        }
        let ran = lab.run(&["--history", "all"]).await;
        assert_eq!(ran.code, Some(code), "{}", ran.stdout);
        assert!(ran.stdout.contains(word), "{}", ran.stdout);
        for trouble in
            ["the evidence is not stored", "books.bin", "report.txt", "history.jsonl.gz is not stored"]
        {
            assert!(ran.stdout.contains(trouble), "{trouble:?} is not in\n{}", ran.stdout);
        }
        assert_eq!(ran.report["summary"]["exit_code"], code, "the report on the disk says the same");
        let (code, text) = check(&lab.out()).await;
        assert_eq!(code, Some(104), "{text}");
    }
}

/// A run against a small node, in a directory of its own.
async fn ran(defect: Defect, seed: &str, more: &str) -> Lab {
    let node = SmallNode::start(defect).await;
    let lab = Lab::new(&(SCENARIO.replace("NODE", &node.base) + more));
    let ran = lab.run(&["--seed", seed]).await;
    assert!(ran.report.is_object(), "{}\n{}", ran.stdout, ran.stderr);
    lab
}

/// A command on stored runs: its exit code, and what it says.
async fn on_runs(command: &str, labs: &[&Lab], more: &[&str]) -> (Option<i32>, String) {
    let mut command = bench(&[command]);
    labs.iter().for_each(|lab| _ = command.arg(lab.out()));
    let output = in_time(command.args(more).output()).await;
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn summary(dir: &Path) -> serde_json::Value {
    let report = std::fs::read_to_string(dir.join("report.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&report).unwrap()["summary"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_runs_are_added_and_judged_as_one() {
    let (good, bad) = (ran(Defect::None, "1", "").await, ran(Defect::DropsOne, "2", "").await);
    let whole = tempfile::tempdir().unwrap();
    let out = whole.path().to_str().unwrap();
    let (code, text) = on_runs("merge", &[&good, &bad], &["-o", out]).await;
    assert_eq!(code, Some(120), "{text}");
    let [a, b, sum] = [good.out(), bad.out(), whole.path().to_owned()].map(|dir| summary(&dir));
    for key in ["events_expected", "events_ok", "events_lost"] {
        assert_eq!(sum[key].as_u64(), Some(a[key].as_u64().unwrap() + b[key].as_u64().unwrap()), "{key}");
    }
    assert_eq!(check(whole.path()).await.0, Some(120), "it can be judged again");
    let (code, text) = on_runs("merge", &[&good], &["-o", out]).await;
    assert!(code == Some(104) && text.contains("it holds a run already"), "{text}");
    let other = tempfile::tempdir().unwrap();
    let out = other.path().to_str().unwrap();
    let (code, text) = on_runs("merge", &[&good, &good], &["-o", out]).await;
    assert!(code == Some(104) && text.contains("which another directory holds too"), "{text}");
    let different = ran(Defect::None, "3", "[thresholds]\nevents_lost = [\"count==0\"]\n").await;
    let (code, text) = on_runs("merge", &[&good, &different], &["-o", out]).await;
    assert!(code == Some(104) && text.contains("the thresholds differ"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_fails_where_a_change_is_too_large_and_passes_nothing_that_was_not_measured() {
    let (base, new) = (ran(Defect::None, "1", "").await, ran(Defect::DropsOne, "1", "").await);
    let fine = "publish_time:p(50)>+10000000%";
    let (code, text) = on_runs("compare", &[&base, &new], &["--fail-on", fine]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("delivery_latency p(99)") && text.contains("events_expected count"), "{text}");
    let worse = ["--fail-on", fine, "--fail-on", "events_lost:count>+10%"];
    let (code, text) = on_runs("compare", &[&base, &new], &worse).await;
    assert_eq!(code, Some(99), "{text}");
    assert!(text.contains("✗ events_lost:count>+10%"), "{text}");
    let nothing = ["--format", "json", "--fail-on", "reconnect_time:p(95)>+10%"];
    let (code, text) = on_runs("compare", &[&base, &new], &nothing).await;
    assert_eq!(code, Some(121), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["exit_code"], &json["limits"][0]["status"]), (&121.into(), &"unknown".into()));
    let (code, text) = on_runs("compare", &[&base, &new], &["--fail-on", "events_lost>10"]).await;
    assert!(code == Some(2) && text.contains("metric{tag:value}:aggregation"), "{text}");
}

/// A run of a few seconds with a threshold that nobody can judge.
fn doubtful(node: &SmallNode) -> Lab {
    let thresholds = "[thresholds]\nrecovery_time = [\"p(95)<1s\"]\n";
    let text = SCENARIO.replace("NODE", &node.base).replace("duration = \"1s\"", "duration = \"4s\"");
    Lab::new(&(text + thresholds))
}

/// The same, interrupted when it has begun.
async fn interrupted(node: &SmallNode) -> Lab {
    let lab = doubtful(node);
    let bench = lab.start();
    let journal = lab.out().join("live.jsonl");
    let publishes = async {
        while !std::fs::read_to_string(&journal).unwrap_or_default().contains("\"steady\"") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), publishes).await.expect("the clock is started");
    let pid = Pid::from_raw(bench.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let ran = lab.ran(&in_time(bench.wait_with_output()).await);
    assert_eq!(ran.code, Some(105), "{}\n{}", ran.stdout, ran.stderr);
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_interrupted_is_compared_with_nothing_and_excuses_no_other_part() {
    let node = SmallNode::start(Defect::None).await;
    let cut = interrupted(&node).await;
    let whole = doubtful(&node);
    assert_eq!(whole.run(&["--seed", "8"]).await.code, Some(121));
    let limit = ["--fail-on", "publish_time:p(50)>+10000000%"];
    let (code, text) = on_runs("compare", &[&whole, &cut], &limit).await;
    assert_eq!(code, Some(121), "{text}");
    assert!(text.contains("the new run is INTERRUPTED (105)") && text.contains("UNKNOWN (121)"), "{text}");
    assert!(text.contains("? publish_time"), "no limit passes: {text}");
    let sum = tempfile::tempdir().unwrap();
    let (code, text) = on_runs("merge", &[&cut, &whole], &["-o", sum.path().to_str().unwrap()]).await;
    assert_eq!(code, Some(121), "no better than its parts: {text}");
    assert_eq!(check(sum.path()).await.0, Some(121));
}

/// A run of two seconds that the build of commit 92aa700 stored, with its full history.
const EARLIER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runs/format-4");

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_an_earlier_version_is_checked_as_it_was() {
    let (code, text) = check(Path::new(EARLIER)).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("the history gives the same ledgers"), "{text}");
    // What it says of itself is still held against it.
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(EARLIER).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let verdict = copy.path().join("verdict.json");
    let written = std::fs::read_to_string(&verdict).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(written.contains(from), "{from} is not in {written}");
        std::fs::write(&verdict, written.replacen(from, to, 1)).unwrap();
    };
    changed("\"reordered\": 0", "\"reordered\": 2");
    let (code, text) = check(copy.path()).await;
    assert!(code == Some(1) && text.contains("account.reordered was 2 and is now 0"), "{text}");
    changed("\"format\": 4", "\"format\": 3");
    let (code, text) = check(copy.path()).await;
    assert!(code == Some(104) && text.contains("its format is 3; this sse-bench reads format"), "{text}");
}
