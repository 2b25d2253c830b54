//! Many events in one request: their order, what a refused one means for the others, and the limits.

use serde_json::{Value, json};
use sse_lab::protocol::api::{BatchAnswer, BatchOutcome, Published};

use crate::support::{Node, Redis, Subscriber, payload};

async fn answers(node: &Node, body: String) -> Vec<BatchOutcome> {
    let answer = node.post("/api/sse/batch", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json::<BatchAnswer>().answers
}

fn to(address: &str, event: &Value) -> Value {
    json!({ "to": address, "event": event })
}

#[track_caller]
fn published(outcome: &BatchOutcome) -> &Published {
    match outcome {
        BatchOutcome::Ok(published) => published,
        other => panic!("{other:?}"),
    }
}

/// The code and the detail of a refusal.
#[track_caller]
fn refused(outcome: &BatchOutcome) -> (&str, &str) {
    match outcome {
        BatchOutcome::Refused(problem) => (&problem.code, &problem.detail),
        other => panic!("{other:?}"),
    }
}

async fn the_order_of_a_batch_is_the_logs(flags: &[&str]) {
    let node = Node::start(flags).await;
    let mut stream = Subscriber::open(&node, "topics=t").await;
    let event = |n: usize| to(if n.is_multiple_of(2) { "all" } else { "topic:t" }, &json!({ "data": n }));
    let lines: String = (0..1_000).map(|n| format!("{}\n", event(n))).collect();
    let answers = answers(&node, lines).await;
    let ids: Vec<_> = answers.iter().map(|answer| published(answer).id.to_string()).collect();
    let history: Vec<_> = node.history().await.iter().map(|event| event.id.to_string()).collect();
    assert_eq!((ids.len(), &ids), (1_000, &history));
    let received = stream.until(&json!(999)).await;
    assert!(received.iter().map(payload).eq((0..1_000).map(Value::from)));
    assert!(received.iter().map(|event| &event.last_event_id).eq(&ids));
}

#[tokio::test]
async fn the_order_of_a_batch_is_the_order_of_the_log() {
    the_order_of_a_batch_is_the_logs(&["--max-body", "1MiB"]).await;
}

#[tokio::test]
async fn the_order_of_a_batch_is_the_order_of_the_log_in_redis() {
    let redis = Redis::start().await;
    the_order_of_a_batch_is_the_logs(&["--max-body", "1MiB", "--broker", &redis.url()]).await;
}

#[tokio::test]
async fn what_is_refused_keeps_no_other_event_out_of_the_log() {
    let node = Node::start(&["--max-payload", "1000"]).await;
    let mut user = Subscriber::open(&node, "userId=u").await;
    let body = json!([
        to("all", &json!({ "data": "first", "id": "k" })),
        to("topic:t", &json!({ "data": 1, "qos": 1 })),
        to("everybody", &json!({ "data": 1 })),
        to("all", &json!({ "data": "x".repeat(2_000) })),
        { "to": "all" },
        { "to": "all", "event": [null, 1, null, null, null] },
        to("all", &json!({ "data": "first", "id": "k" })),
        to("all", &json!({ "data": "another", "id": "k" })),
        to("user:u", &json!({ "data": "last" })),
    ]);
    let answers = answers(&node, body.to_string()).await;
    let first = published(&answers[0]);
    assert!(!first.duplicate);
    assert!(refused(&answers[1]).1.contains("topic:t has none"));
    assert!(refused(&answers[2]).1.contains("allowed are all, topic:T"));
    assert_eq!(refused(&answers[3]).0, "too_large");
    assert!(refused(&answers[4]).1.contains("missing field `event`"));
    assert!(refused(&answers[5]).1.contains("expected an object"));
    let again = published(&answers[6]);
    assert_eq!((&again.id, again.duplicate), (&first.id, true));
    assert_eq!(refused(&answers[7]).0, "id_reused");
    let received = user.until(&json!("last")).await;
    assert!(received.iter().map(payload).eq([json!("first"), json!("last")]));
    let text = node.get("/metrics").await.body;
    assert!(text.lines().any(|line| line == "sse_node_publish_errors_total 6"), "{text}");
}

#[tokio::test]
async fn a_batch_that_cannot_be_one_is_refused_whole() {
    let node = Node::start(&[]).await;
    let many = "{}\n".repeat(1_001);
    for (body, status, code, reason) in [
        ("", 422, "invalid_event", "0 events"),
        ("[]", 422, "invalid_event", "allowed are 1 to 1000"),
        (&many, 422, "invalid_event", "1001 events"),
        ("[{}", 400, "malformed_json", ""),
    ] {
        let detail = node.post("/api/sse/batch", body).await.problem(status, code);
        assert!(detail.contains(reason), "{body}: {detail}");
    }
    let key = node.http().post(node.url("/api/sse/batch")).header("idempotency-key", "k").body("{}");
    assert!(
        node.answer(key).await.problem(400, "invalid_request").contains("gives each of its events an id")
    );
    assert_eq!(refused(&answers(&node, "not json".to_owned()).await[0]).0, "malformed_json");
    assert!(node.history().await.is_empty());
}
