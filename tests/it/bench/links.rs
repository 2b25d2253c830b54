//! Links that a run breaks: each fault of a link at work on real nodes, healed, and told; and after a ^C in the middle
//! of one nothing listens any more.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::harness::{Lab, in_time, until_nobody_listens};
use super::recipe::Recipe;

fn scenario(duration: &'static str, faults: &[&str]) -> Lab {
    let nodes = "nodes = 1\nbroker = \"file\"\nproxy = [\"client->node\"]";
    let recipe = Recipe::new("links", duration).nodes(nodes).rate(50);
    let recipe = recipe.verify("delivery = \"at-least-once\"\norder = \"none\"\ngaps = \"forbidden\"");
    let broken = faults.iter().map(|fault| fault.replace("; ", "\n"));
    broken
        .fold(recipe, |recipe, fault| recipe.and(&format!("[[faults]]\nlink = \"client->node\"\n{fault}\n")))
        .lab()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_link_that_was_broken_is_healed_and_nobody_loses_an_event() {
    let faults = [
        r#"type = "reset_peer"; at = "500ms"; for = "200ms""#,
        r#"type = "slicer"; at = "2500ms"; for = "500ms"; average_size = 3; size_variation = 2"#,
        r#"type = "stall"; at = "3500ms"; for = "500ms""#,
        r#"type = "down"; at = "4500ms"; for = "200ms""#,
    ];
    let ran = scenario("7s", &faults).run(&[]).await;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    let faults = ran.report["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 4);
    for fault in faults {
        assert!(fault["applied_ms"].is_number() && fault["healed_ms"].is_number(), "{fault:#}");
        assert!(fault["error"].is_null(), "{fault:#}");
    }
    assert_eq!(faults[0]["sessions_cut"], 20, "all streams are silent, and all are reset: {:#}", faults[0]);
    assert!(ran.stdout.contains("reset_peer-1 (reset_peer client->node n1)"), "{}", ran.stdout);
    let delivery = &ran.report["delivery"];
    assert!(delivery["lost"] == 0 && delivery["ok"].as_u64() > Some(0), "{delivery:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_interrupt_in_the_middle_of_a_stall_nothing_listens_any_more() {
    let lab = scenario("60s", &[r#"type = "stall"; at = "100ms""#]);
    let mut bench = lab.start();
    let pid = bench.id().unwrap();
    let mut told = BufReader::new(bench.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("fault applied") {
        line.clear();
        assert!(told.read_line(&mut line).await.unwrap() > 0, "it ended before the fault");
    }
    let node = lab.node_address().await;
    let proxies = listening(pid);
    assert_eq!(proxies.len(), 1, "one node, one link: {proxies:?}");
    assert!(!proxies.contains(&node), "the node is another process");
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::INT).unwrap();
    let mut rest = String::new();
    let (output, read) = tokio::join!(in_time(bench.wait_with_output()), told.read_to_string(&mut rest));
    read.unwrap();
    let ran = lab.ran(&output);
    assert_eq!(ran.code, Some(105), "{}\n{rest}", ran.stdout);
    let fault = &ran.report["faults"][0];
    assert!(fault["healed_ms"].is_number() && fault["error"].is_null(), "{fault:#}");
    assert_eq!(ran.report["delivery"]["lost"], 0, "{}", ran.stdout);
    for address in proxies.iter().chain([&node]) {
        until_nobody_listens(address).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_bench_that_crashes_is_told_by_its_name() {
    let lab = scenario("5s", &[]);
    let file = lab.path().join("panic");
    // Nobody gets back in, so there is nothing to wait for.
    let mut command = lab.command(&["-s", "verify.quiesce.timeout=\"5s\""]);
    command.env("SSE_BENCH_PANIC_PROXY_FILE", &file).stdout(Stdio::piped()).stderr(Stdio::piped());
    let bench = command.spawn().unwrap();
    let journal = lab.out().join("live.jsonl");
    let publishes = async {
        while !std::fs::read_to_string(&journal).unwrap_or_default().contains("\"steady\"") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), publishes).await.expect("the clock is started");
    std::fs::write(&file, "").unwrap();
    let ran = lab.ran(&in_time(bench.wait_with_output()).await);
    let word = "the fault proxy client->n1 crashed: asked to panic";
    assert!(ran.stdout.contains(word), "{}\n{}", ran.stdout, ran.stderr);
    let troubles = ran.report["verdict"]["troubles"].as_array().unwrap();
    let is_told = |trouble: &serde_json::Value| trouble["message"].as_str().unwrap().contains(word);
    assert_eq!(troubles.iter().find(|trouble| is_told(trouble)).unwrap()["exit"], "invalid");
    // Clients that were out for good, or events that are missing, count for nothing: the bench itself is to blame.
    assert_eq!(
        (ran.code, &ran.report["summary"]["verdict"]),
        (Some(122), &"INVALID".into()),
        "{}",
        ran.stdout
    );
}

/// Where a process listens, as the kernel tells it.
fn listening(pid: u32) -> Vec<String> {
    const LISTEN: &str = "0A";
    let mine: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .map(|target| target.display().to_string())
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let sockets = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let is_mine = |inode: &str| mine.contains(&format!("socket:[{inode}]"));
    let listening = sockets.filter(|fields| fields[3] == LISTEN && is_mine(fields[9]));
    listening
        .map(|fields| {
            let (_, port) = fields[1].split_once(':').unwrap();
            format!("127.0.0.1:{}", u16::from_str_radix(port, 16).unwrap())
        })
        .collect()
}
