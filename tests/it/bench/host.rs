//! Nodes with hosts of their own, and a cable that is pulled. Needs root with its
//! capabilities; without them, the refusal is what is tested.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use super::harness::{Lab, bench, in_time};
use crate::support::skip;

const UNPLUGGED: &str = include_str!("../../../scenarios/host/unplugged.toml");

async fn try_ip(args: &[&str]) -> Output {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    Command::new("ip").env("PATH", path).args(args).output().await.expect("make setup installs ip")
}

async fn ip(args: &[&str]) -> String {
    String::from_utf8_lossy(&try_ip(args).await.stdout).into_owned()
}

/// Bridges and namespaces that one bench made.
async fn made_by(process: u32) -> Vec<String> {
    let all = ip(&["netns", "list"]).await + &ip(&["-o", "link", "show", "type", "bridge"]).await;
    let name = format!("sse{process}");
    all.lines().filter(|line| line.contains(&name)).map(str::to_owned).collect()
}

async fn until(what: &str, mut there: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !there().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("never {what}"));
}

/// Whether bridges and namespaces can be made here: root is not enough, as in a container without the capabilities.
async fn is_allowed(test: &str) -> bool {
    let name = format!("try{}{test}", std::process::id());
    let kinds: [(&[&str], &str); 2] =
        [(&["link", "add", &name, "type", "bridge"], "link"), (&["netns", "add", &name], "netns")];
    let mut is_allowed = true;
    for (add, kind) in kinds {
        let is_made = try_ip(add).await.status.success();
        // What failed halfway is not to stay either.
        ip(&[kind, "del", &name]).await;
        is_allowed &= is_made;
    }
    is_allowed
}

/// Takes away what a killed bench made. A command that it had sent may still be at work, so twice nothing is nothing.
async fn take_away(process: u32) {
    let nothing_twice = async {
        let mut empty = 0;
        while empty < 2 {
            let lines = made_by(process).await;
            empty = if lines.is_empty() { empty + 1 } else { 0 };
            for line in &lines {
                let mut words = line.split_whitespace().map(|word| word.trim_end_matches(':'));
                let Some(name) = words.find(|word| word.starts_with("sse")) else { continue };
                let kind = if name.contains("-n") { "netns" } else { "link" };
                ip(&[kind, "del", name]).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), nothing_twice).await.expect("it can be taken away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pulled_cable_is_told_by_silence_alone_and_loses_nothing() {
    let lab = Lab::new(UNPLUGGED);
    let mut run = bench(&["run", "--quiet", "--clients-scale", "0.2", "--duration", "15s", "--out"]);
    run.arg(lab.out())
        .arg(lab.scenario())
        .args(["--set", "thresholds={\"silent_ends{phase:fault}\"=[\"count>5\"]}"]);
    let child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let process = child.id().unwrap();
    let output = in_time(child.wait_with_output()).await;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if is_allowed("a").await {
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("netns-1 (netns n1)"), "{said}");
    } else {
        assert_eq!(output.status.code(), Some(104), "{said}");
        assert!(said.contains("This needs root"), "{said}");
    }
    assert_eq!(made_by(process).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_bench_left_behind_is_taken_away_by_the_next() {
    if !is_allowed("b").await {
        return skip("network namespaces cannot be made here: root with CAP_NET_ADMIN and CAP_SYS_ADMIN can");
    }
    let lab = Lab::new(UNPLUGGED);
    let start = || {
        let mut run = bench(&["run", "--quiet", "--clients-scale", "0.1", "--duration", "5s", "--out"]);
        run.arg(lab.out()).arg(lab.scenario()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut first = start();
    let process = first.id().unwrap();
    until("made", async || made_by(process).await.len() >= 4).await;
    first.kill().await.unwrap();
    let mut second = start();
    until("taken away", async || made_by(process).await.is_empty()).await;
    let other = second.id().unwrap();
    second.kill().await.unwrap();
    // Nobody comes after this one.
    take_away(other).await;
}
