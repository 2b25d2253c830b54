//! Web pages that are open in the browser of somebody who can reach the node, and what HTTP itself asks for: told in
//! bytes, as a browser or a proxy sends them.

use reqwest::Method;
use serde_json::{Value, json};
use sse_lab::protocol::api::{DrainStatus, Pending};

use crate::support::{Answer, Node, Raw, Reply, Subscriber, payload};

async fn ask(node: &Node, head: &str, body: &str) -> Reply {
    let mut raw = Raw::connect(node).await;
    raw.send(&format!("{head}\r\n\r\n{body}")).await;
    raw.reply().await
}

#[track_caller]
fn check_problem(reply: &Reply, status: u16, code: &str) -> String {
    assert!(reply.head.starts_with(&format!("HTTP/1.1 {status} ")), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{reply:?}");
    let problem: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)));
    problem["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_node_on_loopback_answers_to_its_own_names_and_to_no_name_of_a_web_page() {
    let node = Node::start(&["--advertise", "http://backend-1:8080"]).await;
    for host in
        ["localhost", "LocalHost:8080", "app.localhost", "127.0.0.1", "[::1]:80", "10.1.2.3", "backend-1:9"]
    {
        let reply = ask(&node, &format!("GET /health/live HTTP/1.1\r\nHost: {host}"), "").await;
        assert!(reply.head.starts_with("HTTP/1.1 200 "), "{host}: {reply:?}");
    }
    for host in ["attacker.example", "localhost.attacker.example", "127.0.0.1.attacker.example:8080", "nodes"]
    {
        for path in ["/", "/api/sse/stream", "/metrics", "/health/ready"] {
            let reply = ask(&node, &format!("GET {path} HTTP/1.1\r\nHost: {host}"), "").await;
            let detail = check_problem(&reply, 403, "host_not_allowed");
            assert!(detail.contains("--allowed-host"), "{detail}");
        }
    }
    // The URL goes before the Host (RFC 9112, 3.2.2).
    let reply = ask(&node, "GET http://attacker.example/ HTTP/1.1\r\nHost: localhost", "").await;
    check_problem(&reply, 403, "host_not_allowed");
    for bad in
        ["X: y", "Host: a b", "Host:", "Host: localhost\r\nHost: localhost", "Host: localhost, localhost"]
    {
        check_problem(&ask(&node, &format!("GET / HTTP/1.1\r\n{bad}"), "").await, 400, "invalid_request");
    }
    // Health checks of balancers.
    assert!(ask(&node, "GET /health/live HTTP/1.0", "").await.head.contains(" 200 "));
    node.wait_for_log("--allowed-host").await;
}

#[tokio::test]
async fn the_names_that_were_given_are_allowed_and_elsewhere_all_are() {
    let host = |host: &str| format!("GET /health/live HTTP/1.1\r\nHost: {host}");
    let node = Node::start(&["--allowed-host", "sse.example,*.internal.example"]).await;
    for (name, status) in
        [("sse.example", "200"), ("a.internal.example:81", "200"), ("localhost", "200"), ("b", "403")]
    {
        let reply = ask(&node, &host(name), "").await;
        assert!(reply.head.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {reply:?}");
    }
    let node = Node::start(&["--allowed-host", "*"]).await;
    assert!(ask(&node, &host("whatever.example"), "").await.head.contains(" 200 "));
}

/// What a page of another site sends, over HTTPS or to this machine, and over plain HTTP.
const FOREIGN: [&str; 4] = [
    "Origin: https://attacker.example\r\nSec-Fetch-Site: cross-site",
    "Origin: http://localhost:3000\r\nSec-Fetch-Site: same-site",
    "Origin: http://attacker.example",
    "Origin: null",
];

#[tokio::test]
async fn no_page_of_another_site_changes_or_reads_anything() {
    let node = Node::start(&[]).await;
    let event = node.publish("users/u", &json!({ "data": 1, "qos": 1 })).await;
    let ack = json!({ "userId": "u", "id": event.id }).to_string();
    for origin in FOREIGN {
        for (request, body) in [
            ("POST /admin/drain", ""),
            ("POST /admin/rebalance", ""),
            ("POST /api/sse/broadcast", r#"{"data":1}"#),
            ("POST /api/sse/ack", ack.as_str()),
            ("DELETE /api/sse/connections/c", ""),
            ("GET /api/sse/history", ""),
            ("GET /api/sse/users/u/pending", ""),
            ("GET /api/sse/stream?userId=u&ack=written", ""),
            ("OPTIONS /api/sse/broadcast", ""),
        ] {
            let length = body.len();
            let head = format!(
                "{request} HTTP/1.1\r\nHost: localhost\r\n{origin}\r\nContent-Type: application/json\r\nContent-Length: {length}"
            );
            let detail = check_problem(&ask(&node, &head, body).await, 403, "origin_not_allowed");
            assert!(detail.contains("--cors-origins"), "{detail}");
        }
    }
    // An image, a script, a frame: no Origin.
    for kind in ["image", "script", "iframe"] {
        let head = format!(
            "GET /api/sse/stream?userId=u&ack=written HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: {kind}"
        );
        check_problem(&ask(&node, &head, "").await, 403, "origin_not_allowed");
    }
    assert!(!node.get("/admin/drain").await.json::<DrainStatus>().draining);
    assert_eq!((node.history().await.len(), node.metrics().await.total_connections), (1, 0));
    node.wait_for_line("sse_node_requests_refused_total 39").await;
}

#[tokio::test]
async fn a_link_leads_to_the_page_but_opens_no_stream() {
    let node = Node::start(&[]).await;
    let link = "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document";
    for path in ["/", "/api/sse/connections", "/metrics"] {
        let reply = ask(&node, &format!("GET {path} HTTP/1.1\r\n{link}"), "").await;
        assert!(reply.head.starts_with("HTTP/1.1 200 "), "{reply:?}");
    }
    for refused in ["GET /api/sse/stream", "POST /admin/drain"] {
        check_problem(
            &ask(&node, &format!("{refused} HTTP/1.1\r\n{link}"), "").await,
            403,
            "origin_not_allowed",
        );
    }
    let framed = link.replace("document", "iframe");
    check_problem(&ask(&node, &format!("GET / HTTP/1.1\r\n{framed}"), "").await, 403, "origin_not_allowed");
}

/// A publish with these headers.
async fn publish(node: &Node, headers: &[(&'static str, &str)]) -> Answer {
    let request = node.http().post(node.url("/api/sse/broadcast")).body(r#"{"data":1}"#);
    node.answer(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

#[tokio::test]
async fn the_own_page_and_programs_publish_as_before() {
    let node = Node::start(&["--cors-origins", "https://app.example"]).await;
    let own = node.url("").origin().ascii_serialization();
    let json = ("content-type", "application/json");
    for headers in [
        &[][..],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[json, ("origin", &own)],
        &[json, ("origin", &own), ("sec-fetch-site", "same-origin")],
        &[json, ("sec-fetch-site", "none")],
        &[("content-type", "application/json; charset=utf-8"), ("origin", "https://app.example")],
        &[json, ("origin", "https://app.example"), ("sec-fetch-site", "cross-site")],
        &[json, ("origin", "app://desktop"), ("authorization", "Bearer token")],
    ] {
        let answer = publish(&node, headers).await;
        assert_eq!(answer.status, 202, "{headers:?}: {answer:?}");
    }
    for (headers, status, code) in [
        // A form of another page, sent by a script of the own one, or by nobody who asked first.
        (&[("content-type", "text/plain"), ("origin", own.as_str())][..], 415, "unsupported_media_type"),
        (&[("origin", own.as_str())], 415, "unsupported_media_type"),
        (&[("content-type", "text/plain"), ("sec-fetch-site", "same-origin")], 415, "unsupported_media_type"),
        (&[json, ("origin", "http://app.example")], 403, "origin_not_allowed"),
        (
            &[json, ("origin", "https://other.example"), ("authorization", "Basic YTpi")],
            403,
            "origin_not_allowed",
        ),
        (&[json, ("origin", &own), ("sec-fetch-site", "cross-site")], 403, "origin_not_allowed"),
        (&[json, ("origin", &own), ("origin", &own)], 400, "invalid_request"),
    ] {
        publish(&node, headers).await.problem(status, code);
    }
}

#[tokio::test]
async fn a_page_of_any_origin_may_publish_where_that_was_asked_for_but_not_drain() {
    let node = Node::start(&["--cors-origins", "*"]).await;
    let page = [("content-type", "application/json"), ("origin", "https://any.example")];
    assert_eq!(publish(&node, &page).await.status, 202);
    for (method, path) in [(Method::POST, "/admin/drain"), (Method::DELETE, "/api/sse/connections/c")] {
        let request = node.http().request(method, node.url(path)).header("origin", "https://any.example");
        node.answer(request).await.problem(403, "origin_not_allowed");
    }
    let request = node.http().get(node.url("/admin/drain")).header("origin", "https://any.example");
    assert!(!node.answer(request).await.json::<DrainStatus>().draining);
}

#[tokio::test]
async fn being_written_confirms_nothing_where_an_image_could_have_asked() {
    let node = Node::start(&[]).await;
    node.publish("users/u", &json!({ "data": 1, "qos": 1 })).await;
    let pending = async || node.get("/api/sse/users/u/pending").await.json::<Pending>().messages.len();
    for accept in ["image/avif,image/webp,*/*;q=0.8", "*/*", "text/event-streams"] {
        let mut raw = Raw::connect(&node).await;
        let head = format!(
            "GET /api/sse/stream?userId=u&ack=written HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}"
        );
        raw.send(&format!("{head}\r\n\r\n")).await;
        raw.until("event: CURSOR").await;
        assert_eq!(pending().await, 1, "{accept}");
    }
    node.wait_for_line("sse_node_parameters_ignored_total 3").await;
    let mut stream = Subscriber::open(&node, "userId=u&ack=written").await;
    assert_eq!(payload(&stream.event().await), 1);
    crate::support::eventually("a confirmation", async || (pending().await == 0).then_some(())).await;
}

#[tokio::test]
async fn every_answer_says_that_its_type_is_no_guess_and_the_page_what_it_may_do() {
    let node = Node::start(&[]).await;
    for (path, kept) in [
        ("/", "no-cache"),
        ("/sse.js", "no-cache"),
        ("/openapi.json", "no-cache"),
        ("/metrics", "no-store"),
        ("/api/sse/history", "no-store"),
        ("/health/ready", "no-store"),
        ("/nothing", "no-store"),
    ] {
        let answer = node.get(path).await;
        let headers = (answer.header("x-content-type-options"), answer.header("cache-control"));
        assert_eq!(headers, (Some("nosniff"), Some(kept)), "{path}");
    }
    let stream = node.send(Method::HEAD, "/api/sse/stream", "").await;
    let headers = (stream.header("x-content-type-options"), stream.header("cache-control"));
    assert_eq!(headers, (Some("nosniff"), Some("no-store, no-transform")));
    let page = node.get("/").await;
    let policy = page.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "script-src 'sha256-", "connect-src 'self'", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
}

#[tokio::test]
async fn parameters_that_nobody_knows_are_ignored_and_lists_add_up() {
    let node = Node::start(&[]).await;
    let mut stream =
        Subscriber::open(&node, "topics=a&_=1&topics=b,c&utm_source=x&topics=&clientId=me&clientId=me").await;
    for topic in ["a", "b", "c"] {
        node.publish(&format!("topics/{topic}"), &json!({ "data": topic })).await;
        assert_eq!(payload(&stream.event().await), topic);
    }
    for path in
        ["/api/sse/history?_=1", "/api/sse/connections?_=1&filter=me&filter=topic:a", "/health/ready?_=1"]
    {
        assert_eq!(node.get(path).await.status, 200, "{path}");
    }
    assert_eq!(node.connections("?filter=me&filter=nobody").await.matched, 0, "words of both must hold");
    node.wait_for_line("sse_node_parameters_ignored_total 5").await;
}

#[tokio::test]
async fn bytes_that_are_no_utf_8_are_nobodys_name() {
    let node = Node::start(&[]).await;
    for query in ["clientId=%ff", "clientId=%fe", "userId=a%C3", "topics=%80", "clientId=%EF%BF%BD"] {
        let detail = node.get(&format!("/api/sse/stream?{query}")).await.problem(400, "invalid_request");
        assert!(detail.contains("U+FFFD"), "{query}: {detail}");
    }
    // A broken percent sign stands for itself, as in the URL standard.
    assert_eq!(Subscriber::open(&node, "clientId=100%").await.hello.client_id.as_str(), "100%");
}

#[tokio::test]
async fn a_name_that_no_url_can_hold_is_refused() {
    let node = Node::start(&[]).await;
    for query in ["clientId=.", "userId=..", "topics=a,.."] {
        let detail = node.get(&format!("/api/sse/stream?{query}")).await.problem(400, "invalid_request");
        assert!(detail.contains("no path can hold it"), "{detail}");
    }
    for name in [".", "..", "%2e%2E"] {
        let head = format!("POST /api/sse/topics/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10");
        let detail = check_problem(&ask(&node, &head, r#"{"data":1}"#).await, 400, "invalid_request");
        assert!(detail.contains("no path can hold it"), "{detail}");
    }
    let batch = json!([{ "to": "topic:..", "event": { "data": 1 } }]).to_string();
    let answers: Value = node.post("/api/sse/batch", batch).await.json();
    assert_eq!(answers["answers"][0]["outcome"], "refused", "{answers}");
    assert_eq!(node.history().await.len(), 0);
}

#[tokio::test]
async fn head_of_a_stream_has_the_headers_of_the_stream() {
    let node = Node::start(&[]).await;
    let mut raw = Raw::connect(&node).await;
    let mut heads = Vec::new();
    for method in ["HEAD", "GET"] {
        raw.send(&format!("{method} /api/sse/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let head = raw.until("\r\n\r\n").await.to_lowercase();
        // RFC 9112, 6.1: an answer to HEAD may leave out how the content that it has not would be sent.
        let lines =
            head.lines().filter(|line| !line.starts_with("date:") && !line.starts_with("transfer-encoding:"));
        let mut lines: Vec<_> = lines.map(str::to_owned).collect();
        lines.sort();
        heads.push(lines);
    }
    assert_eq!(heads[0], heads[1]);
    assert!(!heads[0].iter().any(|line| line.starts_with("content-length")), "{heads:?}");
}

#[tokio::test]
async fn a_transfer_coding_that_is_not_known_publishes_nothing() {
    let node = Node::start(&[]).await;
    let chunked = "a\r\n{\"data\":1}\r\n0\r\n\r\n";
    for (coding, status) in [
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 501),
        ("Transfer-Encoding: chunked, chunked", 501),
        ("Transfer-Encoding: Chunked", 202),
    ] {
        let head = format!("POST /api/sse/broadcast HTTP/1.1\r\nHost: localhost\r\n{coding}");
        let reply = ask(&node, &head, chunked).await;
        assert!(reply.head.starts_with(&format!("HTTP/1.1 {status} ")), "{coding}: {reply:?}");
        if status == 501 {
            check_problem(&reply, 501, "unsupported_coding");
        }
    }
    assert_eq!(node.history().await.len(), 1);
}

#[tokio::test]
async fn as_many_topics_as_a_stream_may_have_fit_into_its_url_with_a_large_cookie() {
    let node = Node::start(&[]).await;
    let topics: Vec<_> = (0..256).map(|number| format!("{number:0100}")).collect();
    let (topics, cookie) = (topics.join(","), "c".repeat(8_000));
    let mut raw = Raw::connect(&node).await;
    let stream = format!(
        "GET /api/sse/stream?topics={topics} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n"
    );
    raw.send(&stream).await;
    assert!(raw.until("\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    let small = Node::start(&["--max-topics", "4", "--max-head", "8KiB"]).await;
    let mut raw = Raw::connect(&small).await;
    raw.try_send(&stream).await;
    let detail = check_problem(&raw.reply().await, 431, "head_too_large");
    assert!(detail.contains("8192 bytes (--max-head)"), "{detail}");
    let detail = small.get("/api/sse/stream?topics=1,2,3,4,5").await.problem(400, "invalid_request");
    assert!(detail.contains("up to 4 (--max-topics)"), "{detail}");
}

#[tokio::test]
async fn what_hyper_answers_itself_is_a_problem_too() {
    let node = Node::start(&["--max-head", "128KiB"]).await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost", "x".repeat(66_000));
    check_problem(&ask(&node, &long, "").await, 414, "uri_too_long");
    for strange in ["GET / HTTP/1.1\r\nHost : x", "\u{16}\u{3} hello", "GET / HTTP/1.1\r\nContent-Length: x"]
    {
        check_problem(&ask(&node, strange, "").await, 400, "invalid_request");
    }
    let many = "X: y\r\n".repeat(120);
    let reply = ask(&node, &format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}X: z"), "").await;
    check_problem(&reply, 431, "head_too_large");
}
