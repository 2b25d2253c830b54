//! Who gets what, in which order, and how it looks on the wire.

use futures_util::future::join_all;
use serde_json::{Value, json};
use sse_lab::client::{Ending, Event, Received};
use sse_lab::protocol::api::{Published, Resumed};

use crate::support::{Node, PATIENCE, Raw, Subscriber, envelope, events, payload};

fn data(value: impl Into<Value>) -> Value {
    json!({ "data": value.into() })
}

fn payloads(events: &[Event]) -> Vec<Value> {
    events.iter().map(payload).collect()
}

#[tokio::test]
async fn everybody_gets_a_broadcast_and_only_its_receivers_get_the_rest() {
    let node = Node::start(&["--id", "n-1"]).await;
    let queries = [
        "clientId=a&userId=u&topics=x,y",
        "clientId=b&userId=u&topics=y",
        "clientId=c&userId=v",
        "clientId=d",
    ];
    let mut streams = join_all(queries.map(|query| Subscriber::open(&node, query))).await;
    for to in [
        "broadcast",
        "broadcast/a",
        "broadcast/d",
        "broadcast/nobody",
        "users/u",
        "users/v",
        "users/nobody",
        "topics/x",
        "topics/y",
        "topics/nobody",
        "broadcast/server/n-1",
        "broadcast/server/n-2",
        "broadcast/server/n-1/client/c",
        "broadcast/server/n-1/client/nobody",
        "broadcast/server/n-2/client/c",
    ] {
        node.publish(to, &data(to)).await;
    }
    node.publish("broadcast", &data("end")).await;
    let expected: [&[&str]; 4] = [
        &["broadcast", "broadcast/a", "users/u", "topics/x", "topics/y", "broadcast/server/n-1", "end"],
        &["broadcast", "users/u", "topics/y", "broadcast/server/n-1", "end"],
        &["broadcast", "users/v", "broadcast/server/n-1", "broadcast/server/n-1/client/c", "end"],
        &["broadcast", "broadcast/d", "broadcast/server/n-1", "end"],
    ];
    for (stream, expected) in streams.iter_mut().zip(expected) {
        assert_eq!(stream.payloads(&json!("end")).await, expected, "{}", stream.hello.client_id);
    }
}

#[tokio::test]
async fn all_connections_of_a_client_get_what_is_for_the_client() {
    let node = Node::start(&[]).await;
    let mut streams = join_all((0..3).map(|_| Subscriber::open(&node, "clientId=a&topics=t"))).await;
    for to in ["broadcast/a", "topics/t", "broadcast"] {
        node.publish(to, &data(to)).await;
    }
    for stream in &mut streams {
        assert_eq!(stream.payloads(&json!("broadcast")).await, ["broadcast/a", "topics/t", "broadcast"]);
    }
}

#[tokio::test]
async fn the_order_is_the_logs_for_everybody() {
    let node = Node::start(&[]).await;
    let mut streams = join_all((0..5).map(|_| Subscriber::open(&node, "topics=t"))).await;
    // Four publishers at a time: nobody knows their order but the log.
    let publishers = (0..4).map(|publisher| {
        let node = &node;
        async move {
            let mut published = Vec::new();
            for number in 0..50 {
                let to = if number % 2 == 0 { "broadcast" } else { "topics/t" };
                published.push(node.publish(to, &data(format!("{publisher}-{number}"))).await);
            }
            published
        }
    });
    let published = join_all(publishers).await.concat();
    node.publish("broadcast", &data("end")).await;
    let log = node.history().await;
    let expected: Vec<_> = log.iter().map(|event| event.id.to_string()).collect();
    assert_eq!(expected.len(), published.len() + 1);
    assert!(published.iter().all(|event| expected.contains(&event.id.to_string())));
    for stream in &mut streams {
        let events = stream.until(&json!("end")).await;
        let ids: Vec<_> = events.into_iter().map(|event| event.last_event_id).collect();
        assert_eq!(ids, expected);
    }
}

#[tokio::test]
async fn the_same_event_with_the_same_key_gets_the_first_answer_and_another_one_is_refused() {
    let node = Node::start(&[]).await;
    let mut stream = Subscriber::open(&node, "").await;
    let with_header = async |key: &str, body: &str| {
        let request = node.http().post(node.url("/api/sse/broadcast")).header("idempotency-key", key);
        node.answer(request.body(body.to_owned())).await
    };
    let first: Published = with_header("k1", r#"{"data":"first"}"#).await.json();
    let again: Published = with_header("k1", r#"{ "data" : "first"}"#).await.json();
    // The key in the body is the same key, and a header wins over it.
    let in_body = node.publish("broadcast", &json!({ "data": "first", "id": "k1" })).await;
    let both: Published = with_header("k1", r#"{"data":"first","id":"other"}"#).await.json();
    for (to, body, what) in [
        ("broadcast", json!({ "data": "second" }), "another payload"),
        ("broadcast", json!({ "data": "first", "type": "T" }), "another type"),
        ("broadcast", json!({ "data": "first", "metadata": 1 }), "other metadata"),
        ("topics/t", json!({ "data": "first" }), "another address"),
    ] {
        let mut body = body;
        body["id"] = json!("k1");
        let detail = node.post(&format!("/api/sse/{to}"), body.to_string()).await.problem(422, "id_reused");
        assert!(detail.contains(what) && detail.contains(&first.id.to_string()), "{detail}");
    }
    assert!(!first.duplicate);
    for answer in [again, in_body, both] {
        let expected = (first.id.clone(), first.message_id.clone(), first.epoch.clone(), true);
        assert_eq!((answer.id, answer.message_id, answer.epoch, answer.duplicate), expected);
    }
    let own = node.publish("broadcast", &json!({ "data": "own", "id": "a key of its own" })).await;
    assert_eq!((own.message_id.as_str(), own.duplicate), ("a key of its own", false));
    node.publish("broadcast", &data("end")).await;
    let events = stream.until(&json!("end")).await;
    assert_eq!(payloads(&events), ["first", "own", "end"]);
    assert_eq!(envelope(&events[0]).id.as_str(), "k1");
    assert_eq!(events[0].last_event_id, first.id.to_string());
}

#[tokio::test]
async fn publishes_without_a_key_are_never_taken_for_repeated() {
    let node = Node::start(&[]).await;
    let same = data("same");
    let answers = join_all((0..20).map(|_| node.publish("broadcast", &same))).await;
    assert!(answers.iter().all(|answer| !answer.duplicate));
    assert_eq!(node.history().await.len(), 20);
}

#[tokio::test]
async fn what_a_publisher_wrote_arrives_byte_for_byte() {
    let node = Node::start(&[]).await;
    let mut stream = Subscriber::open(&node, "").await;
    let payloads = [
        r#"{"big":123456789012345678901234567890,"small":1.10,"exp":1E400,"neg":-0}"#,
        r#"{"z":1,"a":2,"z":3}"#,
        r#""Grüße, 你好, 🎉, \u00e9, \ud83d\ude00, \u0000, \u2028""#,
        "{\n  \"pretty\": [\n\n    1,\n    2\n  ]\n}",
        "\"data: x\\n\\nid: forged\\r\\nevent: CLOSE\"",
        "[ ]",
        "null",
        "\"\"",
    ];
    for data in payloads {
        let body = format!(r#"{{"type":"order created","data":{data},"metadata":{data}}}"#);
        assert_eq!(node.post("/api/sse/broadcast", body).await.status, 202, "{data}");
    }
    for data in payloads {
        let event = stream.event().await;
        let envelope = envelope(&event);
        assert_eq!((event.event.as_str(), envelope.event_type.as_str()), ("order created", "order created"));
        assert_eq!(envelope.data.get(), data);
        assert_eq!(envelope.metadata.get(), data);
    }
}

#[tokio::test]
async fn line_ends_of_every_kind_in_a_payload_stay_in_the_payload() {
    let node = Node::start(&[]).await;
    let mut stream = Subscriber::open(&node, "").await;
    let body = "{\"data\":[1,\r\n2,\r3,\nid: 7\n]}".replace("id: 7", "\"id: 7\"");
    assert_eq!(node.post("/api/sse/broadcast", body).await.status, 202);
    let event = stream.event().await;
    // A stream knows one line end; between JSON tokens they all mean the same.
    assert_eq!(envelope(&event).data.get(), "[1,\n2,\n3,\n\"id: 7\"\n]");
    assert_eq!(event.event, "MESSAGE");
}

#[tokio::test]
async fn an_envelope_says_who_published_what_and_when() {
    let node = Node::start(&["--id", "n-1"]).await;
    let mut stream = Subscriber::open(&node, "clientId=c&userId=u&topics=t").await;
    let defaults = [
        ("broadcast", "MESSAGE"),
        ("topics/t", "MESSAGE"),
        ("users/u", "DIRECT"),
        ("broadcast/c", "DIRECT"),
        ("broadcast/server/n-1", "SERVER_MESSAGE"),
        ("broadcast/server/n-1/client/c", "CLIENT_ON_SERVER"),
    ];
    for (to, default_type) in defaults {
        let published = node.publish(to, &data(1)).await;
        let event = stream.event().await;
        let envelope = envelope(&event);
        assert_eq!((event.event.as_str(), event.id_in_block), (default_type, true), "{to}");
        assert_eq!(event.last_event_id, published.id.to_string());
        assert_eq!((envelope.id, envelope.source.as_str()), (published.message_id, "n-1"));
        assert_eq!(envelope.event_type.as_str(), default_type);
        assert_eq!(envelope.metadata.get(), "null");
        let taken = humantime::parse_rfc3339(&envelope.timestamp).unwrap();
        assert!(taken.elapsed().unwrap() < PATIENCE, "{}", envelope.timestamp);
        assert!(published.id.as_str().starts_with(&format!("{}-", published.epoch)));
    }
}

#[tokio::test]
async fn the_first_event_says_where_the_client_has_arrived() {
    let node = Node::start(&["--id", "n-1", "--name", "Node 1", "--retry", "2500ms"]).await;
    let before = node.publish("broadcast", &data("before")).await;
    // The log has it; a stream begins where the node has arrived, so wait until that is the same.
    assert_eq!(node.get("/health/ready").await.status, 200);
    let mut raw = Raw::connect(&node).await;
    raw.send("GET /api/sse/stream?clientId=c HTTP/1.0\r\n\r\n").await;
    let head = raw.until("\r\n\r\n").await;
    let block = raw.until("\n\n").await;
    let lines: Vec<_> = block.lines().collect();
    let [retry, id, event, data, ""] = lines[..] else { panic!("{block}") };
    assert_eq!((retry, event), ("retry: 2500", "event: CONNECTION"));
    assert_eq!(id, format!("id: {}", before.id));
    let hello: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    let fields: Vec<_> = hello.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "clientId",
        "connectionId",
        "enableCluster",
        "format",
        "instanceId",
        "instanceName",
        "message",
        "name",
        "reconnectTime",
        "resumed",
        "serverTime",
        "version",
    ];
    assert_eq!(fields, expected);
    assert_eq!(hello["clientId"], "c");
    assert_eq!((&hello["instanceId"], &hello["instanceName"]), (&json!("n-1"), &json!("Node 1")));
    assert_eq!((&hello["reconnectTime"], &hello["resumed"]), (&json!(2500), &json!("live")));
    assert_eq!(hello["enableCluster"], false);
    assert!(hello["serverTime"].as_u64().unwrap() > 1_700_000_000_000, "{hello}");
    assert!(head.contains("x-sse-server-id: n-1\r\n"), "{head}");
}

#[tokio::test]
async fn a_client_without_a_name_is_given_one() {
    let node = Node::start(&[]).await;
    let (one, two) = (Subscriber::open(&node, "").await, Subscriber::open(&node, "clientId=").await);
    assert_ne!(one.hello.client_id, two.hello.client_id);
    assert_ne!(one.hello.connection_id, two.hello.connection_id);
    assert_eq!(one.hello.resumed, Resumed::Live);
    let mut one = one;
    let to = format!("broadcast/{}", one.hello.client_id);
    node.publish(&to, &data("to a given name")).await;
    assert_eq!(payload(&one.event().await), "to a given name");
}

#[tokio::test]
async fn headers_keep_proxies_and_caches_away() {
    let node = Node::start(&["--id", "n-1"]).await;
    let mut raw = Raw::connect(&node).await;
    raw.send("GET /api/sse/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let head = raw.until("\r\n\r\n").await.to_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
    for line in [
        "content-type: text/event-stream; charset=utf-8",
        "cache-control: no-store, no-transform",
        "x-accel-buffering: no",
        "x-sse-server-id: n-1",
        "transfer-encoding: chunked",
    ] {
        assert_eq!(head.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {head}");
    }
    for absent in ["content-length", "content-encoding", "set-cookie", "access-control-allow-origin"] {
        assert!(!head.contains(absent), "{head}");
    }
    assert_eq!(head.matches("\r\ndate: ").count(), 1, "{head}");
}

#[tokio::test]
async fn an_http_1_0_client_gets_a_stream_without_chunks() {
    let node = Node::start(&[]).await;
    let mut raw = Raw::connect(&node).await;
    raw.send("GET /api/sse/stream?clientId=old HTTP/1.0\r\n\r\n").await;
    let head = raw.until("\r\n\r\n").await;
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    assert!(head.to_lowercase().contains("connection: close\r\n"), "{head}");
    node.publish("broadcast", &data("plain bytes")).await;
    let mut body = raw.until("\n\n").await;
    body += &raw.until("\n\n").await;
    let events = events(body.as_bytes());
    assert_eq!((events.len(), payload(&events[1])), (2, json!("plain bytes")));
    assert!(body.starts_with("retry: "), "no byte stands between the events: {body:?}");
    assert!(body.ends_with("}\n\n"), "{body:?}");
}

#[tokio::test]
async fn head_tells_the_headers_and_opens_nothing() {
    let node = Node::start(&["--max-connections", "1"]).await;
    let mut raw = Raw::connect(&node).await;
    for _ in 0..3 {
        raw.send("HEAD /api/sse/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let head = raw.until("\r\n\r\n").await.to_lowercase();
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        assert!(head.contains("content-type: text/event-stream; charset=utf-8"), "{head}");
    }
    assert_eq!(node.metrics().await.total_connections, 0);
    Subscriber::open(&node, "").await;
}

#[tokio::test]
async fn one_connection_carries_requests_and_then_a_stream() {
    let node = Node::start(&[]).await;
    let mut raw = Raw::connect(&node).await;
    let publish = |text: &str| {
        let body = data(text).to_string();
        format!(
            "POST /api/sse/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for text in ["one", "two"] {
        raw.send(&publish(text)).await;
        let reply = raw.reply().await;
        assert!(reply.head.starts_with("HTTP/1.1 202"), "{reply:?}");
        assert_eq!(reply.header("connection"), None, "{reply:?}");
    }
    // Pipelined: the answer to the publish must come whole before the stream begins.
    raw.send(
        &(publish("three") + "GET /api/sse/stream?lastEventId=earliest HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    )
    .await;
    let reply = raw.reply().await;
    assert!(reply.head.starts_with("HTTP/1.1 202"), "{reply:?}");
    let published: Published = serde_json::from_slice(&reply.body).unwrap();
    assert!(raw.until("\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    let mut seen = String::new();
    while !seen.contains(r#""data":"three""#) {
        seen += &raw.until("\n\n").await;
    }
    assert!(seen.contains(r#""data":"one""#) && seen.contains(r#""data":"two""#), "{seen}");
    assert!(seen.contains(&format!("id: {}\n", published.id)), "{seen}");
}

#[tokio::test]
async fn every_frame_is_a_chunk_of_its_own_length() {
    let node = Node::start(&[]).await;
    let mut raw = Raw::connect(&node).await;
    raw.send("GET /api/sse/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    raw.until("\r\n\r\n").await;
    node.publish("broadcast", &data("ä".repeat(3_000))).await;
    let mut body = Vec::new();
    for _ in 0..2 {
        let head = raw.until("\r\n").await;
        let length = usize::from_str_radix(head.trim(), 16).unwrap();
        let chunk = raw.exactly(length + 2).await;
        assert!(chunk.ends_with(b"\n\n\r\n"), "whole frames only");
        body.extend_from_slice(&chunk[..length]);
    }
    assert_eq!(payload(&events(&body)[1]), "ä".repeat(3_000));
}

#[tokio::test]
async fn a_quiet_stream_gets_a_comment_or_an_event_as_it_asked() {
    let node = Node::start(&["--heartbeat", "50ms"]).await;
    let mut comments = Subscriber::open(&node, "").await;
    let mut named = Subscriber::open(&node, "heartbeat=event").await;
    for _ in 0..2 {
        assert_eq!(comments.received().await, Ok(Received::Comment(String::new())));
        let event = named.event().await;
        assert_eq!((event.event.as_str(), event.id_in_block), ("HEARTBEAT", false));
        assert!(!event.data.is_empty());
    }
    assert_eq!(named.last_event_id(), named.start.clone().unwrap(), "a heartbeat is no position");
    let mut raw = Raw::connect(&node).await;
    raw.send("GET /api/sse/stream HTTP/1.0\r\n\r\n").await;
    raw.until("\n\n").await;
    // A blank line behind the comment would be an empty event to some clients.
    assert_eq!(raw.exactly(4).await, b":\n:\n");
}

#[tokio::test]
async fn a_stream_ends_with_its_client() {
    let node = Node::start(&[]).await;
    let stays = Subscriber::open(&node, "clientId=stays").await;
    let leaves = Subscriber::open(&node, "clientId=leaves").await;
    node.wait_for_connections(2).await;
    drop(leaves);
    node.wait_for_connections(1).await;
    assert_eq!(node.connections("").await.clients[0].client_id, stays.hello.client_id);
    let metrics = node.metrics().await;
    assert_eq!(metrics.closed["client_gone"], 1);
    let closed = node.delete(&format!("/api/sse/connections/{}", stays.hello.connection_id)).await;
    assert_eq!(closed.status, 202);
    let (events, ending) = stays.rest().await;
    assert_eq!(events.len(), 1);
    assert!(matches!(ending, Ending::Aborted { .. }));
}
