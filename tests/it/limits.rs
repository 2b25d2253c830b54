//! What a node refuses, and how: softly where a browser listens, with a problem where a program does.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sse_lab::client::{Event, Received};
use sse_lab::protocol::api::Resumed;
use sse_lab::protocol::event::control;

use crate::support::{Node, Raw, Subscriber, closing, eventually, flood, payload};

/// Everything that a refused client gets, and the `retry:` that it was told.
async fn refused(node: &Node, query: &str) -> (Vec<Event>, u64) {
    let mut stream = Subscriber::request(node, query, &[]).await;
    let mut events = Vec::new();
    while let Ok(received) = stream.next().await {
        if let Received::Event(event) = received {
            events.push(event);
        }
    }
    (events, u64::try_from(stream.reconnection_time().unwrap().as_millis()).unwrap())
}

async fn check_refused(node: &Node, query: &str, code: u16, reason: &str) {
    let (events, retry) = refused(node, query).await;
    let [event] = &events[..] else { panic!("{events:?}") };
    let close = closing(event, code);
    assert_eq!(u64::from(close.retry_ms), retry);
    assert!(close.reason.contains(reason), "{close:?}");
}

#[tokio::test]
async fn a_full_node_sends_clients_away_so_that_they_come_back() {
    let node = Node::start(&["--max-connections", "2", "--retry", "4s", "--retry-jitter", "2s"]).await;
    let one = Subscriber::open(&node, "clientId=one").await;
    let mut two = Subscriber::open(&node, "clientId=two").await;
    for _ in 0..3 {
        check_refused(&node, "", 3504, "2 streams").await;
    }
    let (_, retry) = refused(&node, "").await;
    assert!((4_000..=6_000).contains(&retry), "{retry}");
    node.publish("broadcast", &json!({ "data": "unharmed" })).await;
    assert_eq!(payload(&two.event().await), "unharmed");
    drop(one);
    node.wait_for_connections(1).await;
    Subscriber::open(&node, "clientId=three").await;
    let scrape = node.get("/metrics").await.body;
    assert!(scrape.contains("sse_node_rejections_total{reason=\"connection_limit\"} 4"), "{scrape}");
}

#[tokio::test]
async fn a_full_node_answers_programs_with_a_status_where_that_was_asked_for() {
    let node = Node::start(&["--max-connections", "1", "--reject", "status"]).await;
    let _one = Subscriber::open(&node, "").await;
    let answer = node.get("/api/sse/stream").await;
    assert!(answer.problem(503, "full").contains("1 streams"), "{answer:?}");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(wait >= 1);
}

#[tokio::test]
async fn one_user_cannot_take_the_places_of_all() {
    let node = Node::start(&["--max-connections-per-user", "2"]).await;
    let mut streams = vec![
        Subscriber::open(&node, "userId=u").await,
        Subscriber::open(&node, "userId=u").await,
        Subscriber::open(&node, "userId=v").await,
        Subscriber::open(&node, "").await,
        Subscriber::open(&node, "").await,
        Subscriber::open(&node, "").await,
    ];
    check_refused(&node, "userId=u", 3504, "this user").await;
    drop(streams.remove(0));
    node.wait_for_connections(5).await;
    streams.push(Subscriber::open(&node, "userId=u").await);
    check_refused(&node, "userId=u", 3504, "this user").await;
}

#[tokio::test]
async fn one_address_cannot_take_the_places_of_all() {
    let node = Node::start(&["--max-connections-per-address", "2"]).await;
    let streams = [Subscriber::open(&node, "").await, Subscriber::open(&node, "").await];
    check_refused(&node, "", 3504, "this address").await;
    // From another address.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let socket = socket.connect(node.address()).await.unwrap();
    let mut other = Raw::over(socket);
    other.send("GET /api/sse/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(other.until("\n\n").await.contains("event: CONNECTION"));
    drop(streams);
    node.wait_for_connections(1).await;
    Subscriber::open(&node, "").await;
}

#[tokio::test]
async fn streams_that_open_too_fast_are_told_to_wait() {
    let node = Node::start(&["--accept-rate", "3"]).await;
    // However slow the machine: the bucket holds three, and the fourth of twenty at once finds it empty.
    let opened = join_all((0..20).map(|_| refused_or_open(&node))).await;
    let codes: Vec<_> = opened.iter().flatten().collect();
    assert!(codes.iter().all(|code| **code == 3013), "{codes:?}");
    assert!(!codes.is_empty() && codes.len() <= 17, "{codes:?}");
    eventually("a place", async || refused_or_open(&node).await.is_none().then_some(())).await;
}

async fn refused_or_open(node: &Node) -> Option<u16> {
    let mut stream = Subscriber::request(node, "", &[]).await;
    loop {
        if let Received::Event(event) = stream.next().await.unwrap() {
            let body: Value = serde_json::from_str(&event.data).unwrap();
            return (event.event == control::CLOSE)
                .then(|| u16::try_from(body["code"].as_u64().unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn a_publish_that_cannot_be_an_event_says_why_and_what_can() {
    let node = Node::start(&["--max-body", "3000", "--max-payload", "1000"]).await;
    let big = |bytes: usize| format!(r#"{{"data":"{}"}}"#, "x".repeat(bytes));
    let long = "x".repeat(200);
    let cases: &[(&str, u16, &str, &[&str])] = &[
        (&big(4_000), 413, "too_large", &[]),
        (&big(1_500), 413, "too_large", &["1502 bytes", "up to 1000"]),
        ("", 400, "malformed_json", &[]),
        ("{", 400, "malformed_json", &[]),
        ("{\"data\":}", 400, "malformed_json", &["line 1 column 9"]),
        ("data=1", 400, "malformed_json", &[]),
        ("[]", 422, "invalid_event", &[]),
        ("[null,1,null,null,null]", 422, "invalid_event", &["expected an object"]),
        ("{}", 422, "invalid_event", &["missing field `data`"]),
        (r#"{"data":1,"topic":"t"}"#, 422, "invalid_event", &["unknown field `topic`", "`data`", "`qos`"]),
        (r#"{"data":1,"qos":2}"#, 422, "invalid_event", &["qos 2", "allowed are 0 and 1"]),
        (r#"{"data":1,"qos":300}"#, 422, "invalid_event", &["300"]),
        (r#"{"data":1,"qos":"1"}"#, 422, "invalid_event", &["string"]),
        (r#"{"data":1,"type":"open"}"#, 422, "invalid_event", &["\"open\"", "allowed are"]),
        (r#"{"data":1,"type":"CONNECTION"}"#, 422, "invalid_event", &["only a node sends it"]),
        (r#"{"data":1,"type":"a\nid: 1"}"#, 422, "invalid_event", &["control character"]),
        (r#"{"data":1,"type":""}"#, 422, "invalid_event", &["empty"]),
        (r#"{"data":1,"type":7}"#, 422, "invalid_event", &["expected a string"]),
        (r#"{"data":1,"id":""}"#, 422, "invalid_event", &["message id", "printable ASCII"]),
        (r#"{"data":1,"id":"ä"}"#, 422, "invalid_event", &["message id", "printable ASCII"]),
        (&format!(r#"{{"data":1,"id":"{long}"}}"#), 422, "invalid_event", &["message id"]),
        (r#"{"data":1,"data":2}"#, 422, "invalid_event", &["duplicate field `data`"]),
    ];
    for (body, status, code, reasons) in cases {
        let detail = node.post("/api/sse/broadcast", *body).await.problem(*status, code);
        for reason in *reasons {
            assert!(detail.contains(reason), "{body}: {detail}");
        }
    }
    let key =
        node.http().post(node.url("/api/sse/broadcast")).header("idempotency-key", "ä").body(r#"{"data":1}"#);
    assert!(node.answer(key).await.problem(400, "invalid_request").contains("Idempotency-Key"));
    assert_eq!(node.history().await.len(), 0, "nothing of it is in the log");
    let text = node.get("/metrics").await.body;
    let counted = format!("sse_node_publish_errors_total {}", cases.len() + 1);
    assert!(text.lines().any(|line| line == counted), "{counted} in\n{text}");
}

#[tokio::test]
async fn a_payload_at_its_limit_is_taken() {
    let node = Node::start(&["--max-body", "3000", "--max-payload", "1000"]).await;
    node.publish("broadcast", &json!({ "data": "x".repeat(998) })).await;
    let body = json!({ "data": "x".repeat(998), "metadata": 1 }).to_string();
    node.post("/api/sse/broadcast", body).await.problem(413, "too_large");
}

#[tokio::test]
async fn invalid_utf_8_is_not_json() {
    let node = Node::start(&[]).await;
    let request = node.http().post(node.url("/api/sse/broadcast")).body(b"{\"data\":\"\xff\"}".to_vec());
    assert_eq!(node.answer(request).await.status.as_u16() / 100, 4);
    assert_eq!(node.history().await.len(), 0);
}

#[tokio::test]
async fn names_that_cannot_exist_are_refused() {
    let node = Node::start(&[]).await;
    let long = "x".repeat(200);
    for name in ["a%2Fb", "a%2Cb", "%20a", "a%0Aid:1", "%00", &long] {
        for path in ["broadcast/", "users/", "topics/", "broadcast/server/", "broadcast/server/n/client/"] {
            let answer = node.post(&format!("/api/sse/{path}{name}"), r#"{"data":1}"#).await;
            assert!(answer.problem(400, "invalid_request").contains("allowed are"), "{path}{name}");
        }
        for key in ["clientId", "userId", "topics"] {
            if name == "a%2Cb" && key == "topics" {
                continue;
            }
            let answer = node.get(&format!("/api/sse/stream?{key}={name}")).await;
            assert!(answer.problem(400, "invalid_request").contains("allowed are"), "{key}={name}");
        }
    }
    // Not UTF-8 at all.
    node.post("/api/sse/users/%FF", r#"{"data":1}"#).await.problem(400, "invalid_request");
    assert_eq!(node.history().await.len(), 0);
}

#[tokio::test]
async fn names_in_any_script_work_in_paths_and_queries() {
    let node = Node::start(&[]).await;
    let mut stream = Subscriber::open(&node, "clientId=%C3%A4+%26&userId=%E4%BD%A0&topics=a%20b,c%3Ad").await;
    for to in ["broadcast/%C3%A4%20&", "users/%E4%BD%A0", "topics/a%20b", "topics/c:d"] {
        node.publish(to, &json!({ "data": to })).await;
        assert_eq!(payload(&stream.event().await), to);
    }
    assert_eq!(stream.hello.client_id.as_str(), "ä &");
}

#[tokio::test]
async fn a_stream_request_that_can_never_succeed_is_a_status() {
    let node = Node::start(&[]).await;
    let many: Vec<_> = (0..257).map(|number| number.to_string()).collect();
    for (query, reasons) in [
        ("clientId=a&clientId=b", vec!["clientId is given twice"]),
        ("topics=a&topics=..", vec!["no path can hold it"]),
        ("heartbeat=never", vec!["heartbeat=\"never\"", "comment, event"]),
        ("ack=maybe", vec!["ack=\"maybe\"", "cursor, explicit, written"]),
        (&format!("topics={}", many.join(",")), vec!["257 topics", "up to 256"]),
    ] {
        let detail = node.get(&format!("/api/sse/stream?{query}")).await.problem(400, "invalid_request");
        for reason in reasons {
            assert!(detail.contains(reason), "{query}: {detail}");
        }
    }
    let twice = format!("topics={}", vec!["t"; 300].join(","));
    assert_eq!(Subscriber::open(&node, &twice).await.hello.resumed, Resumed::Live, "one topic, said often");
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_problems() {
    let node = Node::start(&[]).await;
    for path in ["/nothing", "/api/sse", "/api/sse/streams", "/api/sse/broadcast/a/b", "/api/v2/stream"] {
        let detail = node.get(path).await.problem(404, "not_found");
        assert!(detail.contains(path) && detail.contains("/api/sse/stream"), "{detail}");
    }
    for (method, path, allowed) in [
        (Method::POST, "/api/sse/stream", "GET,HEAD"),
        (Method::GET, "/api/sse/broadcast", "POST"),
        (Method::PUT, "/api/sse/topics/t", "POST"),
        (Method::DELETE, "/api/sse/connections", "GET,HEAD"),
        (Method::PATCH, "/admin/drain", "POST,DELETE,GET,HEAD"),
    ] {
        let answer = node.send(method.clone(), path, "").await;
        answer.problem(405, "method_not_allowed");
        // RFC 9110, 15.5.6: the answer must say what is allowed.
        let mut said: Vec<_> = answer.header("allow").unwrap_or_default().split(',').collect();
        let mut expected: Vec<_> = allowed.split(',').collect();
        said.sort_unstable();
        expected.sort_unstable();
        assert_eq!(said, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_or_too_strange_ends_its_connection_alone() {
    let node = Node::start(&[]).await;
    let mut large = Raw::connect(&node).await;
    let head =
        format!("GET /api/sse/stream HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    large.try_send(&head).await;
    let answer = String::from_utf8_lossy(&large.rest().await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("--max-head"), "{answer}");
    let mut strange = Raw::connect(&node).await;
    strange.try_send("\x16\x03\x01 this is not HTTP\r\n\r\n").await;
    let answer = String::from_utf8_lossy(&strange.rest().await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("\"invalid_request\""), "{answer}");
    Subscriber::open(&node, "").await;
}

#[tokio::test]
async fn clients_that_write_into_their_streams_are_closed_and_the_others_are_served() {
    let node = Node::start(&[]).await;
    let mut reads = Subscriber::open(&node, "clientId=reads").await;
    let open = async || {
        let mut stream = Raw::connect(&node).await;
        stream.send("GET /api/sse/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        stream.until("\n\n").await;
        stream
    };
    let [first, second, third, mut talks] = [open().await, open().await, open().await, open().await];
    // A little by mistake, in two parts.
    talks.send(&"x".repeat(4_000)).await;
    talks.send(&"x".repeat(4_000)).await;
    let publish = async {
        for number in 0..20 {
            node.publish("broadcast", &json!({ "data": number })).await;
            assert_eq!(payload(&reads.event().await), number);
        }
    };
    tokio::join!(first.flood(), second.flood(), third.flood(), publish);
    node.wait_for_line("sse_node_disconnects_total{reason=\"flooding\"} 3").await;
    talks.until("\"data\":19").await;
    talks.send(&"x".repeat(200)).await;
    node.wait_for_line("sse_node_disconnects_total{reason=\"flooding\"} 4").await;
    assert_eq!(node.metrics().await.closed["client_gone"], 0);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_closed_and_the_others_are_served() {
    let node = Node::start(&["--write-stall", "300ms"]).await;
    let mut stuck = Raw::connect_narrow(&node).await;
    stuck.send("GET /api/sse/stream?clientId=stuck HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut reads = Subscriber::open(&node, "clientId=reads").await;
    node.wait_for_connections(2).await;
    let text = "x".repeat(60_000);
    // More than the buffers of both sides hold.
    let publish = async {
        for _ in 0..150 {
            node.publish("broadcast", &json!({ "data": text })).await;
        }
        node.publish("broadcast", &json!({ "data": "end" })).await;
    };
    let end = json!("end");
    let (events, ()) = tokio::join!(reads.until(&end), publish);
    assert_eq!(events.len(), 151);
    node.wait_for_connections(1).await;
    let metrics = node.metrics().await;
    assert_eq!((metrics.closed["stalled"], metrics.closed["client_gone"]), (1, 0));
    drop(stuck);
}

#[tokio::test]
async fn a_reader_too_far_behind_is_closed_and_comes_back_to_everything() {
    let node = Node::start(&["--lag-limit", "20", "--write-stall", "60s"]).await;
    let mut slow = Subscriber::open(&node, "clientId=slow").await;
    let published = flood(&node, 200).await;
    let (before, event) = slow.up_to(control::CLOSE).await;
    let mut seen: Vec<_> = before.into_iter().map(|event| event.last_event_id).collect();
    closing(&event, 3008);
    assert!(seen.len() < published.len(), "the reader was not behind at all");
    let mut again = Subscriber::after(&node, "clientId=slow", seen.last().unwrap()).await;
    assert_eq!(again.hello.resumed, Resumed::Replayed);
    // Far behind, but on its way: a replay is no slowness.
    while seen.len() < published.len() {
        let event = again.event().await;
        assert_eq!(event.event, "MESSAGE", "{event:?}");
        seen.push(event.last_event_id);
    }
    assert_eq!(seen, published);
    node.wait_for_line("sse_node_disconnects_total{reason=\"slow\"} 1").await;
}

#[tokio::test]
async fn an_address_that_publishes_too_fast_is_told_how_long_to_wait() {
    let node = Node::start(&["--publish-rate", "1000"]).await;
    let event = json!({ "to": "all", "event": { "data": 1 } });
    let batch = serde_json::to_string(&vec![event; 900]).unwrap();
    // Of 1,000 a second, 36,000 at once: whoever comes next waits for half a minute.
    let answers = join_all((0..40).map(|_| node.post("/api/sse/batch", batch.clone()))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(refused.len() < 40, "none was taken");
    let answer = node.post("/api/sse/broadcast", r#"{"data":1}"#).await;
    if let Some(refused) = refused.first() {
        assert!(refused.problem(429, "busy").contains("--publish-rate"));
    }
    assert!(answer.problem(429, "busy").contains("--publish-rate"), "{answer:?}");
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    node.get("/health/ready").await;
    assert_eq!(node.get("/api/sse/history?limit=1").await.status, 200);
}
