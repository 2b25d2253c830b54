//! Streams through a balancer: at once, past nodes that are leaving, and never ended for good by a status.

use std::net::Ipv4Addr;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sse_lab::client::{Event, Received, Stream};
use sse_lab::protocol::api::ConnectionEvent;
use sse_lab::protocol::event::control;
use tokio::time::Instant;

use super::balancer::{Balancer, Kind, Setup};
use crate::support::{Answer, Node, closing, eventually, within};

/// Behind a balancer a node says 503 when it cannot take a stream, so that the balancer asks another one. Clients call it by
/// the balancer's name.
const BEHIND: [&str; 4] = ["--reject", "status", "--allowed-host", "sse.example"];

/// Three nodes, `backend-1` to `backend-3`, as the shipped files have them.
pub(super) async fn nodes(args: &[&str]) -> [Node; 3] {
    let start = |id: &'static str| {
        let args: Vec<_> = ["--id", id].into_iter().chain(BEHIND).chain(args.iter().copied()).collect();
        async move { Node::start(&args).await }
    };
    let (one, two, three) = tokio::join!(start("backend-1"), start("backend-2"), start("backend-3"));
    [one, two, three]
}

/// The place of a node in [`nodes`].
pub(super) fn number_of(id: &str) -> usize {
    let number: usize = id.strip_prefix("backend-").unwrap().parse().unwrap();
    number - 1
}

pub(super) async fn next_event(stream: &mut Stream) -> Event {
    within("an event through the balancer", async {
        loop {
            match stream.next().await {
                Ok(Received::Event(event)) => return event,
                Ok(_) => {}
                Err(ending) => panic!("the stream ended where an event was due: {ending}"),
            }
        }
    })
    .await
}

/// Opens a stream; it and the place of its node.
async fn open(balancer: &Balancer, query: &str) -> (Stream, usize) {
    let mut stream = balancer.stream(query).await;
    let first = next_event(&mut stream).await;
    assert_eq!(first.event, control::CONNECTION, "{first:?}");
    let hello: ConnectionEvent = serde_json::from_str(&first.data).unwrap();
    (stream, number_of(hello.instance_id.as_str()))
}

async fn a_heartbeat_comes(kind: Kind) {
    let nodes = nodes(&["--heartbeat", "300ms"]).await;
    let balancer = kind.setup().start(&nodes).await;
    let (mut stream, _) = open(&balancer, "clientId=a").await;
    let heartbeat = within("a heartbeat", async {
        loop {
            if let Received::Comment(text) = stream.next().await.unwrap() {
                return text;
            }
        }
    });
    assert_eq!(heartbeat.await, "", "nothing but the colon");
}

/// The least time that an event takes from the publisher to the client: what the way adds, and not how busy this
/// machine is. No heartbeat pushes it on.
async fn least_delay(setup: Setup) -> Duration {
    let nodes = nodes(&[]).await;
    let balancer = setup.start(&nodes).await;
    let (mut stream, home) = open(&balancer, "clientId=a").await;
    let mut least = Duration::MAX;
    for number in 0..10 {
        let sent = Instant::now();
        nodes[home].publish("broadcast/a", &json!({ "data": number })).await;
        assert_eq!(next_event(&mut stream).await.event, "DIRECT");
        least = least.min(sent.elapsed());
    }
    least
}

#[tokio::test]
async fn nginx_passes_events_and_heartbeats_on_at_once() {
    a_heartbeat_comes(Kind::Nginx).await;
    let least = least_delay(Kind::Nginx.setup()).await;
    assert!(least < Duration::from_millis(100), "{least:?}");
}

#[tokio::test]
async fn haproxy_passes_events_and_heartbeats_on_at_once() {
    a_heartbeat_comes(Kind::Haproxy).await;
    let least = least_delay(Kind::Haproxy.setup()).await;
    assert!(least < Duration::from_millis(100), "{least:?}");
    // The control: what the line in the shipped file is good for, and that the measure above would see it.
    let least = least_delay(Kind::Haproxy.setup().change("  option http-no-delay\n", "")).await;
    assert!(least > Duration::from_millis(150), "{least:?}");
}

/// What the guard says: 200, a time to come back, `CLOSE` and the end; nothing may keep it.
#[track_caller]
fn check_guard(answer: &Answer) -> u64 {
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type"), answer.header("cache-control")),
        (200, Some("text/event-stream; charset=utf-8"), Some("no-store, no-transform")),
        "{answer:?}"
    );
    let (retry, rest) = answer.body.strip_prefix("retry: ").unwrap().split_once('\n').unwrap();
    assert!(rest.starts_with("event: CLOSE\ndata: {"), "{answer:?}");
    let events = crate::support::events(answer.body.as_bytes());
    let [event] = &events[..] else { panic!("{events:?}") };
    let close = closing(event, 3004);
    assert_eq!(close.retry_ms.to_string(), retry, "the event says what the field says");
    assert!((2_000..=5_000).contains(&close.retry_ms), "{close:?}");
    u64::from(close.retry_ms)
}

async fn knock(balancer: &Balancer) -> Answer {
    balancer.send(Method::GET, "/api/sse/stream?clientId=a", "").await
}

async fn publish(balancer: &Balancer) -> Answer {
    balancer.send(Method::POST, "/api/sse/broadcast", r#"{"data":1}"#).await
}

async fn without_nodes_clients_are_told_when_to_come_back(kind: Kind) {
    let mut nodes = nodes(&[]).await;
    let allowed = kind.setup().change_either(
        (r#"# "https://app.example" $http_origin;"#, r#""https://app.example" $http_origin;"#),
        ("presetenv SSE_CORS_ORIGIN none", "presetenv SSE_CORS_ORIGIN https://app.example"),
    );
    let balancer = allowed.start(&nodes).await;
    let (_stream, _) = open(&balancer, "clientId=a").await;
    assert_eq!(publish(&balancer).await.status, 202);
    for node in &mut nodes {
        node.kill().await;
    }
    let mut times = std::collections::HashSet::new();
    for _ in 0..10 {
        times.insert(check_guard(&knock(&balancer).await));
        let refused = publish(&balancer).await;
        assert!(matches!(refused.status.as_u16(), 502 | 503), "a publisher hears the truth: {refused:?}");
    }
    assert!(times.len() > 1, "all are told to come back at the same time: {times:?}");

    for (origin, expected) in
        [("https://app.example", Some("https://app.example")), ("https://other.example", None)]
    {
        let request = balancer.http(Ipv4Addr::LOCALHOST).get(balancer.url("/api/sse/stream"));
        let answer = balancer.answer(Ipv4Addr::LOCALHOST, request.header("origin", origin)).await;
        check_guard(&answer);
        assert_eq!(answer.header("access-control-allow-origin"), expected);
        let credentials = answer.header("access-control-allow-credentials");
        assert_eq!(credentials, expected.map(|_| "true"), "{answer:?}");
    }

    nodes[1].restart().await;
    eventually("the only node", async || {
        let (head, _stream) = balancer.head(Ipv4Addr::LOCALHOST, "clientId=a", None).await;
        head.to_lowercase().contains("x-sse-server-id: backend-2").then_some(())
    })
    .await;
    eventually("the only node for publishers", async || {
        (publish(&balancer).await.status.as_u16() == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_nodes_nginx_tells_clients_when_to_come_back() {
    without_nodes_clients_are_told_when_to_come_back(Kind::Nginx).await;
}

#[tokio::test]
async fn without_nodes_haproxy_tells_clients_when_to_come_back() {
    without_nodes_clients_are_told_when_to_come_back(Kind::Haproxy).await;
}

async fn a_leaving_node_gets_no_new_streams_and_keeps_its_old_ones(kind: Kind) {
    let nodes = nodes(&[]).await;
    let balancer = kind.setup().start(&nodes).await;
    let (mut stream, home) = open(&balancer, "clientId=a").await;
    let drain = json!({ "over": "10m" }).to_string();
    assert_eq!(nodes[home].post("/admin/drain", drain.clone()).await.status, 202);
    for _ in 0..5 {
        let (_other, elsewhere) = open(&balancer, "clientId=b").await;
        assert_ne!(elsewhere, home);
    }
    nodes[home].publish("broadcast/a", &json!({ "data": "still here" })).await;
    assert_eq!(next_event(&mut stream).await.event, "DIRECT");

    for node in &nodes {
        node.post("/admin/drain", drain.clone()).await;
    }
    check_guard(&knock(&balancer).await);
    // Also where the balancer has no reason yet to think badly of any of them, and the last word is a node's 503.
    let fresh = kind.setup().start(&nodes).await;
    check_guard(&knock(&fresh).await);
    let taken_back = nodes[home].delete("/admin/drain").await;
    assert_eq!(taken_back.status, 200);
    eventually("the node that stays", async || {
        let (head, _stream) = balancer.head(Ipv4Addr::LOCALHOST, "clientId=a", None).await;
        head.to_lowercase().contains(&format!("x-sse-server-id: backend-{}", home + 1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nginx_spares_a_leaving_node() {
    a_leaving_node_gets_no_new_streams_and_keeps_its_old_ones(Kind::Nginx).await;
}

#[tokio::test]
async fn haproxy_spares_a_leaving_node() {
    a_leaving_node_gets_no_new_streams_and_keeps_its_old_ones(Kind::Haproxy).await;
}

/// The stream of a node that dies must break off, not end: `fetch`-based clients take an end for the end.
async fn the_death_of_a_node_breaks_its_streams_off(kind: Kind) {
    let mut nodes = nodes(&[]).await;
    let balancer = kind.setup().start(&nodes).await;
    let (mut stream, home) = open(&balancer, "clientId=a").await;
    nodes[home].kill().await;
    let ending = within("the end of the stream", async {
        loop {
            if let Err(ending) = stream.next().await {
                return ending;
            }
        }
    });
    let ending = ending.await;
    assert!(matches!(ending, sse_lab::client::Ending::Aborted { .. }), "{ending}");
}

#[tokio::test]
async fn nginx_breaks_off_the_streams_of_a_node_that_died() {
    the_death_of_a_node_breaks_its_streams_off(Kind::Nginx).await;
}

#[tokio::test]
async fn haproxy_breaks_off_the_streams_of_a_node_that_died() {
    the_death_of_a_node_breaks_its_streams_off(Kind::Haproxy).await;
}

/// A client that speaks HTTP/2, as browsers do over TLS: all its streams share one connection.
fn browser(balancer: &Balancer) -> reqwest::Client {
    // Sets the process's TLS provider.
    drop(balancer.http(Ipv4Addr::LOCALHOST));
    reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true).build().unwrap()
}

/// Streams over HTTP/2 up to the death of their nodes; whether they then broke off, or looked as if they had ended.
async fn over_http2(kind: Kind) -> Vec<bool> {
    // More than the six connections that a browser has for an origin.
    const STREAMS: usize = 10;
    let mut nodes = nodes(&[]).await;
    let balancer = kind.setup().tls().start(&nodes).await;
    let browser = browser(&balancer);
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let url = balancer.url(&format!("/api/sse/stream?clientId=tab-{number}"));
        let answer = within("the head", browser.get(url).send()).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
        streams.push(answer);
    }
    for stream in &mut streams {
        let first = within("the first event", stream.chunk()).await.unwrap().expect("the stream is open");
        assert!(first.starts_with(b"retry: "), "{first:?}");
    }
    for node in &mut nodes {
        node.kill().await;
    }
    let mut broken_off = Vec::new();
    for mut stream in streams {
        let ending = within("the end", async {
            loop {
                match stream.chunk().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return false,
                    Err(_) => return true,
                }
            }
        });
        broken_off.push(ending.await);
    }
    let guard = within("the guard", browser.get(balancer.url("/api/sse/stream")).send()).await.unwrap();
    assert_eq!(guard.status(), 200);
    assert!(within("the guard", guard.text()).await.unwrap().contains("event: CLOSE\n"));
    assert_eq!(broken_off.len(), STREAMS);
    broken_off
}

#[tokio::test]
async fn over_http2_nginx_passes_streams_and_breaks_them_off() {
    let broken_off = over_http2(Kind::Nginx).await;
    assert!(broken_off.iter().all(|broken| *broken), "{broken_off:?}");
}

#[tokio::test]
async fn over_http2_haproxy_passes_streams() {
    // HAProxy 2.6 ends them properly, which deploy/README.md says; a later one may do better.
    over_http2(Kind::Haproxy).await;
}

#[tokio::test]
async fn a_reload_of_nginx_leaves_streams_open_until_its_limit() {
    let nodes = nodes(&["--heartbeat", "200ms"]).await;
    let setup = Kind::Nginx.setup().change("worker_shutdown_timeout 10m;", "worker_shutdown_timeout 2s;");
    let balancer = setup.start(&nodes).await;
    let (mut stream, home) = open(&balancer, "clientId=a").await;
    let (reloaded, mut heartbeats) = (Instant::now(), 0);
    balancer.reload();
    nodes[home].publish("broadcast/a", &json!({ "data": 1 })).await;
    assert_eq!(next_event(&mut stream).await.event, "DIRECT");
    let ending = within("the end of the stream", async {
        loop {
            match stream.next().await {
                Ok(_) => heartbeats += 1,
                Err(ending) => return ending,
            }
        }
    });
    let ending = ending.await;
    assert!(matches!(ending, sse_lab::client::Ending::Aborted { .. }), "{ending}");
    assert!(reloaded.elapsed() >= Duration::from_millis(1_900) && heartbeats > 3, "{heartbeats}");
    let (_stream, _) = open(&balancer, "clientId=a").await;
}
