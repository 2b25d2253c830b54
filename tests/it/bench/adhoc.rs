//! `sse-bench swarm` in one process and `sse-bench publish` in another: the swarm says whether it got everything.

use std::process::Stdio;

use serde_json::Value;

use super::harness::{bench, in_time};
use super::small_node::{Defect, SmallNode};

const CLIENTS: &str = "8";

/// Exit codes of swarm and publisher, and the swarm's summary.
async fn observe(defect: Defect) -> (Option<i32>, Option<i32>, Value) {
    let node = SmallNode::start(defect).await;
    let swarm = ["swarm", &node.base, "-c", CLIENTS, "-z", "50s", "--expect-all", "--format", "json"];
    let swarm = bench(&swarm).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    node.wait_for_streams(8).await;
    let publish = ["publish", &node.base, "-q", "100", "-z", "1s", "--format", "json"];
    let published = in_time(bench(&publish).output()).await;
    let swarm = in_time(swarm.unwrap().wait_with_output()).await;
    let summary = serde_json::from_slice(&swarm.stdout).unwrap();
    (swarm.status.code(), published.status.code(), summary)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swarm_proves_that_it_got_everything() {
    let (swarm, publish, summary) = observe(Defect::None).await;
    assert_eq!((swarm, publish), (Some(0), Some(0)), "{summary:#}");
    let expected = summary["expected"].as_u64().unwrap();
    // A hundred events a second for a second, drawn somewhere in their intervals, at eight clients.
    assert!((99 * 8..=101 * 8).contains(&expected), "{summary:#}");
    assert_eq!(summary["ok"], summary["expected"]);
    assert!(summary["delivery_latency_p99_ms"].as_f64().is_some(), "the clock is shared: {summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swarm_that_lacks_one_event_fails_and_says_so() {
    let (swarm, publish, summary) = observe(Defect::DropsOne).await;
    assert_eq!((swarm, publish), (Some(120), Some(0)), "{summary:#}");
    assert_eq!((&summary["missing"], &summary["incomplete_clients"]), (&1.into(), &1.into()), "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swarm_that_got_one_event_twice_fails_and_says_so() {
    let (swarm, _, summary) = observe(Defect::DeliversTwice).await;
    assert_eq!((swarm, &summary["duplicated"]), (Some(120), &1.into()), "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swarm_that_got_two_events_in_the_wrong_order_fails_and_says_so() {
    let (swarm, _, summary) = observe(Defect::SwapsTwo).await;
    assert_eq!((swarm, &summary["reordered"]), (Some(120), &1.into()), "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swarm_that_nobody_publishes_to_does_not_pass() {
    let node = SmallNode::start(Defect::None).await;
    let swarm = ["swarm", &node.base, "-c", "2", "-z", "200ms", "--expect-all"];
    let output = in_time(bench(&swarm).output()).await;
    assert_eq!(output.status.code(), Some(121), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_nobody_answers_ends_and_says_so() {
    // Bound and not listening: connects are refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let output = in_time(bench(&["publish", &url, "-q", "5", "-z", "1s"]).output()).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(100), "{text}");
    assert!(text.contains("0 acknowledged") && text.contains("refused"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swarm_that_connects_nowhere_does_not_pass() {
    // Bound and not listening: nobody else can take the port, and connects are refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let swarm = ["swarm", &url, "-c", "2", "-z", "100ms", "--reconnect", "none"];
    let output = in_time(bench(&swarm).output()).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(100), "{text}");
    assert!(text.contains("0 of 2 connected") && text.contains("refused"), "{text}");
}
