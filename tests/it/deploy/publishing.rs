//! A publish goes to one node, once, and whoever may not publish is refused.

use std::net::Ipv4Addr;

use reqwest::Method;

use super::balancer::{Balancer, Kind, Setup};
use super::behind::nodes;
use super::counting::{Counting, Manner};
use crate::support::Node;

/// Somebody from outside, once `trusted` is narrowed to 127.0.0.1.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 9, 9, 9);

async fn publish(balancer: &Balancer) -> u16 {
    balancer.send(Method::POST, "/api/sse/broadcast", r#"{"data":1}"#).await.status.as_u16()
}

/// Time limits that a test can wait for.
fn impatient(kind: Kind) -> Setup {
    kind.setup().change_either(
        ("proxy_read_timeout 30s;", "proxy_read_timeout 500ms;"),
        ("timeout server 90s", "timeout server 500ms"),
    )
}

async fn a_publish_is_never_sent_twice(kind: Kind) {
    for manner in [Manner::Dies, Manner::Hangs] {
        let fakes = Counting::start(manner).await;
        let balancer = impatient(kind).start_before(&fakes.addresses).await;
        for number in 1..=5 {
            let before = fakes.publishes();
            let status = publish(&balancer).await;
            assert!(matches!(status, 502 | 504), "{kind:?}, {manner:?}: {status}");
            // The balancer may leave nodes alone that have just failed, but it has not seen them fail yet at first.
            let sent = fakes.publishes() - before;
            assert!(sent == 1 || (sent == 0 && number > 1), "{kind:?}, {manner:?}: sent {sent} times");
        }
    }
}

/// The control: with a line that people add to such files, the count above sees more than one.
async fn a_careless_line_would_send_it_again(setup: Setup) {
    let fakes = Counting::start(Manner::Dies).await;
    let balancer = setup.start_before(&fakes.addresses).await;
    publish(&balancer).await;
    assert!(fakes.publishes() > 1, "{}", fakes.publishes());
}

#[tokio::test]
async fn nginx_never_sends_a_publish_twice() {
    a_publish_is_never_sent_twice(Kind::Nginx).await;
    let careless = Kind::Nginx
        .setup()
        .change("proxy_next_upstream error timeout;", "proxy_next_upstream error timeout non_idempotent;");
    a_careless_line_would_send_it_again(careless).await;
}

#[tokio::test]
async fn haproxy_never_sends_a_publish_twice() {
    a_publish_is_never_sent_twice(Kind::Haproxy).await;
    let careless =
        Kind::Haproxy.setup().change("  retries 2\n", "  retries 2\n  retry-on all-retryable-errors\n");
    a_careless_line_would_send_it_again(careless).await;
}

/// A request for a stream changes nothing, so it may be tried again; what cannot be had ends at the guard. A node that
/// has just failed is left alone for a while.
async fn a_stream_is_asked_of_another_node(kind: Kind) {
    const KNOCKS: usize = 10;
    let fakes = Counting::start(Manner::Dies).await;
    let balancer = kind.setup().start_before(&fakes.addresses).await;
    for _ in 0..KNOCKS {
        let answer = balancer.send(Method::GET, "/api/sse/stream?clientId=a", "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains("event: CLOSE\n"), "{answer:?}");
    }
    let asked = fakes.streams();
    assert!(asked > 1, "nobody else was asked");
    assert!(asked < KNOCKS * fakes.addresses.len(), "all were asked every time: {asked}");
}

#[tokio::test]
async fn nginx_asks_another_node_for_a_stream() {
    a_stream_is_asked_of_another_node(Kind::Nginx).await;
}

#[tokio::test]
async fn haproxy_asks_another_node_for_a_stream() {
    a_stream_is_asked_of_another_node(Kind::Haproxy).await;
}

/// Events that the logs of all nodes keep.
async fn published(nodes: &[Node]) -> usize {
    let mut count = 0;
    for node in nodes {
        count += node.history().await.len();
    }
    count
}

async fn strangers_may_listen_and_not_publish(kind: Kind) {
    let nodes = nodes(&[]).await;
    let narrow = kind.setup().change_either(("127.0.0.0/8", "127.0.0.1/32"), ("127.0.0.0/8", "127.0.0.1/32"));
    let balancer = narrow.start(&nodes).await;
    let event = r#"{"data":1}"#;
    let inside = [
        (Method::POST, "/api/sse/broadcast", 202),
        (Method::POST, "/api/sse/broadcast/someone", 202),
        (Method::GET, "/api/sse/history", 200),
        (Method::GET, "/api/sse/connections", 200),
        (Method::GET, "/api/sse/users/someone/pending", 200),
    ];
    for (method, path, status) in inside {
        assert_eq!(balancer.send(method.clone(), path, event).await.status, status, "{path}");
        assert_eq!(balancer.send_from(STRANGER, method, path, event).await.status, 403, "{path}");
    }
    for path in ["/", "/sse.js", "/openapi.json", "/health/ready", "/health/live"] {
        assert_eq!(balancer.send_from(STRANGER, Method::GET, path, "").await.status, 200, "{path}");
    }
    // The node's word on a body that makes no sense: the request has come through.
    assert_eq!(balancer.send_from(STRANGER, Method::POST, "/api/sse/ack", "{}").await.status, 422);
    // Paths that are something else for the balancer than for a node.
    for path in [
        "/api/sse/topics/..%2fack",
        "/api/sse/broadcast/..%2fack",
        "/api/sse/broadcast/..%2fstream",
        "/api/sse/users/..%2f..%2f..%2fhealth%2f",
        "/health/..%2fapi/sse/broadcast",
        "/%61pi/sse/broadcast",
        "//api/sse/broadcast",
    ] {
        let answer = balancer.send_from(STRANGER, Method::POST, path, event).await;
        assert!(answer.status.is_client_error(), "{path}: {answer:?}");
    }
    assert_eq!(published(&nodes).await, 2, "what was published from inside, and nothing else");
    let (head, _stream) = balancer.head(STRANGER, "clientId=a", None).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    // What concerns one node is asked of that node; nobody gets it here.
    for path in ["/metrics", "/actuator/health", "/admin/drain"] {
        assert_eq!(nodes[0].get(path).await.status, 200, "{path} is a path of a node");
        assert_eq!(balancer.send(Method::GET, path, "").await.status, 404, "{path}");
    }
    assert_eq!(balancer.send(Method::POST, "/admin/drain", "").await.status, 404);
    assert_eq!(balancer.send(Method::GET, "/cluster/connections", "").await.status, 404);
}

#[tokio::test]
async fn behind_nginx_strangers_may_listen_and_not_publish() {
    strangers_may_listen_and_not_publish(Kind::Nginx).await;
}

#[tokio::test]
async fn behind_haproxy_strangers_may_listen_and_not_publish() {
    strangers_may_listen_and_not_publish(Kind::Haproxy).await;
}

async fn errors_keep_the_words_of_the_node(kind: Kind) {
    let nodes = nodes(&[]).await;
    let balancer = kind.setup().start(&nodes).await;
    // Too large for an event, and for a body. The second one is refused by the balancer: a node would close the
    // connection in the middle of it, and the balancer would take that for the death of the node.
    let data = |bytes| format!(r#"{{"data":"{}"}}"#, "x".repeat(bytes));
    for bytes in [70 * 1024, 255 * 1024] {
        balancer.send(Method::POST, "/api/sse/broadcast", &data(bytes)).await.problem(413, "too_large");
    }
    for _ in 0..10 {
        let refused = balancer.send(Method::POST, "/api/sse/broadcast", &data(300 * 1024)).await;
        assert_eq!(refused.status, 413, "{refused:?}");
    }
    for _ in &nodes {
        assert_eq!(balancer.send(Method::GET, "/health/ready", "").await.status, 200);
    }
    balancer.send(Method::POST, "/api/sse/stream", "").await.problem(405, "method_not_allowed");
    balancer.send(Method::GET, "/api/sse/stream?ack=nonsense", "").await.problem(400, "invalid_request");
    balancer.send(Method::GET, "/api/sse/no-such-path", "").await.problem(404, "not_found");
}

#[tokio::test]
async fn nginx_keeps_the_nodes_own_errors() {
    errors_keep_the_words_of_the_node(Kind::Nginx).await;
}

#[tokio::test]
async fn haproxy_keeps_the_nodes_own_errors() {
    errors_keep_the_words_of_the_node(Kind::Haproxy).await;
}
