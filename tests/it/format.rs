//! Streams with `format=data`: what is on the wire, what comes in its envelope all the same, and cursors that go from one
//! format to the other.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sse_lab::client::Event;
use sse_lab::protocol::api::{Acked, EventLedger, GapReason, History, Published, Resumed};
use sse_lab::protocol::event::control;
use sse_lab::protocol::{Cursor, Format};

use crate::support::{Node, Raw, Redis, Subscriber, directory, envelope, file, gap, payload};

/// The position that an event's `id:` names, which must be a short one.
#[track_caller]
fn position(id: &str) -> Cursor {
    assert!((13..=16).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    id.parse().unwrap()
}

async fn publish_numbers(node: &Node, numbers: std::ops::Range<u64>) -> Vec<Published> {
    let mut published = Vec::new();
    for number in numbers {
        published.push(node.publish("broadcast", &json!({ "data": number })).await);
    }
    published
}

/// Reads events until the one with this payload, as it stands in `data:`.
async fn until(stream: &mut Subscriber, last: &str) -> Vec<Event> {
    let mut events = vec![stream.event().await];
    while events.last().is_some_and(|event| event.data != last) {
        events.push(stream.event().await);
    }
    events
}

#[tokio::test]
async fn an_event_of_140_bytes_takes_as_many_bytes_as_with_nchan_and_a_tenth_more_at_most() {
    const NCHAN: usize = 164;
    let node = Node::start(&[]).await;
    let data = json!("x".repeat(138));
    assert_eq!(data.to_string().len(), 140);
    for (format, most) in [("data", NCHAN * 11 / 10), ("envelope", 340)] {
        let mut raw = Raw::connect(&node).await;
        raw.send(&format!("GET /api/sse/stream?format={format} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        raw.until("\n\n\r\n").await;
        let published = node.publish("broadcast", &json!({ "data": data })).await;
        let wire = raw.until("\n\n\r\n").await;
        let (length, chunk) = wire.split_once("\r\n").unwrap();
        assert_eq!(usize::from_str_radix(length, 16).unwrap(), chunk.len() - 2, "one chunk: {wire}");
        assert!(wire.len() <= most, "{} bytes: {wire}", wire.len());
        let id = chunk.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
        assert_eq!(id.parse(), published.id.cursor());
        if format == "data" {
            position(id);
            assert_eq!(chunk, format!("id: {id}\ndata: {data}\n\n\r\n"));
        }
    }
}

#[tokio::test]
async fn the_payload_comes_alone_and_only_a_type_of_its_own_is_named() {
    let node = Node::start(&["--format", "data"]).await;
    let mut stream = Subscriber::open(&node, "clientId=c&userId=u&topics=t").await;
    assert_eq!(stream.hello.format, Format::Data);
    let mut whole = Subscriber::open(&node, "clientId=c&userId=u&topics=t&format=envelope").await;
    assert_eq!(whole.hello.format, Format::Envelope);
    assert!(stream.last_event_id().len() <= 16);
    let pretty = "{\n  \"a\": [1.10,\r\n  \"\\n\"]\n}";
    for (to, body, event, data) in [
        ("broadcast", r#"{"data":null}"#.to_owned(), "message", "null"),
        ("topics/t", r#"{"data":"a\nb","metadata":{"data":1}}"#.to_owned(), "message", r#""a\nb""#),
        ("users/u", format!(r#"{{"data":{pretty}}}"#), "message", "{\n  \"a\": [1.10,\n  \"\\n\"]\n}"),
        ("broadcast/c", r#"{"data":{"data":2}}"#.to_owned(), "message", r#"{"data":2}"#),
        ("broadcast", r#"{"data":3,"type":"order placed"}"#.to_owned(), "order placed", "3"),
        ("broadcast/c", r#"{"data":4,"type":"MESSAGE"}"#.to_owned(), "MESSAGE", "4"),
    ] {
        let answer = node.post(&format!("/api/sse/{to}"), body.clone()).await;
        let published: Published = answer.json();
        let (alone, in_envelope) = (stream.event().await, whole.event().await);
        assert_eq!((alone.event.as_str(), alone.data.as_str()), (event, data), "{body}");
        assert_eq!(Ok(position(&alone.last_event_id)), published.id.cursor(), "{body}");
        assert_eq!(in_envelope.last_event_id, published.id.as_str(), "{body}");
        assert_eq!(envelope(&in_envelope).id, published.message_id, "{body}");
    }
    // What claims to be in an envelope is, so nobody can forge one.
    node.publish("broadcast", &json!({ "data": {"id": "forged"}, "type": "ENVELOPE", "metadata": 5 })).await;
    let event = stream.event().await;
    assert_eq!((event.event.as_str(), payload(&event)), (control::ENVELOPE, json!({"id": "forged"})));
    assert_eq!(envelope(&event).metadata.get(), "5");
    position(&event.last_event_id);
}

#[tokio::test]
async fn a_message_that_comes_again_from_a_mailbox_has_its_envelope_and_a_short_cursor_confirms_it() {
    let node = Node::start(&[]).await;
    let mail = async |number: u64| node.publish("users/u", &json!({ "data": number, "qos": 1 })).await;
    let pending = async || -> usize {
        let pending: Value = node.get("/api/sse/users/u/pending").await.json();
        pending["messages"].as_array().unwrap().len()
    };
    let (first, second) = (mail(1).await, mail(2).await);
    let mut stream = Subscriber::open(&node, "userId=u&format=data").await;
    let (messages, cursor) = stream.up_to(control::CURSOR).await;
    for (event, published) in messages.iter().zip([&first, &second]) {
        assert_eq!((event.event.as_str(), event.id_in_block), (control::ENVELOPE, false));
        assert_eq!(
            (envelope(event).id, envelope(event).event_type.as_str()),
            (published.message_id.clone(), "DIRECT")
        );
    }
    assert_eq!((messages.len(), position(&cursor.last_event_id)), (2, second.id.cursor().unwrap()));
    let third = mail(3).await;
    let live = stream.event().await;
    assert_eq!((live.event.as_str(), live.data.as_str()), ("message", "3"));
    // By a cursor, by an acknowledgement that names a short id, and the counts of an event asked for by its short id.
    let mut again = Subscriber::after(&node, "userId=u&format=data", &cursor.last_event_id).await;
    assert_eq!((again.event().await.data.as_str(), pending().await), ("3", 1));
    let body = json!({ "userId": "u", "id": live.last_event_id }).to_string();
    assert_eq!(node.post("/api/sse/ack", body).await.json::<Acked>().confirmed, 1);
    let ledger: EventLedger = node.get(&format!("/api/sse/events/{}", live.last_event_id)).await.json();
    assert_eq!((ledger.id, ledger.confirmed), (third.id, 1));
    let page: History = node.get(&format!("/api/sse/history?after={}", cursor.last_event_id)).await.json();
    assert_eq!(page.events.len(), 1);
}

#[tokio::test]
async fn a_cursor_of_one_format_is_good_in_the_other_also_after_a_restart_and_from_the_log() {
    let directory = directory();
    let mut node = Node::start(&["--broker", &file(&directory), "--window-frames", "2"]).await;
    let mut stream = Subscriber::open(&node, "format=data").await;
    let published = publish_numbers(&node, 0..10).await;
    let short: Vec<String> =
        until(&mut stream, "9").await.iter().map(|event| event.last_event_id.clone()).collect();
    node.kill().await;
    node.restart().await;
    for from in [0, 8] {
        let long = published[from].id.as_str();
        assert_eq!(short[from].parse::<Cursor>(), published[from].id.cursor());
        let mut alone = Subscriber::after(&node, "format=data", long).await;
        let mut whole = Subscriber::after(&node, "", &short[from]).await;
        assert_eq!((alone.hello.resumed, whole.hello.resumed), (Resumed::Replayed, Resumed::Replayed));
        let ids: Vec<_> = until(&mut alone, "9").await.into_iter().map(|event| event.last_event_id).collect();
        assert_eq!(ids, short[from + 1..], "from {from}");
        let ids: Vec<_> = whole.until(&json!(9)).await.into_iter().map(|event| event.last_event_id).collect();
        let expected: Vec<_> = published[from + 1..].iter().map(|event| event.id.to_string()).collect();
        assert_eq!(ids, expected, "from {from}");
    }
}

#[tokio::test]
async fn a_gap_says_what_was_asked_for_and_moves_the_client_to_a_short_id() {
    let node = Node::start(&["--keep-events", "2", "--window-frames", "1"]).await;
    let mut stream = Subscriber::open(&node, "format=data").await;
    publish_numbers(&node, 0..1).await;
    let first = stream.event().await.last_event_id;
    publish_numbers(&node, 1..6).await;
    let mut stream = Subscriber::after(&node, "format=data", &first).await;
    let event = stream.event().await;
    let told = gap(&event, GapReason::Trimmed);
    assert_eq!(told.requested, Some(first));
    assert_eq!(position(&event.last_event_id), told.oldest.unwrap().cursor().unwrap());
    assert_eq!(until(&mut stream, "5").await.len(), 2);
}

#[tokio::test]
async fn a_word_that_is_no_format_is_refused_with_those_that_are() {
    let node = Node::start(&[]).await;
    let answer = node.get("/api/sse/stream?format=json").await;
    assert_eq!(answer.status, 400);
    let detail = answer.json::<Value>()["detail"].as_str().unwrap().to_owned();
    assert_eq!(detail, "format=\"json\" is not known; allowed are envelope, data");
    let output = crate::support::run(&["check-config", "--format", "json"]).await;
    assert_eq!(output.code, Some(2));
    for word in ["format", "json", "envelope", "data"] {
        assert!(output.stderr.contains(word), "{}", output.stderr);
    }
}

#[tokio::test]
async fn nodes_of_one_redis_take_each_others_cursors_in_both_formats() {
    let redis = Redis::start().await;
    let url = redis.url();
    let old = Node::start(&["--broker", &url, "--id", "a"]).await;
    let new = Node::start(&["--broker", &url, "--id", "b", "--format", "data"]).await;
    let (mut whole, mut alone) = (Subscriber::open(&old, "").await, Subscriber::open(&new, "").await);
    let published = publish_numbers(&old, 0..3).await;
    let long = whole.until(&json!(2)).await;
    let short = until(&mut alone, "2").await;
    assert_eq!(long[0].last_event_id, published[0].id.as_str());
    let mut whole = Subscriber::after(&old, "", &short[0].last_event_id).await;
    let mut alone = Subscriber::after(&new, "", &long[0].last_event_id).await;
    assert_eq!(whole.payloads(&json!(2)).await, [1, 2]);
    assert_eq!(until(&mut alone, "2").await.len(), 2);
}

/// Logs that nodes wrote before there were formats. Their clients still hold such cursors.
fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

const KEEPS_FOR_EVER: [&str; 4] = ["--keep-age", "36500d", "--mailbox-age", "36500d"];

/// Resumes after an event of the old log, in both formats: what follows it there comes, and then what is new.
async fn check_old_log(node: &Node, after: &str, follows: &[(&str, &str)]) {
    let mut alone = Subscriber::after(node, "userId=u&topics=t&format=data", after).await;
    let mut whole = Subscriber::after(node, "userId=u&topics=t", after).await;
    for (event, data) in follows {
        let (short, long) = (alone.event().await, whole.event().await);
        assert_eq!((short.event.as_str(), short.data.as_str()), (*event, *data));
        assert_eq!(Ok(position(&short.last_event_id)), long.last_event_id.parse());
        assert_eq!(payload(&long), serde_json::from_str::<Value>(data).unwrap());
    }
    let published = node.publish("broadcast", &json!({ "data": "new" })).await;
    assert_eq!(alone.event().await.last_event_id.parse(), published.id.cursor());
    assert_eq!(whole.event().await.last_event_id, published.id.as_str());
    // Without a cursor: the mailbox.
    let mut stream = Subscriber::open(node, "userId=u&format=data").await;
    let again = stream.event().await;
    assert_eq!((again.event.as_str(), envelope(&again).id.as_str()), (control::ENVELOPE, "mail"));
}

#[tokio::test]
async fn a_log_that_an_earlier_version_left_in_a_directory_is_read() {
    let directory = directory();
    let archive = std::fs::File::open(vector("file-log-before-formats.tar.gz")).unwrap();
    let mut unpack = std::process::Command::new("tar");
    assert!(unpack.args(["-xz", "-C"]).arg(directory.path()).stdin(archive).status().unwrap().success());
    let broker = format!("file:{}", directory.path().join("log").display());
    let node = Node::start(&[&["--broker", &broker], &KEEPS_FOR_EVER[..]].concat()).await;
    let follows = [
        ("message", r#"{"n":2}"#),
        ("message", r#"{"n":3}"#),
        ("message", r#""waits""#),
        ("order placed", r#""t""#),
    ];
    check_old_log(&node, "lufk68-1796076601445-0", &follows).await;
}

#[tokio::test]
async fn a_log_that_earlier_nodes_left_in_redis_is_read() {
    let directory = directory();
    std::fs::copy(vector("redis-log-before-formats.rdb"), directory.path().join("dump.rdb")).unwrap();
    let redis = Redis::start_with(&["--dir", directory.path().to_str().unwrap()]).await;
    let node = Node::start(&[&["--broker", &redis.url()], &KEEPS_FOR_EVER[..]].concat()).await;
    let follows = [("message", r#""waits""#), ("message", r#"{"n":2}"#), ("message", r#"{"n":3}"#)];
    check_old_log(&node, "ipwv0j-1796076624060-0", &follows).await;
}
