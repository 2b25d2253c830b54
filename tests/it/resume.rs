//! Coming back: with a cursor, after a crash of the node, with a cursor that is worth nothing any more.

use serde_json::{Value, json};
use sse_lab::broker::LogLimits;
use sse_lab::client::{Event, Received};
use sse_lab::protocol::api::{GapReason, Resumed};
use sse_lab::protocol::event::control;

use crate::support::{
    Node, OfflineLog, Subscriber, directory, envelope, eventually, file, flood, gap, payload,
};

async fn publish_numbers(node: &Node, to: &str, numbers: std::ops::Range<u64>) -> Vec<String> {
    let mut ids = Vec::new();
    for number in numbers {
        ids.push(node.publish(to, &json!({ "data": number })).await.id.to_string());
    }
    ids
}

fn numbers(range: std::ops::Range<u64>) -> Vec<Value> {
    range.map(Value::from).collect()
}

fn ids(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.last_event_id.clone()).collect()
}

#[tokio::test]
async fn every_spelling_of_the_cursor_replays_exactly_what_was_missed() {
    let node = Node::start(&[]).await;
    let published = publish_numbers(&node, "broadcast", 0..6).await;
    let (old, new) = (&published[0], &published[2]);
    let cases: [(String, Vec<(&'static str, &str)>); 11] = [
        // Each proxy and each reconnect may have added one; the newest is what the client has.
        (format!("lastEventId={new}&lastEventId={old}"), vec![]),
        (format!("lastEventId={old}&last_event_id={new}&lastEventID=17&_=1"), vec![]),
        (format!("lastEventId=earliest&lastEventId={new}"), vec![]),
        (String::new(), vec![("last-event-id", new)]),
        (String::new(), vec![("x-last-event-id", new)]),
        (format!("lastEventId={new}"), vec![]),
        (format!("lastEventID={new}"), vec![]),
        (format!("last_event_id={new}"), vec![]),
        // A page that was opened with a cursor reconnects with the old query and a newer header.
        (format!("lastEventId={old}"), vec![("last-event-id", new)]),
        (format!("lastEventId={old}"), vec![("x-last-event-id", new)]),
        (String::new(), vec![("last-event-id", new), ("x-last-event-id", old)]),
    ];
    for (query, headers) in cases {
        let mut stream = Subscriber::headers(&node, &query, &headers).await;
        assert_eq!(stream.hello.resumed, Resumed::Replayed, "{query} {headers:?}");
        assert_eq!(stream.start.as_ref(), Some(new), "{query} {headers:?}");
        let events = stream.until(&json!(5)).await;
        assert_eq!(ids(&events), published[3..], "{query} {headers:?}");
    }
}

#[tokio::test]
async fn a_cursor_that_says_nothing_is_no_cursor() {
    let node = Node::start(&[]).await;
    publish_numbers(&node, "broadcast", 0..3).await;
    for query in ["", "lastEventId=", "lastEventId=&lastEventID="] {
        let mut stream = Subscriber::open(&node, query).await;
        assert_eq!(stream.hello.resumed, Resumed::Live, "{query}");
        let published = publish_numbers(&node, "broadcast", 100..101).await;
        assert_eq!(ids(&[stream.event().await]), published);
    }
}

#[tokio::test]
async fn earliest_gets_all_that_is_kept() {
    for args in [&["--window-frames", "3"][..], &[]] {
        let node = Node::start(args).await;
        let mut early = Subscriber::after(&node, "", "earliest").await;
        let published = publish_numbers(&node, "broadcast", 0..10).await;
        let mut late = Subscriber::after(&node, "", "earliest").await;
        for stream in [&mut early, &mut late] {
            assert_eq!(stream.hello.resumed, Resumed::Replayed);
            assert_eq!(ids(&stream.until(&json!(9)).await), published);
        }
    }
}

#[tokio::test]
async fn a_replay_leaves_out_what_is_for_others() {
    let node = Node::start(&["--window-frames", "4"]).await;
    let start = publish_numbers(&node, "broadcast", 0..1).await;
    for to in ["broadcast/me", "broadcast/you", "topics/t", "topics/other", "users/u", "users/v"] {
        node.publish(to, &json!({ "data": to })).await;
    }
    publish_numbers(&node, "topics/other", 0..10).await;
    node.publish("broadcast", &json!({ "data": "end" })).await;
    let mut stream = Subscriber::after(&node, "clientId=me&userId=u&topics=t", &start[0]).await;
    assert_eq!(stream.payloads(&json!("end")).await, ["broadcast/me", "topics/t", "users/u", "end"]);
}

#[tokio::test]
async fn a_long_replay_joins_the_live_events_without_a_seam() {
    let args = ["--window-frames", "20", "--replay-page", "7", "--replay-permits", "2"];
    let node = Node::start(&args).await;
    let start = publish_numbers(&node, "broadcast", 0..1).await;
    publish_numbers(&node, "broadcast", 1..200).await;
    let queries = ["clientId=a", "clientId=b", "clientId=c", "clientId=d"];
    let streams = queries.map(|query| async {
        let mut stream = Subscriber::after(&node, query, &start[0]).await;
        stream.payloads(&json!(299)).await
    });
    let publisher = publish_numbers(&node, "broadcast", 200..300);
    let (seen, _published) = tokio::join!(futures_util::future::join_all(streams), publisher);
    for payloads in seen {
        assert_eq!(payloads, numbers(1..300));
    }
    assert!(node.get("/metrics").await.body.contains("sse_node_replay_pages_total"));
}

#[tokio::test]
async fn a_crash_of_the_node_changes_nothing_for_those_who_come_back() {
    let directory = directory();
    let mut node = Node::start(&["--broker", &file(&directory)]).await;
    let mut stream = Subscriber::open(&node, "clientId=c").await;
    let mut published = publish_numbers(&node, "broadcast", 0..5).await;
    let mut seen = ids(&stream.until(&json!(2)).await);
    let cursor = stream.last_event_id();
    node.kill().await;
    let (rest, _ending) = stream.rest().await;
    // What came before the crash was whole; what a client kept is its cursor.
    let cursor = rest.last().map_or(cursor, |event| event.last_event_id.clone());
    seen.extend(ids(&rest));
    node.restart().await;
    published.extend(publish_numbers(&node, "broadcast", 5..8).await);
    let mut stream = Subscriber::after(&node, "clientId=c", &cursor).await;
    assert_eq!(stream.hello.resumed, Resumed::Replayed);
    seen.extend(ids(&stream.until(&json!(7)).await));
    assert_eq!(seen, published);
    let epochs: std::collections::HashSet<_> =
        published.iter().map(|id| id.split('-').next().unwrap().to_owned()).collect();
    assert_eq!(epochs.len(), 1, "one history");
}

#[tokio::test]
async fn a_key_is_remembered_across_a_crash() {
    let directory = directory();
    let mut node = Node::start(&["--broker", &file(&directory)]).await;
    let event = json!({ "data": 1, "id": "k" });
    let first = node.publish("broadcast", &event).await;
    node.kill().await;
    node.restart().await;
    let again = node.publish("broadcast", &event).await;
    assert_eq!((again.id, again.duplicate), (first.id, true));
    assert_eq!(node.history().await.len(), 1);
}

#[tokio::test]
async fn a_cursor_older_than_the_window_is_served_from_the_log() {
    let node = Node::start(&["--window-frames", "5"]).await;
    let published = publish_numbers(&node, "broadcast", 0..50).await;
    eventually("the window to be full", async || (node.metrics().await.window_frames == 5).then_some(()))
        .await;
    let mut stream = Subscriber::after(&node, "", &published[9]).await;
    assert_eq!(stream.hello.resumed, Resumed::Replayed);
    assert_eq!(ids(&stream.until(&json!(49)).await), published[10..]);
    assert_eq!(node.metrics().await.gaps.values().sum::<u64>(), 0);
}

#[tokio::test]
async fn what_was_trimmed_is_a_gap_and_then_the_rest() {
    let directory = directory();
    let log = OfflineLog::open(&directory, LogLimits { max_events: 4, ..LogLimits::default() }).await;
    let mut cursors = Vec::new();
    for number in 0..10 {
        cursors.push(log.append("all", number, false).await.cursor.to_event_id());
    }
    log.close().await;
    let node = Node::start(&["--broker", &file(&directory)]).await;
    let mut stream = Subscriber::after(&node, "", cursors[2].as_str()).await;
    assert_eq!((stream.hello.resumed, &stream.start), (Resumed::Gap, &None));
    let event = stream.event().await;
    let told = gap(&event, GapReason::Trimmed);
    assert_eq!(told.requested.as_deref(), Some(cursors[2].as_str()));
    assert_eq!((told.oldest.as_ref(), told.newest.as_ref()), (Some(&cursors[5]), Some(&cursors[9])));
    assert_eq!((event.id_in_block, event.last_event_id.as_str()), (true, cursors[5].as_str()));
    assert_eq!(stream.payloads(&json!(9)).await, numbers(6..10));
    // The gap moved the client: coming back from there is a replay.
    let mut again = Subscriber::after(&node, "", &event.last_event_id).await;
    assert_eq!(again.hello.resumed, Resumed::Replayed);
    assert_eq!(again.payloads(&json!(9)).await, numbers(6..10));
    assert_eq!(node.metrics().await.gaps["trimmed"], 1);
}

#[tokio::test]
async fn memory_is_another_history_after_a_restart() {
    let mut node = Node::start(&["--broker", "memory:"]).await;
    let published = publish_numbers(&node, "broadcast", 0..3).await;
    node.kill().await;
    node.restart().await;
    let mut stream = Subscriber::after(&node, "", &published[1]).await;
    assert_eq!(stream.hello.resumed, Resumed::Gap);
    let event = stream.event().await;
    let told = gap(&event, GapReason::Epoch);
    assert_eq!(told.requested.as_ref(), Some(&published[1]));
    let after = publish_numbers(&node, "broadcast", 10..11).await;
    assert_eq!(ids(&[stream.event().await]), after);
    assert!(!after[0].starts_with(published[0].split('-').next().unwrap()));
    let mut again = Subscriber::after(&node, "", &event.last_event_id).await;
    assert_eq!(again.payloads(&json!(10)).await, numbers(10..11));
    assert_eq!(node.metrics().await.gaps["epoch"], 1);
}

#[tokio::test]
async fn a_cursor_that_the_log_never_gave_out_is_a_rollback() {
    let node = Node::start(&[]).await;
    let published = publish_numbers(&node, "broadcast", 0..3).await;
    let epoch = published[0].split('-').next().unwrap();
    let largest = u64::MAX;
    for cursor in [format!("{epoch}-{largest}-{largest}"), format!("{epoch}-99999999999999-0")] {
        let mut stream = Subscriber::after(&node, "", &cursor).await;
        assert_eq!(stream.hello.resumed, Resumed::Gap);
        let event = stream.event().await;
        let told = gap(&event, GapReason::Rollback);
        assert_eq!(told.requested, Some(cursor));
        assert_eq!(event.last_event_id, published[2]);
    }
    // Between two events: what comes after the one before it follows.
    let (ms, seq) = published[0].split_once('-').unwrap().1.split_once('-').unwrap();
    let between = format!("{epoch}-{ms}-{}", seq.parse::<u64>().unwrap() + 1_000_000);
    let mut stream = Subscriber::after(&node, "", &between).await;
    gap(&stream.event().await, GapReason::Rollback);
    assert_eq!(node.metrics().await.gaps["rollback"], 3);
    publish_numbers(&node, "broadcast", 3..4).await;
    assert_eq!(stream.payloads(&json!(3)).await.last(), Some(&json!(3)));
}

#[tokio::test]
async fn a_malformed_cursor_is_a_gap_and_never_a_status() {
    let node = Node::start(&[]).await;
    publish_numbers(&node, "broadcast", 0..3).await;
    let long = "9".repeat(5_000);
    let cursors = ["17", "a-b-c", "~v1.2", "undefined", "0-0", "a-01-2", " x ", &long];
    for cursor in cursors {
        let mut stream = Subscriber::after(&node, "", cursor).await;
        assert_eq!((stream.hello.resumed, &stream.start), (Resumed::Gap, &None), "{cursor}");
        let event = stream.event().await;
        gap(&event, GapReason::Malformed);
        let published = publish_numbers(&node, "broadcast", 9..10).await;
        assert_eq!(ids(&[stream.event().await]), published, "from now on");
    }
    let mut in_query = Subscriber::open(&node, "lastEventId=%FF%00%0A").await;
    let told = gap(&in_query.event().await, GapReason::Malformed);
    let oldest = told.oldest.unwrap();
    let mut all = Subscriber::after(&node, "", oldest.as_str()).await;
    let kept = all.payloads(&json!(9)).await;
    assert_eq!(kept[..3], [json!(0), json!(1), json!(2)], "it says from where everything is kept");
    assert_eq!(node.metrics().await.gaps["malformed"], cursors.len() as u64 + 1);
}

#[tokio::test]
async fn every_gap_is_counted_where_operators_look() {
    let node = Node::start(&[]).await;
    for cursor in ["17", "zzzzzz-1-0"] {
        Subscriber::after(&node, "", cursor).await.event().await;
    }
    let text = node.get("/metrics").await.body;
    for (reason, count) in [("malformed", 1), ("epoch", 1), ("trimmed", 0), ("rollback", 0), ("overflow", 0)]
    {
        let line = format!("sse_node_gaps_total{{reason=\"{reason}\"}} {count}");
        assert!(text.lines().any(|known| known == line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn a_quiet_clients_cursor_stays_fresh() {
    let node = Node::start(&["--cursor-every", "50ms"]).await;
    let mut quiet = Subscriber::open(&node, "clientId=quiet").await;
    let published = publish_numbers(&node, "broadcast/other", 0..5).await;
    let mut event = quiet.event().await;
    while event.last_event_id != published[4] {
        event = quiet.event().await;
    }
    assert_eq!((event.event.as_str(), event.data.as_str(), event.id_in_block), (control::CURSOR, "", true));
    let mut again = Subscriber::after(&node, "clientId=quiet", &event.last_event_id).await;
    assert_eq!(
        (again.hello.resumed, again.start.as_deref()),
        (Resumed::Replayed, Some(published[4].as_str()))
    );
    node.publish("broadcast", &json!({ "data": "end" })).await;
    assert_eq!(payload(&again.event().await), "end");
}

#[tokio::test]
async fn a_replay_that_held_nothing_for_the_client_still_moves_its_cursor() {
    for args in [&["--cursor-every", "50ms", "--window-frames", "3"][..], &["--cursor-every", "50ms"]] {
        let node = Node::start(args).await;
        let start = publish_numbers(&node, "broadcast", 0..1).await;
        let published = publish_numbers(&node, "broadcast/other", 1..20).await;
        // Nothing is published any more: what the client is told must come from the replay itself.
        let mut quiet = Subscriber::after(&node, "clientId=quiet", &start[0]).await;
        let event = quiet.event().await;
        assert_eq!(
            (event.event.as_str(), &event.last_event_id),
            (control::CURSOR, published.last().unwrap())
        );
    }
}

#[tokio::test]
async fn a_long_replay_of_what_is_for_others_is_not_silent() {
    let directory = directory();
    let log = OfflineLog::open(&directory, LogLimits::default()).await;
    for number in 0..3_000 {
        log.append("user:another", number, false).await;
    }
    let last = log.append("user:u", 3_000, false).await.cursor.to_string();
    log.close().await;
    let args =
        ["--replay-page", "1", "--window-frames", "1", "--heartbeat", "10ms", "--cursor-every", "10ms"];
    let node = Node::start(&[&["--broker", &file(&directory)], &args[..]].concat()).await;
    let mut stream = Subscriber::after(&node, "userId=u", "earliest").await;
    let (mut heartbeats, mut positions) = (0, 0);
    loop {
        match stream.received().await.unwrap() {
            Received::Comment(_) => heartbeats += 1,
            Received::Event(event) if event.event == control::CURSOR => positions += 1,
            Received::Event(event) => {
                assert_eq!((payload(&event), event.last_event_id), (json!(3_000), last));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(heartbeats > 0, "a proxy would have closed the connection");
    assert!(positions > 0, "a client that is cut off would begin again");
}

#[tokio::test]
async fn a_client_that_dies_before_its_first_event_can_resume() {
    let node = Node::start(&[]).await;
    publish_numbers(&node, "broadcast", 0..3).await;
    let start = Subscriber::open(&node, "").await.start.unwrap();
    let published = publish_numbers(&node, "broadcast", 3..6).await;
    let mut stream = Subscriber::after(&node, "", &start).await;
    let events = stream.until(&json!(5)).await;
    assert_eq!(ids(&events), published);
    assert_eq!(envelope(&events[0]).data.get(), "3");
}

#[tokio::test]
async fn the_newest_part_of_the_log_is_in_memory_after_a_restart() {
    let directory = directory();
    let mut node = Node::start(&["--broker", &file(&directory)]).await;
    let published = publish_numbers(&node, "broadcast", 0..20).await;
    node.kill().await;
    node.restart().await;
    let before = replay_pages(&node).await;
    let mut stream = Subscriber::after(&node, "", &published[10]).await;
    assert_eq!(ids(&stream.until(&json!(19)).await), published[11..]);
    assert_eq!(replay_pages(&node).await, before, "served without a read of the log");
}

async fn replay_pages(node: &Node) -> String {
    let text = node.get("/metrics").await.body;
    text.lines().find(|line| line.starts_with("sse_node_replay_pages_total")).unwrap().to_owned()
}

#[tokio::test]
async fn what_the_log_has_trimmed_the_window_may_still_have() {
    let directory = directory();
    let args = ["--broker", &file(&directory), "--keep-events", "10"];
    let mut node = Node::start(&args).await;
    let published = publish_numbers(&node, "broadcast", 0..50).await;
    assert_eq!(node.metrics().await.log.length, 10);
    let mut stream = Subscriber::after(&node, "", &published[4]).await;
    assert_eq!(stream.hello.resumed, Resumed::Replayed);
    assert_eq!(ids(&stream.until(&json!(49)).await), published[5..]);
    node.kill().await;
    node.restart().await;
    let mut stream = Subscriber::after(&node, "", &published[4]).await;
    let event = stream.event().await;
    gap(&event, GapReason::Trimmed);
    assert_eq!(event.last_event_id, published[39]);
    assert_eq!(ids(&stream.until(&json!(49)).await), published[40..]);
}

#[tokio::test]
async fn a_reader_whose_place_was_trimmed_is_told_in_the_middle_of_its_stream() {
    let args = ["--keep-events", "10", "--window-frames", "5", "--write-stall", "60s"];
    let node = Node::start(&args).await;
    let mut slow = Subscriber::open(&node, "").await;
    let published = flood(&node, 200).await;
    let (before, event) = slow.up_to(control::GAP).await;
    let seen: Vec<_> = before.into_iter().map(|event| event.last_event_id).collect();
    let told = gap(&event, GapReason::Trimmed);
    assert_eq!((told.requested.as_ref(), seen.as_slice()), (seen.last(), &published[..seen.len()]));
    let after = published.iter().position(|id| *id == event.last_event_id).unwrap();
    assert!(after >= seen.len(), "events are missing");
    for id in &published[after + 1..] {
        assert_eq!(slow.event().await.last_event_id, *id);
    }
    assert_eq!(node.metrics().await.gaps["trimmed"], 1);
}
