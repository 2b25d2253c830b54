//! Pages of other origins: who may read, and what a browser is told before it tries.

use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, Node};

const APP: &str = "https://app.example";
const OTHER: &str = "https://elsewhere.example";

async fn read(node: &Node, path: &str, origin: &str) -> Answer {
    node.answer(node.http().get(node.url(path)).header("origin", origin)).await
}

/// The head of a stream, which has no end to wait for.
async fn stream(node: &Node, origin: &str) -> Answer {
    node.answer(node.http().head(node.url("/api/sse/stream")).header("origin", origin)).await
}

async fn preflight(node: &Node, origin: &str) -> Answer {
    let request = node
        .http()
        .request(Method::OPTIONS, node.url("/api/sse/stream"))
        .header("origin", origin)
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "last-event-id,authorization");
    node.answer(request).await
}

fn allowed(answer: &Answer) -> (Option<&str>, Option<&str>) {
    (answer.header("access-control-allow-origin"), answer.header("access-control-allow-credentials"))
}

#[tokio::test]
async fn no_other_origin_may_read_unless_it_was_allowed() {
    let node = Node::start(&[]).await;
    for path in ["/api/sse/metrics", "/api/sse/connections", "/"] {
        let answer = read(&node, path, OTHER).await;
        let detail = answer.problem(403, "origin_not_allowed");
        assert!(detail.contains(OTHER) && detail.contains("--cors-origins"), "{detail}");
        assert_eq!(allowed(&answer), (None, None), "{path}");
    }
    assert_eq!(allowed(&stream(&node, OTHER).await), (None, None));
    assert_eq!(allowed(&preflight(&node, OTHER).await), (None, None));
}

#[tokio::test]
async fn an_origin_that_was_allowed_may_read_and_no_other() {
    let node = Node::start(&["--cors-origins", "https://app.example,http://localhost:3000"]).await;
    for origin in [APP, "http://localhost:3000"] {
        for answer in [read(&node, "/api/sse/metrics", origin).await, stream(&node, origin).await] {
            assert_eq!(allowed(&answer), (Some(origin), Some("true")), "{answer:?}");
            let vary = answer.header("vary").unwrap().to_lowercase();
            assert!(vary.contains("origin"), "a cache must not give it to another origin: {vary}");
        }
        let answer = preflight(&node, origin).await;
        assert_eq!((answer.status.as_u16(), allowed(&answer)), (200, (Some(origin), Some("true"))));
        let headers = answer.header("access-control-allow-headers").unwrap().to_lowercase();
        for header in ["last-event-id", "authorization", "content-type", "idempotency-key"] {
            assert!(headers.contains(header), "{header} in {headers}");
        }
        let methods = answer.header("access-control-allow-methods").unwrap();
        assert!(["GET", "POST", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
    }
    for origin in [OTHER, "http://app.example", "https://app.example:8443", "null"] {
        for answer in
            [read(&node, "/", origin).await, stream(&node, origin).await, preflight(&node, origin).await]
        {
            assert_eq!(
                allowed(&answer),
                (None, answer.header("access-control-allow-credentials")),
                "{origin}"
            );
        }
    }
}

#[tokio::test]
async fn problems_can_be_read_by_those_who_may_read() {
    let node = Node::start(&["--cors-origins", APP]).await;
    let post = || node.http().post(node.url("/api/sse/broadcast")).header("origin", APP).body("{");
    let answer = node.answer(post().header("content-type", "application/json")).await;
    answer.problem(400, "malformed_json");
    assert_eq!(allowed(&answer).0, Some(APP));
    let answer = node.answer(post().header("content-type", "text/plain")).await;
    assert!(answer.problem(415, "unsupported_media_type").contains("application/json"));
    assert_eq!(allowed(&answer), (Some(APP), Some("true")));
    read(&node, "/nothing", APP).await.problem(404, "not_found");
}

#[tokio::test]
async fn everybody_may_read_where_that_was_asked_for_but_not_with_cookies() {
    let node = Node::start(&["--cors-origins", "*"]).await;
    node.publish("broadcast", &json!({ "data": 1 })).await;
    for answer in [read(&node, "/api/sse/history", OTHER).await, stream(&node, OTHER).await] {
        assert_eq!(allowed(&answer), (Some("*"), None));
    }
}
