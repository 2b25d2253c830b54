//! Clients that ask for the data alone, beside others that take envelopes: one verdict, the same findings.

use serde_json::Value;

use super::harness::{Lab, bench, check_evidence, in_time};
use super::recipe::{KILL, Recipe};
use crate::support::Node;

/// As many clients again, which ask for the data alone, and follow the same topics.
const BARE: &str = r#"
[clients.bare]
clients = 20
format = "data"
subscribe = { topics = ["room-{i%4}"], user = "u{i}" }
reconnect = { policy = "browser" }
"#;

const STORM: &str = r#"
[[faults]]
at = "3s"
type = "reconnect-storm"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn both_forms_pass_one_run_with_a_kill_and_nobody_loses_or_repeats_an_event() {
    for workers in ["", "[swarm]\nworkers = 2\n"] {
        let lab = Recipe::new("format", "5s").and(BARE).and(KILL).and(STORM).and(workers).lab();
        let ran = lab.run(&["--history", "all"]).await;
        assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
        check_evidence(&lab, &ran).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_again_from_a_mailbox_is_recognised_and_confirmed_in_either_form() {
    let flags = "flags = { format = \"data\", retry = \"1s\", retry-jitter = \"200ms\" }";
    let text = |nodes_format: &str, format: &str| {
        format!(
            r#"
schema = 1
name = "mail"
seed = 6
duration = "8s"
[cluster]
nodes = 1
broker = "file"
{nodes_format}
[clients.users]
clients = 40
joins = "2s"
mailbox = true
subscribe = {{ user = "u{{i}}" }}
{format}
[publishers.mail]
start_rate = 150
stages = [{{ duration = "2s", target = 150 }}]
mix = {{ user = 1 }}
qos = 1
[[faults]]
at = "2500ms"
for = "300ms"
type = "kill"
[[faults]]
at = "6s"
type = "reconnect-storm"
[verify]
delivery = "at-least-once"
mailboxes = "empty"
quiesce = {{ idle = "2s", timeout = "60s" }}
[thresholds]
generator_lag = ["p(99)<60s"]
"#
        )
    };
    for (of_nodes, of_clients) in [("", "format = \"data\""), (flags, ""), (flags, "format = \"envelope\"")] {
        let ran = Lab::new(&text(of_nodes, of_clients)).run(&[]).await;
        assert_eq!(ran.code, Some(0), "{of_nodes} {of_clients}: {}\n{}", ran.stdout, ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_link_does_to_the_data_is_named() {
    let nodes = "nodes = 1\nbroker = \"file\"\nproxy = [\"client->node\"]";
    for (toxic, name) in [
        ("corrupt_payload", "altered payload"),
        ("change_type", "wrong event type"),
        ("change_id", "inconsistent id"),
        ("drop_event", "lost"),
    ] {
        let fault =
            format!("[[faults]]\nat = \"100ms\"\nlink = \"client->node\"\ntype = {toxic:?}\nrate = 0.2\n");
        let lab = Recipe::new("format", "3s").nodes(nodes).clients(8).rate(60).and(&fault).lab();
        let ran = lab.run(&["-s", "clients.all.format=\"data\"", "-s", "verify.quiesce.idle=\"1s\""]).await;
        let failed = ran.report["summary"]["failed"].as_array().cloned().unwrap_or_default();
        assert!(failed.iter().any(|failed| failed == name), "{toxic}: {}\n{}", ran.stdout, ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swarm_of_no_scenario_reads_either_form_and_gets_the_end_mark() {
    let node = Node::start(&["--format", "data"]).await;
    let url = node.url("").to_string();
    for query in ["api/sse/stream", "api/sse/stream?format=envelope"] {
        let swarm =
            ["swarm", &format!("{url}{query}"), "-c", "3", "-z", "30s", "--expect-all", "--format", "json"];
        let swarm = bench(&swarm).stdout(std::process::Stdio::piped()).spawn().unwrap();
        node.wait_for_connections(3).await;
        let publish = ["publish", &url, "-q", "100", "-z", "500ms"];
        assert_eq!(in_time(bench(&publish).output()).await.status.code(), Some(0));
        let output = in_time(swarm.wait_with_output()).await;
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &summary["ok"]), (Some(0), &summary["expected"]), "{summary:#}");
        node.wait_for_connections(0).await;
    }
}
