//! What clients see when the Redis behind their nodes is killed: with its data, without, for a while.

use serde_json::{Value, json};
use sse_lab::protocol::api::{Acked, Resumed, SyncEvent};

use crate::support::{Node, Redis, Subscriber, eventually, free_port, payload};

/// With everysec, a slow disk delays even the write to the operating system, and a killed server may lose something.
const KEEPS_ALL: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

async fn two_nodes(redis: &Redis) -> (Node, Node) {
    let url = redis.url();
    let start = |id: &'static str, url: String| async move {
        Node::start(&["--broker", &url, "--id", id, "--cursor-every", "1h"]).await
    };
    tokio::join!(start("n-0", url.clone()), start("n-1", url.clone()))
}

fn data(n: u32) -> Value {
    json!({ "data": n, "id": format!("m{n}") })
}

async fn publish(node: &Node, numbers: std::ops::Range<u32>) {
    for n in numbers {
        node.publish("broadcast", &data(n)).await;
    }
}

async fn are_ready(nodes: &[&Node]) {
    for node in nodes {
        eventually("a node that is ready", async || {
            (node.get("/health/ready").await.status == 200).then_some(())
        })
        .await;
    }
}

fn numbers(range: std::ops::Range<u32>) -> Vec<Value> {
    range.map(Value::from).collect()
}

#[tokio::test]
async fn a_redis_that_comes_back_with_its_data_is_noticed_by_no_client() {
    let mut redis = Redis::start_with(&KEEPS_ALL).await;
    let (first, second) = two_nodes(&redis).await;
    let mut stays = Subscriber::open(&first, "clientId=stays").await;
    let mut leaves = Subscriber::open(&second, "clientId=leaves").await;
    publish(&first, 0..5).await;
    assert_eq!(leaves.payloads(&json!(2)).await, numbers(0..3));
    let known = leaves.last_event_id();
    drop(leaves);

    redis.kill().await;
    redis.restart().await;
    publish(&second, 5..8).await;
    assert_eq!(stays.payloads(&json!(7)).await, numbers(0..8));
    // With a cursor of the history that has ended, on the other node.
    let mut back = Subscriber::after(&first, "clientId=leaves", &known).await;
    assert_eq!(back.hello.resumed, Resumed::Replayed);
    assert_eq!(back.payloads(&json!(7)).await, numbers(3..8));
    let old: Vec<_> = known.split('-').collect();
    assert!(!back.last_event_id().starts_with(old[0]), "another history has other ids");
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_costs_nobody_an_event() {
    let mut redis = Redis::start().await;
    let (first, second) = two_nodes(&redis).await;
    let mut stays = Subscriber::open(&first, "clientId=stays").await;
    let mut leaves = Subscriber::open(&second, "clientId=leaves").await;
    publish(&first, 0..10).await;
    assert_eq!(leaves.payloads(&json!(5)).await, numbers(0..6));
    let known = leaves.last_event_id();
    drop(leaves);
    assert_eq!(stays.payloads(&json!(9)).await, numbers(0..10));
    are_ready(&[&first, &second]).await;

    redis.kill().await;
    redis.restart().await;
    let (before, sync) = stays.up_to("SYNC").await;
    assert!(before.is_empty(), "{before:?}");
    // A client that leaves now comes back with what it has had, not with where the new history begins.
    assert!(!sync.id_in_block, "{sync:?}");
    let told: SyncEvent = serde_json::from_str(&sync.data).unwrap();
    assert_ne!(told.old_epoch, told.new_epoch);
    assert_eq!(told.from.as_str(), stays.last_event_id());
    publish(&second, 10..12).await;
    assert_eq!(stays.payloads(&json!(11)).await, numbers(10..12), "nothing comes twice in a session");

    for node in [&first, &second] {
        let mut back = Subscriber::after(node, "clientId=leaves", &known).await;
        // From the node's memory of the old history, or from the new one, where what was lost comes again.
        assert!(
            back.start.as_ref().is_none_or(|start| *start == known),
            "the old cursor holds: {:?}",
            back.start
        );
        let (mut got, mut told) = (Vec::new(), 0);
        while got.len() < 6 {
            let event = back.event().await;
            if event.event == "SYNC" {
                told += 1;
            } else {
                got.push(payload(&event));
            }
        }
        got.sort_by_key(Value::as_u64);
        assert_eq!((got, told), (numbers(6..12), 1), "what it has had is not repeated");
    }
    let metrics = first.metrics().await;
    assert_eq!(metrics.log.histories_ended, 1);
    assert!(metrics.log.appended_again + second.metrics().await.log.appended_again >= 10);
}

#[tokio::test]
async fn while_redis_is_away_streams_stay_and_publishers_are_told() {
    let mut redis = Redis::start_with(&KEEPS_ALL).await;
    let (first, second) = two_nodes(&redis).await;
    let mut stays = Subscriber::open(&first, "clientId=stays").await;
    publish(&first, 0..1).await;
    redis.kill().await;
    eventually("a node that is not ready", async || {
        let ready = first.get("/health/ready").await;
        (ready.status == 503 && ready.body.contains("degraded")).then_some(())
    })
    .await;
    assert_eq!(first.get("/health/live").await.status, 200);
    // A publish waits, since most outages are short.
    let body = data(1);
    let (published, ()) = tokio::join!(first.publish("broadcast", &body), redis.restart());
    assert!(!published.duplicate);
    are_ready(&[&first, &second]).await;
    assert_eq!(stays.payloads(&json!(1)).await, numbers(0..2));
    let again = second.publish("broadcast", &data(1)).await;
    assert_eq!((again.id, again.duplicate), (published.id, true));
}

#[tokio::test]
async fn a_mailbox_survives_the_end_of_a_history_and_an_old_cursor_confirms_it() {
    let mut redis = Redis::start().await;
    let (first, second) = two_nodes(&redis).await;
    for n in 0..3 {
        first.publish("users/u", &json!({ "data": n, "qos": 1 })).await;
    }
    let mut stream = Subscriber::open(&first, "clientId=c&userId=u&ack=explicit").await;
    assert_eq!(payload(&stream.event().await), json!(0));
    assert_eq!(stream.payloads(&json!(2)).await, numbers(1..3));
    let (_, cursor) = stream.up_to("CURSOR").await;
    redis.kill().await;
    redis.restart().await;
    let pending = async || {
        let answer = second.get("/api/sse/users/u/pending").await;
        let pending: Value = if answer.status == 200 { answer.json() } else { json!({}) };
        pending["messages"].as_array().map(Vec::len)
    };
    eventually("a mailbox that was filled again", async || (pending().await? == 3).then_some(())).await;
    // All that this cursor is good for: what came again stands behind the end of the history that it knows.
    let body = json!({ "userId": "u", "id": cursor.last_event_id });
    let acked: Acked = second.post("/api/sse/ack", body.to_string()).await.json();
    assert_eq!(acked.confirmed, 0, "nobody confirms what may be something else");
    let (_, sync) = stream.up_to("SYNC").await;
    assert!(!sync.id_in_block);
    first.publish("users/u", &json!({ "data": 3 })).await;
    stream.until(&json!(3)).await;
    let body = json!({ "userId": "u", "id": stream.last_event_id() });
    let acked: Acked = second.post("/api/sse/ack", body.to_string()).await.json();
    assert_eq!((acked.confirmed, pending().await), (3, Some(0)));
}

#[tokio::test]
async fn a_redis_is_reached_through_tls_and_with_a_password_that_is_never_told() {
    let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls");
    let (port, certificate, key) =
        (free_port().to_string(), format!("{tls}/cert.pem"), format!("{tls}/key.pem"));
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &certificate];
    let own = ["--tls-port", &port, "--tls-auth-clients", "no"];
    let redis = Redis::start_with(&[&own[..], &files[..]].concat()).await;
    redis.command("CONFIG SET requirepass s@crt").await.unwrap();
    let publish = async |password: &str, trusted: &str| {
        let url = format!("rediss://:{password}@localhost:{port}");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_sse-node"));
        command.args(["publish", "--broker", &url, "--all", "1"]).env("SSL_CERT_FILE", trusted);
        let output = command.output().await.unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(publish("s%40crt", &certificate).await, (true, String::new()));
    let (is_published, error) = publish("wr0ng", &certificate).await;
    assert!(!is_published && error.contains("authentication") && !error.contains("wr0ng"), "{error}");
    let (is_published, error) = publish("s%40crt", "/dev/null").await;
    assert!(!is_published && error.contains("certificate") && !error.contains("crt@"), "{error}");
}

#[tokio::test]
async fn a_publisher_without_a_node_reaches_the_clients_of_all_nodes() {
    let redis = Redis::start().await;
    let (first, second) = two_nodes(&redis).await;
    let mut streams = [
        Subscriber::open(&first, "clientId=a&topics=t").await,
        Subscriber::open(&second, "clientId=b&topics=t").await,
    ];
    let output = crate::support::run(&["publish", "--broker", &redis.url(), "--topic", "t", "7"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    for stream in &mut streams {
        assert_eq!(payload(&stream.event().await), json!(7));
    }
}
