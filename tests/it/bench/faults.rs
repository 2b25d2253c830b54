//! Real nodes broken on purpose: what survives, what is told when it does not, and that nothing is left behind.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sse_lab::bench::cluster::{
    CommandResult, Launch, NodeCommand, NodeTask, PORT_TAKEN, Probe, Readiness, Sign,
};
use sse_lab::bench::metrics::metric::Trend;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpSocket;

use super::harness::{Lab, in_time, until_nobody_listens};
use super::recipe::Recipe;
use crate::support::http;

fn scenario(broker: &str, duration: &'static str, faults: &str) -> Lab {
    let nodes = format!("nodes = 1\nbroker = {broker:?}");
    Recipe::new("faults", duration).nodes(&nodes).and(faults).lab()
}

const EVERY_FAULT: &str = r#"
[[faults]]
at = "500ms"
for = "300ms"
type = "kill"

[[faults]]
at = "2s"
for = "300ms"
type = "pause"

[[faults]]
at = "3s"
type = "restart"

[[faults]]
at = "4500ms"
for = "300ms"
type = "term"

[[faults]]
at = "6s"
type = "reconnect-storm"
clients = 10
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_log_on_disk_survives_every_fault_and_nobody_loses_or_repeats_an_event() {
    let ran = scenario("file", "7s", EVERY_FAULT).run(&[]).await;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    let faults = ran.report["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 5);
    for fault in faults {
        assert!(fault["applied_ms"].is_number() && fault["healed_ms"].is_number(), "{fault:#}");
    }
    let cut: Vec<u64> = faults.iter().map(|fault| fault["sessions_cut"].as_u64().unwrap()).collect();
    assert_eq!(cut[0], 20, "a kill cuts all: {cut:?}");
    let counters = ran.report["counters"].as_array().unwrap();
    let cuts = counters.iter().find(|counter| counter["key"] == "cuts").unwrap();
    let node = &ran.report["processes"][0];
    assert_eq!((&node["id"], &node["starts"]), (&"n1".into(), &4.into()), "{node:#}");
    assert!(node["rss_peak_bytes"].as_u64().unwrap() > 1_000_000, "{node:#}");
    // Of the ten that it names, the storm meets those that are connected.
    assert!((1..=10).contains(&cuts["count"].as_u64().unwrap()), "{cuts}");
    let measured = measured(&ran.report);
    let never: Vec<_> =
        Trend::ALL.iter().map(|trend| trend.name()).filter(|name| !measured.contains(name)).collect();
    assert_eq!(never, ["heartbeat_gap"], "nobody was silent for long enough");
}

/// Metrics of a report that have samples.
fn measured(report: &Value) -> Vec<&str> {
    let metrics = report["metrics"].as_array().unwrap().iter();
    metrics
        .filter(|metric| metric["count"].as_u64() > Some(0))
        .filter_map(|metric| metric["key"].as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_of_a_quiet_node_are_measured() {
    let quiet = ["-s", "cluster.flags.heartbeat=1s", "-s", "publishers.main.rate=0.5"];
    let ran = scenario("memory", "3s", "").run(&quiet).await;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    assert!(measured(&ran.report).contains(&"heartbeat_gap"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_too_short_is_a_gap_that_is_declared_and_counted() {
    // Clients are away (for half a second at least) while ten events are acknowledged, five of which stay; the window that
    // has them all dies with the node.
    let faults = "[[faults]]\nat = \"1s\"\ntype = \"reconnect-storm\"\n\
                  [[faults]]\nat = \"1100ms\"\nfor = \"500ms\"\ntype = \"kill\"\n";
    let ran = scenario("file", "5s", faults).run(&["-s", "cluster.flags.keep-events=5"]).await;
    assert_eq!(ran.code, Some(120), "{}\n{}", ran.stdout, ran.stderr);
    let failed: Vec<&str> =
        ran.report["summary"]["failed"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(failed, ["gap declared"], "{}", ran.stdout);
    assert!(ran.report["delivery"]["gap_events"].as_u64().unwrap() >= 1, "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_memory_that_dies_with_its_node_is_a_gap_that_is_declared() {
    // Clients are away (for half a second at least) while events are acknowledged, and then the log dies.
    let faults = "[[faults]]\nat = \"1s\"\ntype = \"reconnect-storm\"\n\
                  [[faults]]\nat = \"1300ms\"\nfor = \"300ms\"\ntype = \"kill\"\n";
    let ran = scenario("memory", "3s", faults).run(&[]).await;
    assert_eq!(ran.code, Some(120), "{}\n{}", ran.stdout, ran.stderr);
    let failed: Vec<&str> =
        ran.report["summary"]["failed"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(failed.contains(&"gap declared"), "{failed:?}\n{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_crashes_by_itself_does_not_pass_unnoticed() {
    let lab = scenario("file", "5s", "");
    let bench = lab.start();
    let address = lab.node_address().await;
    kill_process(node_of(&bench), Signal::KILL).unwrap();
    let output = in_time(bench.wait_with_output()).await;
    let ran = lab.ran(&output);
    assert!(ran.code.is_some_and(|code| code >= 99), "{}\n{}", ran.stdout, ran.stderr);
    let told = ran.stdout + &ran.stderr;
    assert!(told.contains("node n1 ended by itself") || told.contains("node n1 ended instead"), "{told}");
    until_nobody_listens(&address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_heals_drains_and_reports() {
    let lab = scenario("file", "60s", "[[faults]]\nat = \"100ms\"\ntype = \"pause\"\n");
    let bench = lab.start();
    let address = lab.node_address().await;
    lab.until_live("\"faults\":[\"pause").await;
    signal(&bench, Signal::INT);
    let output = in_time(bench.wait_with_output()).await;
    let ran = lab.ran(&output);
    assert_eq!(ran.report["summary"]["verdict"], "INTERRUPTED", "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, Some(105), "{}", ran.stdout);
    let fault = &ran.report["faults"][0];
    assert!(fault["healed_ms"].is_number(), "the paused node was continued: {fault:#}");
    until_nobody_listens(&address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_interrupt_stops_at_once_and_takes_the_nodes_along() {
    let lab = scenario("file", "60s", "");
    let mut bench = lab.start();
    let address = lab.node_address().await;
    // Paused, the node can neither drain nor answer the audit: the first interrupt would take its time.
    kill_process(node_of(&bench), Signal::STOP).unwrap();
    signal(&bench, Signal::INT);
    let mut log = BufReader::new(bench.stderr.take().unwrap()).lines();
    while !log
        .next_line()
        .await
        .unwrap()
        .expect("the first interrupt is logged")
        .contains("stopping: faults are healed")
    {}
    signal(&bench, Signal::INT);
    let output = in_time(bench.wait_with_output()).await;
    assert_eq!(output.status.code(), Some(105));
    assert!(lab.ran(&output).report.is_null(), "there was no time for a report");
    until_nobody_listens(&address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bench_that_is_killed_leaves_no_node_behind() {
    let lab = scenario("file", "60s", "");
    let mut bench = lab.start();
    let address = lab.node_address().await;
    bench.kill().await.unwrap();
    until_nobody_listens(&address).await;
}

#[tokio::test]
async fn a_node_whose_port_is_taken_when_it_is_started_again_waits_for_it_for_a_limited_time() {
    let dir = tempfile::tempdir().unwrap();
    let holder = TcpSocket::new_v4().unwrap();
    holder.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let args = ["serve", "--broker", "memory:", "--id", "n1", "--listen", &address].map(str::to_owned);
    let (what, program) = ("node n1".to_owned(), env!("CARGO_BIN_EXE_sse-node").into());
    let launch = Launch { what: what.clone(), program, args: args.into(), log: dir.path().join("n1") };
    let stderr = launch.output_path("stderr");
    let base = format!("http://{address}");
    let probe = Probe::Http { http: http(), base, sign: Sign::usual() };
    let readiness = Readiness { what, probe, timeout: Duration::from_secs(3) };
    let (node, task) = NodeTask::new("n1", launch, readiness);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(task.run());
    let refused = || std::fs::read_to_string(&stderr).unwrap_or_default().matches(PORT_TAKEN).count();
    // Nobody knows its address yet.
    assert!(node.send(NodeCommand::StartFirst).await.is_err());
    assert_eq!(refused(), 1);
    let error = node.send(NodeCommand::Start).await.unwrap_err().to_string();
    assert!(error.contains(PORT_TAKEN), "{error}");
    let tries = refused();
    let freed = async {
        while refused() == tries {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(holder);
    };
    let (started, ()) = tokio::join!(node.send(NodeCommand::Start), freed);
    assert!(matches!(started, Ok(CommandResult::Ready(_))), "{started:?}");
    tasks.shutdown().await;
}

fn signal(child: &tokio::process::Child, signal: Signal) {
    let pid = i32::try_from(child.id().expect("it runs")).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// The only child of a bench is its node.
fn node_of(bench: &tokio::process::Child) -> Pid {
    let id = bench.id().expect("it runs");
    let mut children = String::new();
    for task in std::fs::read_dir(format!("/proc/{id}/task")).unwrap() {
        children += &std::fs::read_to_string(task.unwrap().path().join("children")).unwrap();
    }
    Pid::from_raw(children.trim().parse().expect("one child")).unwrap()
}
