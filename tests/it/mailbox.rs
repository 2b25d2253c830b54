//! Messages for those who are away: kept, sent again, confirmed, overflowed.

use serde_json::{Value, json};
use sse_lab::broker::LogLimits;
use sse_lab::client::Event;
use sse_lab::protocol::api::{Acked, EventLedger, GapReason, History, Pending, Published};
use sse_lab::protocol::event::control;

use crate::support::{
    Node, OfflineLog, Subscriber, directory, envelope, eventually, file, flood, gap, payload,
};

async fn mail(node: &Node, to: &str, value: impl Into<Value>) -> Published {
    node.publish(to, &json!({ "data": value.into(), "qos": 1 })).await
}

async fn pending(node: &Node, user: &str) -> Vec<String> {
    let pending: Pending = node.get(&format!("/api/sse/users/{user}/pending")).await.json();
    assert_eq!(pending.address.to_string(), format!("user:{user}"));
    pending.messages.iter().map(|message| message.envelope.data.get().to_owned()).collect()
}

async fn ack(node: &Node, body: &Value) -> u64 {
    let answer = node.post("/api/sse/ack", body.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json::<Acked>().confirmed
}

/// Messages without an id, up to the `CURSOR` behind them; and the position that it tells.
async fn backlog(stream: &mut Subscriber) -> (Vec<Event>, String) {
    assert_eq!(
        stream.start, None,
        "the position comes behind the messages, or a client that dies would confirm them"
    );
    let mut events = Vec::new();
    loop {
        let event = stream.event().await;
        if event.event == control::CURSOR {
            assert_eq!((event.id_in_block, event.data.as_str()), (true, ""));
            return (events, event.last_event_id);
        }
        assert!(!event.id_in_block && event.last_event_id.is_empty(), "{event:?}");
        events.push(event);
    }
}

/// The payloads of the backlog, which there must be.
async fn resent(stream: &mut Subscriber) -> Vec<Value> {
    backlog(stream).await.0.iter().map(payload).collect()
}

#[tokio::test]
async fn a_message_waits_for_a_user_and_for_a_client() {
    let node = Node::start(&[]).await;
    let first = mail(&node, "users/u", "to the user").await;
    let second = mail(&node, "broadcast/c", "to the client").await;
    mail(&node, "users/v", "to another").await;
    node.publish("users/u", &json!({ "data": "only for those who are here" })).await;
    let newest = node.publish("broadcast", &json!({ "data": "newest" })).await;
    let mut stream = Subscriber::open(&node, "clientId=c&userId=u").await;
    let (events, position) = backlog(&mut stream).await;
    assert_eq!(events.iter().map(payload).collect::<Vec<_>>(), ["to the user", "to the client"]);
    assert_eq!(envelope(&events[0]).id, first.message_id);
    assert_eq!(envelope(&events[1]).id, second.message_id);
    assert_eq!(events[0].event, "DIRECT");
    assert_eq!(position, newest.id.to_string());
    node.publish("broadcast", &json!({ "data": "live" })).await;
    assert_eq!(payload(&stream.event().await), "live");
}

#[tokio::test]
async fn who_is_connected_gets_a_message_once_and_with_its_position() {
    let node = Node::start(&[]).await;
    let mut stream = Subscriber::open(&node, "userId=u").await;
    let published = mail(&node, "users/u", 1).await;
    mail(&node, "users/u", 2).await;
    let events = stream.until(&json!(2)).await;
    assert_eq!(events.len(), 2);
    assert_eq!((events[0].id_in_block, &events[0].last_event_id), (true, &published.id.to_string()));
    assert_eq!(pending(&node, "u").await, ["1", "2"], "being written is not being confirmed");
}

#[tokio::test]
async fn a_message_comes_again_until_a_later_cursor_confirms_it() {
    let node = Node::start(&[]).await;
    mail(&node, "users/u", 1).await;
    mail(&node, "users/u", 2).await;
    for _ in 0..2 {
        let mut stream = Subscriber::open(&node, "userId=u").await;
        assert_eq!(resent(&mut stream).await, [1, 2]);
    }
    let mut stream = Subscriber::open(&node, "userId=u").await;
    let (_events, position) = backlog(&mut stream).await;
    let third = mail(&node, "users/u", 3).await;
    let confirming = Subscriber::after(&node, "userId=u", &position).await;
    assert_eq!(confirming.start.as_ref(), Some(&position), "nothing goes in front any more");
    assert_eq!(pending(&node, "u").await, ["3"]);
    let mut confirming = confirming;
    assert_eq!(confirming.event().await.last_event_id, third.id.to_string(), "the log brings it");
    Subscriber::after(&node, "userId=u", third.id.as_str()).await;
    assert_eq!(pending(&node, "u").await, [""; 0]);
    let metrics = node.metrics().await;
    assert_eq!((metrics.log.mailboxes, metrics.log.mailbox_messages), (0, 0));
    for line in ["sse_node_mailbox_resent_total 6", "sse_node_mailbox_confirmed_total 3"] {
        node.wait_for_line(line).await;
    }
}

#[tokio::test]
async fn a_post_confirms_what_it_names_and_no_more() {
    let node = Node::start(&[]).await;
    let first = mail(&node, "users/u", 1).await;
    let second = mail(&node, "users/u", 2).await;
    mail(&node, "users/v", 3).await;
    let to_client = mail(&node, "broadcast/c", 4).await;
    assert_eq!(ack(&node, &json!({ "userId": "u", "id": first.id })).await, 1);
    assert_eq!(ack(&node, &json!({ "userId": "u", "id": first.id })).await, 0, "twice is once");
    assert_eq!(pending(&node, "u").await, ["2"]);
    assert_eq!(ack(&node, &json!({ "userId": "u", "clientId": "c", "id": to_client.id })).await, 2);
    assert_eq!((pending(&node, "u").await.len(), pending(&node, "v").await.len()), (0, 1));
    let ledger: EventLedger = node.get(&format!("/api/sse/events/{}", second.id)).await.json();
    assert_eq!(ledger.confirmed, 1);
}

#[tokio::test]
async fn the_ledger_counts_a_confirmation_however_it_came() {
    let node = Node::start(&[]).await;
    let mut stream = Subscriber::open(&node, "userId=u").await;
    let by_cursor = mail(&node, "users/u", 1).await;
    // The ledger is the window's: a confirmation that is quicker than the tail finds nothing to count.
    assert_eq!(stream.event().await.last_event_id, by_cursor.id.to_string());
    Subscriber::after(&node, "userId=u", by_cursor.id.as_str()).await;
    let by_writing = mail(&node, "users/w", 2).await;
    let mut stream = Subscriber::open(&node, "userId=w&ack=written").await;
    assert_eq!(payload(&stream.event().await), 2);
    for event in [by_cursor, by_writing] {
        eventually("the confirmation", async || {
            let ledger: EventLedger = node.get(&format!("/api/sse/events/{}", event.id)).await.json();
            (ledger.confirmed == 1).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_ack_that_cannot_be_meant_is_refused() {
    let node = Node::start(&[]).await;
    let published = mail(&node, "users/u", 1).await;
    let id = published.id.as_str();
    let epoch = &published.epoch;
    let cases = [
        (json!({ "id": id }), "clientId or userId is missing"),
        (json!({ "userId": "u", "id": "17" }), "not an event id"),
        (json!({ "userId": "u" }), "missing field `id`"),
        (json!({ "userId": "u", "id": "zzzzzz-1-0" }), "another history"),
        (json!({ "userId": "u", "id": format!("{epoch}-99999999999999-0") }), "newest"),
        (json!({ "userId": "u", "id": format!("{epoch}-{0}-{0}", u64::MAX) }), "newest"),
        (json!({ "userId": "a,b", "id": id }), "user id"),
        (json!({ "userId": "u", "id": id, "upTo": 1 }), "unknown field `upTo`"),
    ];
    for (body, reason) in cases {
        let detail = node.post("/api/sse/ack", body.to_string()).await.problem(422, "invalid_event");
        assert!(detail.contains(reason), "{body}: {detail}");
    }
    node.post("/api/sse/ack", "{").await.problem(400, "malformed_json");
    assert_eq!(pending(&node, "u").await, ["1"]);
}

#[tokio::test]
async fn a_cursor_that_was_never_given_out_confirms_nothing() {
    let node = Node::start(&[]).await;
    let published = mail(&node, "users/u", 1).await;
    for cursor in ["99999999999999-0".to_owned(), format!("{0}-{0}", u64::MAX)] {
        let cursor = format!("{}-{cursor}", published.epoch);
        let mut stream = Subscriber::after(&node, "userId=u", &cursor).await;
        assert_eq!(payload(&stream.event().await), 1, "it is sent again");
        gap(&stream.event().await, GapReason::Rollback);
        assert_eq!(pending(&node, "u").await, ["1"]);
    }
}

#[tokio::test]
async fn an_explicit_client_confirms_by_post_alone() {
    let node = Node::start(&[]).await;
    let first = mail(&node, "broadcast/c", 1).await;
    let mut stream = Subscriber::open(&node, "clientId=c&ack=explicit").await;
    let (_events, position) = backlog(&mut stream).await;
    let mut again = Subscriber::after(&node, "clientId=c&ack=explicit", &position).await;
    assert_eq!(resent(&mut again).await, [1]);
    assert_eq!(ack(&node, &json!({ "clientId": "c", "id": first.id })).await, 1);
    let after = Subscriber::after(&node, "clientId=c&ack=explicit", &position).await;
    assert_eq!(after.start, Some(position));
}

#[tokio::test]
async fn written_counts_as_confirmed_for_those_who_ask_for_no_more() {
    let node = Node::start(&[]).await;
    mail(&node, "users/u", 1).await;
    mail(&node, "broadcast/c", 2).await;
    let mut stream = Subscriber::open(&node, "clientId=c&userId=u&ack=written").await;
    assert_eq!(resent(&mut stream).await, [1, 2]);
    mail(&node, "users/u", 3).await;
    assert_eq!(payload(&stream.event().await), 3);
    eventually("empty mailboxes", async || (node.metrics().await.log.mailbox_messages == 0).then_some(()))
        .await;
    let again = Subscriber::open(&node, "clientId=c&userId=u").await;
    assert!(again.start.is_some(), "nothing to send again");
}

#[tokio::test]
async fn a_message_that_the_replay_brings_is_not_sent_twice() {
    let node = Node::start(&["--window-frames", "3"]).await;
    let start = node.publish("broadcast", &json!({ "data": 0 })).await;
    for number in 1..=10 {
        mail(&node, "users/u", number).await;
    }
    let mut stream = Subscriber::after(&node, "userId=u", start.id.as_str()).await;
    let events = stream.until(&json!(10)).await;
    assert_eq!(events.iter().map(payload).collect::<Vec<_>>(), (1..=10).map(Value::from).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event.id_in_block));
}

#[tokio::test]
async fn a_message_that_was_trimmed_under_its_reader_comes_in_front_of_the_gap() {
    let args = ["--keep-events", "10", "--window-frames", "5", "--write-stall", "60s"];
    let node = Node::start(&args).await;
    let mut slow = Subscriber::open(&node, "userId=u").await;
    flood(&node, 150).await;
    mail(&node, "users/u", "kept").await;
    flood(&node, 50).await;
    let (before, event) = loop {
        let (before, event) = slow.up_to(control::GAP).await;
        gap(&event, GapReason::Trimmed);
        // On a busy machine the first flood alone may have left a gap, which was told before the message was published.
        if before.iter().any(|event| payload(event) == "kept") {
            break (before, event);
        }
    };
    let last = before.last().unwrap();
    assert_eq!((payload(last), last.id_in_block), (json!("kept"), false));
    Subscriber::after(&node, "userId=u", &event.last_event_id).await;
    assert_eq!(pending(&node, "u").await, [""; 0], "the gap's id confirms it");
}

#[tokio::test]
async fn what_a_mailbox_had_to_drop_is_told_until_it_is_confirmed() {
    let directory = directory();
    let limits = LogLimits { mailbox_max_messages: 3, ..LogLimits::default() };
    let log = OfflineLog::open(&directory, limits).await;
    for number in 0..5 {
        log.append("user:u", number, true).await;
    }
    log.close().await;
    let node = Node::start(&["--broker", &file(&directory)]).await;
    let mut position = String::new();
    for told in 1..=2 {
        let mut stream = Subscriber::open(&node, "userId=u").await;
        let event = stream.event().await;
        assert_eq!(gap(&event, GapReason::Overflow).missed, Some(2));
        assert!(!event.id_in_block, "it moves nobody");
        let (events, newest) = backlog(&mut stream).await;
        assert_eq!(events.iter().map(payload).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(node.metrics().await.gaps["overflow"], told);
        position = newest;
    }
    let pending: Pending = node.get("/api/sse/users/u/pending").await.json();
    assert_eq!((pending.messages.len(), pending.overflowed), (3, 2));
    let after = Subscriber::after(&node, "userId=u", &position).await;
    assert_eq!(after.start, Some(position));
    let pending: Pending = node.get("/api/sse/users/u/pending").await.json();
    assert_eq!((pending.messages.len(), pending.overflowed), (0, 0));
}

#[tokio::test]
async fn mailboxes_and_confirmations_survive_a_crash() {
    let directory = directory();
    let mut node = Node::start(&["--broker", &file(&directory)]).await;
    let first = mail(&node, "users/u", 1).await;
    mail(&node, "users/u", 2).await;
    assert_eq!(ack(&node, &json!({ "userId": "u", "id": first.id })).await, 1);
    node.kill().await;
    node.restart().await;
    assert_eq!(pending(&node, "u").await, ["2"]);
    let mut stream = Subscriber::open(&node, "userId=u").await;
    assert_eq!(resent(&mut stream).await, [2]);
}

#[tokio::test]
async fn a_broadcast_has_no_mailbox() {
    let node = Node::start(&["--id", "n"]).await;
    for to in ["broadcast", "topics/t", "broadcast/server/n", "broadcast/server/n/client/c"] {
        let body = json!({ "data": 1, "qos": 1 }).to_string();
        let detail = node.post(&format!("/api/sse/{to}"), body).await.problem(422, "invalid_event");
        assert!(detail.contains("qos 1 is for users and clients"), "{detail}");
    }
    assert_eq!(node.history().await.len(), 0);
}

#[tokio::test]
async fn a_long_backlog_is_read_as_it_is_written_and_its_pages_are_bounded() {
    // 3 MB of mail; a stream takes 256 KiB of it at a time, and an answer has 1 MiB.
    let node = Node::start(&[]).await;
    let text = "x".repeat(60_000);
    for number in 0..50 {
        mail(&node, if number % 3 == 0 { "broadcast/c" } else { "users/u" }, format!("{number} {text}"))
            .await;
    }
    let number = |event: &Value| event.as_str().unwrap().split(' ').next().unwrap().parse::<usize>().unwrap();
    let mut stream = Subscriber::open(&node, "clientId=c&userId=u").await;
    let resent = resent(&mut stream).await;
    assert_eq!(resent.iter().map(number).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
    node.publish("broadcast", &json!({ "data": "live" })).await;
    assert_eq!(payload(&stream.event().await), "live");

    let (mut path, mut listed) = ("/api/sse/users/u/pending".to_owned(), Vec::new());
    loop {
        let answer = node.get(&path).await;
        assert!(answer.body.len() < (1 << 20) + 70_000, "{} bytes", answer.body.len());
        let page: Pending = answer.json();
        listed.extend(page.messages);
        let Some(next) = page.next else { break };
        path = format!("/api/sse/users/u/pending?after={next}");
    }
    assert_eq!(listed.len(), 33);
    let history: History = node.get("/api/sse/history?limit=1000").await.json();
    assert!(history.events.len() < 20 && history.next.is_some(), "{}", history.events.len());
}
