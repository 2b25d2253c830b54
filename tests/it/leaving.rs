//! A node that leaves: politely, with everything it promised, or at once when told twice.

use futures_util::future::join_all;
use serde_json::json;
use sse_lab::client::Ending;
use sse_lab::protocol::api::{DrainStatus, Published};

use crate::support::{Node, Subscriber, closing, directory, eventually, file};

/// So long that no test sees its end.
const LONG: &[&str] = &["--drain-over", "10m"];

async fn open_streams(node: &Node, count: usize) -> Vec<Subscriber> {
    join_all((0..count).map(|_| Subscriber::open(node, ""))).await
}

/// How the streams ended: `retry:` of each, and the end of the body.
async fn goodbyes(streams: Vec<Subscriber>, reason: &str) -> Vec<(u64, Ending)> {
    let ends = streams.into_iter().map(|mut stream| async move {
        let event = stream.event().await;
        let close = closing(&event, 3001);
        assert_eq!(close.reason, reason);
        let retry = stream.retry_ms();
        assert_eq!(u64::from(close.retry_ms), retry, "the event says what the field says");
        let (events, ending) = stream.rest().await;
        assert_eq!(events, [], "CLOSE is the last event");
        (retry, ending)
    });
    join_all(ends).await
}

fn check_retries(retries: &[(u64, Ending)], from: u64, to: u64) {
    assert!(retries.iter().all(|(retry, _)| (from..=to).contains(retry)), "{retries:?}");
    let different: std::collections::HashSet<_> = retries.iter().map(|(retry, _)| retry).collect();
    assert!(different.len() > 1, "all come back at the same moment: {retries:?}");
}

#[tokio::test]
async fn sigterm_says_goodbye_to_everybody_and_ends_with_zero() {
    let args = ["--drain-over", "300ms", "--retry", "2s", "--retry-jitter", "5s"];
    let mut node = Node::start(&args).await;
    let streams = open_streams(&node, 10).await;
    node.term();
    let ends = goodbyes(streams, "the node is leaving").await;
    check_retries(&ends, 2_000, 7_000);
    for (_, ending) in &ends {
        // A clean end would make fetch-based clients stop for good.
        assert!(matches!(ending, Ending::Aborted { .. }), "{ending}");
    }
    assert_eq!(node.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_body_ends_properly_where_that_was_asked_for() {
    let mut node = Node::start(&["--drain-over", "100ms", "--drain-close", "clean"]).await;
    let streams = open_streams(&node, 3).await;
    node.term();
    for (_, ending) in goodbyes(streams, "the node is leaving").await {
        assert_eq!(ending, Ending::Clean);
    }
    assert_eq!(node.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_node_without_streams_leaves_at_once() {
    let mut node = Node::start(LONG).await;
    node.term();
    assert_eq!(node.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_leaving_node_is_not_ready_and_sends_new_clients_away_softly() {
    let mut node = Node::start(&[LONG, &["--retry", "3s", "--retry-jitter", "1s"]].concat()).await;
    let streams = open_streams(&node, 20).await;
    node.term();
    eventually("the drain", async || (node.get("/health/ready").await.status.as_u16() == 503).then_some(()))
        .await;
    assert_eq!(node.get("/health/ready?expect=draining").await.status, 200);
    assert_eq!(node.get("/health/ready?expect=ready").await.status, 503);
    assert_eq!(node.get("/actuator/health").await.status, 503);
    assert_eq!(node.get("/health/live").await.status, 200, "it lives");
    let kept = node.delete("/admin/drain").await;
    assert_eq!(kept.status, 409, "a process that ends cannot be talked out of it");
    assert_eq!(node.get("/health/ready").await.status, 503);
    let mut refused = Vec::new();
    for _ in 0..5 {
        let mut stream = Subscriber::request(&node, "", &[]).await;
        let mut events = Vec::new();
        while let Ok(received) = stream.next().await {
            if let sse_lab::client::Received::Event(event) = received {
                events.push(event);
            }
        }
        let [event] = &events[..] else { panic!("{events:?}") };
        refused.push((u64::from(closing(event, 3001).retry_ms), Ending::Clean));
    }
    check_retries(&refused, 3_000, 4_000);
    // The others are still served, and publishers too.
    node.publish("broadcast", &json!({ "data": "still here" })).await;
    let status: DrainStatus = node.get("/admin/drain").await.json();
    assert!(status.draining && status.remaining > 0 && status.total == 20, "{status:?}");
    drop(streams);
    assert_eq!(node.exit().await.code(), Some(0), "nobody is left to wait for");
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut node = Node::start(LONG).await;
    let streams = open_streams(&node, 20).await;
    node.term();
    eventually("the drain", async || {
        (node.get("/health/ready?expect=draining").await.status == 200).then_some(())
    })
    .await;
    node.term();
    // A drain that ends by itself would take ten minutes.
    assert_eq!(node.exit().await.code(), Some(0));
    for stream in streams {
        assert!(matches!(stream.rest().await.1, Ending::Aborted { .. }));
    }
}

#[tokio::test]
async fn an_operator_drains_and_sees_how_far_it_is() {
    let mut node = Node::start(&["--retry-jitter", "5s"]).await;
    let idle: DrainStatus = node.get("/admin/drain").await.json();
    assert!(!idle.draining && idle.total == 0 && idle.reason.is_empty(), "{idle:?}");
    let streams = open_streams(&node, 6).await;
    let answer = node.post("/admin/drain", r#"{"over":"200ms","reason":"moving house"}"#).await;
    assert_eq!(answer.status, 202);
    let status: DrainStatus = answer.json();
    assert_eq!((status.draining, status.total, status.reason.as_str()), (true, 6, "moving house"));
    assert!(status.ends_in_ms <= 200, "{status:?}");
    check_retries(&goodbyes(streams, "moving house").await, 2_000, 7_000);
    eventually("the end of the drain", async || {
        let status: DrainStatus = node.get("/admin/drain").await.json();
        (status.remaining == 0 && status.ends_in_ms == 0).then_some(())
    })
    .await;
    let metrics = node.metrics().await;
    assert_eq!((metrics.state.as_str(), metrics.closed["shutdown"]), ("draining", 6));
    assert!(node.is_running(), "a drain is not the end of the process");
    assert!(!node.delete("/admin/drain").await.json::<DrainStatus>().draining);
    assert_eq!(node.get("/health/ready").await.status, 200);
    Subscriber::open(&node, "").await;
}

#[tokio::test]
async fn a_drain_that_is_taken_back_keeps_its_streams() {
    let node = Node::start(&[]).await;
    let mut streams = open_streams(&node, 20).await;
    assert_eq!(node.post("/admin/drain", r#"{"over":"1h"}"#).await.status, 202);
    let states: std::collections::HashSet<_> =
        node.connections("").await.clients.into_iter().map(|row| row.state).collect();
    assert_eq!(states, ["closing".to_owned()].into());
    assert_eq!(node.delete("/admin/drain").await.status, 200);
    node.publish("broadcast", &json!({ "data": 1 })).await;
    for stream in &mut streams {
        assert_eq!(stream.payloads(&json!(1)).await, [1]);
    }
    assert_eq!(node.connections("").await.clients[0].state, "live");
}

#[tokio::test]
async fn a_second_drain_may_be_quicker() {
    let node = Node::start(&[]).await;
    let streams = open_streams(&node, 20).await;
    node.post("/admin/drain", r#"{"over":"1h","reason":"slowly"}"#).await;
    node.post("/admin/drain", r#"{"over":"0s","reason":"now"}"#).await;
    for stream in streams {
        let (events, _) = stream.rest().await;
        closing(events.last().unwrap(), 3001);
    }
}

#[tokio::test]
async fn a_drain_that_cannot_be_meant_is_refused_and_harms_nobody() {
    let mut node = Node::start(&[]).await;
    for (body, status, code, reason) in [
        (r#"{"over":"soon"}"#, 422, "invalid_event", "allowed are durations"),
        (r#"{"over":"500000000000y"}"#, 422, "invalid_event", "allowed are durations"),
        (r#"{"over":"500y"}"#, 422, "invalid_event", "allowed are durations"),
        (r#"{"over":5}"#, 422, "invalid_event", "expected a string"),
        (r#"{"within":"5s"}"#, 422, "invalid_event", "unknown field `within`, expected `over` or `reason`"),
        ("[null,null]", 422, "invalid_event", "expected an object"),
        ("{", 400, "malformed_json", "EOF"),
    ] {
        let detail = node.post("/admin/drain", body).await.problem(status, code);
        assert!(detail.contains(reason), "{body}: {detail}");
    }
    assert!(node.is_running());
    assert_eq!(node.get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn what_was_acknowledged_before_the_end_is_in_the_log() {
    let directory = directory();
    let mut node = Node::start(&["--broker", &file(&directory), "--drain-over", "0s"]).await;
    let stream = Subscriber::open(&node, "").await;
    let leaving = &node;
    let publishers = (0..4).map(|publisher| {
        let (http, url) = (node.http().clone(), node.url("/api/sse/broadcast"));
        async move {
            let mut acknowledged: Vec<Published> = Vec::new();
            for number in 0.. {
                let body = json!({ "data": format!("{publisher}-{number}") }).to_string();
                let Ok(response) = http.post(url.clone()).body(body).send().await else { break };
                if response.status() != 202 {
                    break;
                }
                let Ok(published) = response.json().await else { break };
                acknowledged.push(published);
                if publisher == 0 && number == 20 {
                    leaving.term();
                }
            }
            acknowledged
        }
    });
    let acknowledged = join_all(publishers).await.concat();
    assert_eq!(node.exit().await.code(), Some(0));
    drop(stream);
    node.restart().await;
    let log: Vec<_> = node.history().await.into_iter().map(|event| event.id).collect();
    assert!(acknowledged.len() > 20);
    for published in &acknowledged {
        assert_eq!(log.iter().filter(|id| **id == published.id).count(), 1, "{published:?}");
    }
}
