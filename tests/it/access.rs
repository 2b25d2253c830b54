//! Who may do what: every path for every role, and a subscriber who wants the events of another one.

use reqwest::Method;
use serde_json::{Value, json};
use sse_lab::client::Event;
use sse_lab::protocol::api::{CloseEvent, History, Pending, Presence, Published};

use crate::support::{
    Answer, Node, Raw, Redis, Subscriber, api_key, closing, directory, events, file, payload, run,
};

const SECRET: &str = "a secret of these tests, long enough";
/// With this variable the table in the docs is written instead of compared.
const BLESS: &str = "SSE_LAB_BLESS";

/// A token by `sse-node token`.
async fn token(args: &[&str]) -> String {
    let made = run(&[&["token", "--secret", SECRET], args].concat()).await;
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""));
    made.stdout.trim().to_owned()
}

/// A node that checks tokens, and takes them to the second.
async fn node(more: &[&str]) -> Node {
    let args = ["--token-secret", SECRET, "--token-leeway", "0s", "--log-level", "debug"];
    Node::start(&[&args, more].concat()).await
}

async fn send(node: &Node, (method, path): (Method, &str), token: &str, body: &str) -> Answer {
    let request = node.http().request(method, node.url(path)).body(body.to_owned());
    let request = if token.is_empty() { request } else { request.bearer_auth(token) };
    node.answer(request).await
}

async fn get(node: &Node, path: &str, token: &str) -> Answer {
    send(node, (Method::GET, path), token, "").await
}

async fn open(node: &Node, query: &str, token: &str) -> Subscriber {
    Subscriber::headers(node, query, &[("authorization", &format!("Bearer {token}"))]).await
}

/// A stream that is refused: the whole answer.
async fn refused_stream(node: &Node, query: &str, token: &str) -> Answer {
    get(node, &format!("/api/sse/stream?{query}"), token).await
}

/// The cell of the table for an answer; a refusal must say why.
fn cell(answer: &Answer, has_body: bool) -> &'static str {
    let codes: &[&str] = match answer.status.as_u16() {
        401 => &["unauthenticated", "invalid_token"],
        403 => &["insufficient_scope"],
        _ => return "yes",
    };
    let challenge = answer.header("www-authenticate").unwrap();
    assert_eq!(challenge.contains("insufficient_scope"), answer.status == 403, "{answer:?}");
    if has_body {
        let problem: Value = answer.json();
        assert!(codes.iter().any(|code| problem["code"] == *code), "{answer:?}");
    }
    "–"
}

#[tokio::test]
async fn every_path_answers_those_whom_the_table_names_and_no_others() {
    let directory = directory();
    let keys = directory.path().join("api-keys");
    let (publisher, first) = api_key(&["shop", "--roles", "publish"]).await;
    let (reader, second) = api_key(&["audit", "--roles", "read"]).await;
    let (operator, third) = api_key(&["ops", "--roles", "operate"]).await;
    std::fs::write(&keys, [first, second, third].join("\n")).unwrap();
    let node = node(&["--id", "n-1", "--api-keys", keys.to_str().unwrap()]).await;
    let roles = [
        ("nobody", String::new()),
        ("a bad token", "x.y.z".to_owned()),
        ("subscriber", token(&["--user", "alice"]).await),
        ("publisher", publisher),
        ("reader", reader),
        ("operator", operator),
        ("operator by token", token(&["--operator"]).await),
        ("publisher by token", token(&["--publish", "*"]).await),
    ];
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/web/openapi.json")).unwrap();
    let description: Value = serde_json::from_str(&text).unwrap();
    let mut table = String::from(
        "| | nobody | subscriber | publisher | reader | operator |\n|---|---|---|---|---|---|\n",
    );
    for (path, operations) in description["paths"].as_object().unwrap() {
        let url = path.replace("{user}", "alice").replace("{client}", "alice").replace("{node}", "n-1");
        let url = url.replace("{topic}", "t").replace("{id}", "nobody");
        for method in operations.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            // A stream has no end to wait for.
            let sent = if path == "/api/sse/stream" { Method::HEAD } else { method.clone() };
            let mut cells = Vec::new();
            for (_, token) in &roles {
                // No body: whoever is admitted changes nothing.
                let answer = send(&node, (sent.clone(), &url), token, "{").await;
                cells.push(cell(&answer, sent != Method::HEAD));
            }
            let [nobody, bad, subscriber, publisher, reader, operator, operator_too, publisher_too] =
                cells[..]
            else {
                panic!()
            };
            assert_eq!((nobody, operator, publisher), (bad, operator_too, publisher_too), "{method} {path}");
            table += &format!(
                "| `{method} {path}` | {nobody} | {subscriber} | {publisher} | {reader} | {operator} |\n"
            );
        }
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md");
    let text = std::fs::read_to_string(page).unwrap();
    let (begin, end) = ("<!-- table of paths -->\n", "<!-- end of the table -->");
    let (before, rest) = text.split_once(begin).unwrap();
    let (known, behind) = rest.split_once(end).unwrap();
    if std::env::var_os(BLESS).is_some() {
        return std::fs::write(page, format!("{before}{begin}{table}{end}{behind}")).unwrap();
    }
    assert_eq!(
        known, table,
        "the table in docs/security.md is another; see whether it is meant, then write it anew: {BLESS}=1"
    );
}

/// A node with messages for Alice, and what Bob may do with his token.
struct Story {
    node: Node,
    alice: String,
    bob: String,
    publisher: String,
    /// Ids of what is for Alice alone.
    hers: Vec<String>,
}

async fn story(more: &[&str]) -> Story {
    let node = node(more).await;
    let alice = token(&["--user", "alice", "--topics", "private.*"]).await;
    let bob = token(&["--user", "bob", "--topics", "news"]).await;
    let publisher = token(&["--publish", "*"]).await;
    let mut hers = Vec::new();
    for to in ["users/alice", "broadcast/alice", "broadcast/alice:tab", "topics/private.alice"] {
        let body = json!({ "data": "hers", "qos": u8::from(!to.starts_with("topics")) }).to_string();
        let answer = send(&node, (Method::POST, &format!("/api/sse/{to}")), &publisher, &body).await;
        assert_eq!(answer.status.as_u16(), 202, "{answer:?}");
        hers.push(answer.json::<Value>()["id"].as_str().unwrap().to_owned());
    }
    Story { node, alice, bob, publisher, hers }
}

impl Story {
    async fn publish(&self, to: &str, data: &Value) {
        let body = json!({ "data": data }).to_string();
        let answer =
            send(&self.node, (Method::POST, &format!("/api/sse/{to}")), &self.publisher, &body).await;
        assert_eq!(answer.status.as_u16(), 202, "{answer:?}");
    }

    async fn mail_of_alice(&self) -> usize {
        get(&self.node, "/api/sse/users/alice/pending", &self.alice).await.json::<Pending>().messages.len()
    }
}

fn payloads(events: &[Event]) -> Vec<Value> {
    events.iter().map(payload).collect()
}

#[tokio::test]
async fn a_stream_has_only_the_names_of_its_token() {
    let story = story(&[]).await;
    for (query, named) in [
        ("userId=alice", "user:alice"),
        ("clientId=alice", "client:alice"),
        ("clientId=alice:tab", "client:alice:tab"),
        ("clientId=x", "client:x"),
        ("topics=private.alice", "topic:private.alice"),
        ("topics=news,private.alice", "topic:private.alice"),
        ("userId=alice&ack=written", "user:alice"),
    ] {
        let detail = refused_stream(&story.node, query, &story.bob).await.problem(403, "insufficient_scope");
        assert!(detail.contains(named), "{query}: {detail}");
    }
    // Without names he is who his token says, and a cursor leads to nothing but his own.
    for cursor in ["earliest", &story.hers[0]] {
        let query = format!("topics=news&clientId=bob&lastEventId={cursor}");
        let mut bob = open(&story.node, &query, &story.bob).await;
        story.publish("users/bob", &json!(cursor)).await;
        let got = payloads(&bob.until(&json!(cursor)).await);
        assert!(!got.contains(&json!("hers")), "{got:?}");
    }
    assert_eq!(story.mail_of_alice().await, 1, "and no cursor of his confirms hers");
    let mut alice =
        open(&story.node, "clientId=alice&topics=private.alice&lastEventId=earliest", &story.alice).await;
    story.publish("topics/private.alice", &json!("end")).await;
    assert_eq!(payloads(&alice.until(&json!("end")).await).iter().filter(|data| **data == "hers").count(), 3);
}

#[tokio::test]
async fn the_log_the_mailbox_and_presence_show_a_subscriber_only_its_own() {
    let story = story(&[]).await;
    let Story { node, alice, bob, hers, .. } = &story;
    story.publish("broadcast", &json!("all")).await;
    for query in ["".to_owned(), format!("?after={}", hers[0])] {
        let page: History = get(node, &format!("/api/sse/history{query}"), bob).await.json();
        let addresses: Vec<_> = page.events.iter().map(|event| event.address.to_string()).collect();
        assert_eq!(addresses, ["all"], "{query}");
    }
    let page: History = get(node, "/api/sse/history", alice).await.json();
    assert_eq!(page.events.len(), hers.len() + 1);
    get(node, "/api/sse/history?topic=private.alice", bob).await.problem(403, "insufficient_scope");
    for path in ["users/alice/pending", "users/alice", "clients/alice"] {
        let path = format!("/api/sse/{path}");
        get(node, &path, bob).await.problem(403, "insufficient_scope");
        assert_eq!(get(node, &path, alice).await.status.as_u16(), 200, "{path}");
    }
    for id in hers {
        // As if there were none.
        get(node, &format!("/api/sse/events/{id}"), bob).await.problem(404, "not_found");
        assert_eq!(get(node, &format!("/api/sse/events/{id}"), alice).await.status.as_u16(), 200);
    }
    // Who publishes to a user may ask whether it is there.
    let presence: Presence = get(node, "/api/sse/users/alice", &story.publisher).await.json();
    assert!(!presence.online);
}

#[tokio::test]
async fn nobody_confirms_takes_over_or_publishes_for_another() {
    let story = story(&["--takeover", "newest"]).await;
    let Story { node, alice, bob, hers, .. } = &story;
    for owner in [
        json!({ "userId": "alice" }),
        json!({ "clientId": "alice" }),
        json!({ "userId": "bob", "clientId": "alice" }),
    ] {
        let mut ack = owner.clone();
        ack["id"] = json!(hers[2]);
        send(node, (Method::POST, "/api/sse/ack"), bob, &ack.to_string())
            .await
            .problem(403, "insufficient_scope");
    }
    assert_eq!(story.mail_of_alice().await, 1);
    let mut stream = open(node, "clientId=alice:new", alice).await;
    refused_stream(node, "clientId=alice:new", bob).await.problem(403, "insufficient_scope");
    story.publish("broadcast/alice:new", &json!("still here")).await;
    stream.until(&json!("still here")).await;
    let ack = json!({ "userId": "alice", "id": hers[2] }).to_string();
    assert_eq!(send(node, (Method::POST, "/api/sse/ack"), alice, &ack).await.status.as_u16(), 200);
    assert_eq!(story.mail_of_alice().await, 0);
    let some = token(&["--publish", "topic:news,user:bob"]).await;
    for (to, status) in [
        ("topics/news", 202),
        ("users/bob", 202),
        ("users/alice", 403),
        ("broadcast", 403),
        ("topics/x", 403),
    ] {
        let answer = send(node, (Method::POST, &format!("/api/sse/{to}")), &some, r#"{"data":1}"#).await;
        assert_eq!(answer.status.as_u16(), status, "{to}: {answer:?}");
    }
    let batch =
        json!([{ "to": "topic:news", "event": { "data": 1 } }, { "to": "all", "event": { "data": 1 } }])
            .to_string();
    let answers: Value = send(node, (Method::POST, "/api/sse/batch"), &some, &batch).await.json();
    assert_eq!(
        (&answers["answers"][0]["outcome"], &answers["answers"][1]["code"]),
        (&json!("ok"), &json!("insufficient_scope"))
    );
}

#[tokio::test]
async fn the_ids_of_a_publisher_are_its_own() {
    let directory = directory();
    let file = directory.path().join("api-keys");
    let (shop, first) = api_key(&["shop"]).await;
    let (till, second) = api_key(&["till"]).await;
    std::fs::write(&file, [first, second].join("\n")).unwrap();
    let node = node(&["--api-keys", file.to_str().unwrap()]).await;
    let publish = async |key: &str, data: &str| {
        let body = json!({ "data": data, "id": "order-1" }).to_string();
        send(&node, (Method::POST, "/api/sse/broadcast"), key, &body).await
    };
    for (key, data, id, duplicate) in [
        (&shop, "a", "shop/order-1", false),
        (&till, "b", "till/order-1", false),
        (&shop, "a", "shop/order-1", true),
    ] {
        let published: Published = publish(key, data).await.json();
        assert_eq!((published.message_id.as_str(), published.duplicate), (id, duplicate));
    }
    publish(&shop, "other").await.problem(422, "id_reused");
}

#[tokio::test]
async fn a_token_is_taken_back_at_once_on_every_node_and_for_good() {
    let directory = directory();
    let mut node = node(&["--broker", &file(&directory)]).await;
    let operator = token(&["--operator"]).await;
    let (alice, bob) = (token(&["--user", "alice"]).await, token(&["--user", "bob"]).await);
    let streams = [open(&node, "", &alice).await, open(&node, "", &bob).await];
    let revoke = async |node: &Node, body: Value| {
        let answer = send(node, (Method::POST, "/admin/revoke"), &operator, &body.to_string()).await;
        assert_eq!(answer.status.as_u16(), 202, "{answer:?}");
    };
    revoke(&node, json!({ "user": "alice" })).await;
    let [of_alice, mut of_bob] = streams;
    let (all, _) = of_alice.rest().await;
    let close: CloseEvent = serde_json::from_str(&all.last().unwrap().data).unwrap();
    assert_eq!((close.code, close.reconnect), (3500, false));
    refused_stream(&node, "", &alice).await.problem(403, "revoked");
    get(&node, "/api/sse/history", &alice).await.problem(403, "revoked");
    let publisher = token(&["--publish", "*"]).await;
    let publish = async |path: &str| send(&node, (Method::POST, path), &publisher, r#"{"data":"on"}"#).await;
    assert_eq!(publish("/api/sse/broadcast").await.status.as_u16(), 202);
    of_bob.until(&json!("on")).await;
    publish("/api/sse/broadcast/~revocations").await.problem(403, "insufficient_scope");
    refused_stream(&node, "clientId=~revocations", &operator).await.problem(403, "insufficient_scope");
    let page: History = get(&node, "/api/sse/history", &operator).await.json();
    assert_eq!(page.events.len(), 1, "revocations are in no history");
    // One token, by its id.
    let claims = bob.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    revoke(&node, json!({ "tokenId": claims["jti"] })).await;
    assert!(of_bob.rest().await.0.last().unwrap().data.contains("3500"));
    // Also after a crash; new tokens are good.
    node.kill().await;
    node.restart().await;
    for old in [&alice, &bob] {
        refused_stream(&node, "", old).await.problem(403, "revoked");
    }
    drop(open(&node, "", &token(&["--user", "bob"]).await).await);
    for body in [json!({}), json!({ "tokenId": "" }), json!({ "users": "alice" })] {
        send(&node, (Method::POST, "/admin/revoke"), &operator, &body.to_string())
            .await
            .problem(422, "invalid_event");
    }
}

/// One node is told, and a third one starts when all is over.
#[tokio::test]
async fn what_is_taken_back_at_one_node_is_taken_back_at_all() {
    let redis = Redis::start().await;
    let url = redis.url();
    let [first, second] =
        [node(&["--id", "n-1", "--broker", &url]).await, node(&["--id", "n-2", "--broker", &url]).await];
    let [alice, operator] = [token(&["--user", "alice"]).await, token(&["--operator"]).await];
    let stream = open(&second, "", &alice).await;
    let revoked = send(&first, (Method::POST, "/admin/revoke"), &operator, r#"{"user":"alice"}"#).await;
    assert_eq!(revoked.status.as_u16(), 202);
    let (events, _) = stream.rest().await;
    let close: CloseEvent = serde_json::from_str(&events.last().unwrap().data).unwrap();
    assert_eq!((close.code, close.reconnect), (3500, false));
    let third = node(&["--id", "n-3", "--broker", &url]).await;
    for node in [&first, &second, &third] {
        refused_stream(node, "", &alice).await.problem(403, "revoked");
    }
}

/// Opens a stream with these headers, and reads its end.
async fn soft(node: &Node, query: &str, header: &str) -> (CloseEvent, Option<u64>) {
    let mut raw = Raw::connect(node).await;
    let address = node.address();
    raw.send(&format!("GET /api/sse/stream{query} HTTP/1.0\r\nHost: {address}\r\n{header}\r\n")).await;
    let text = String::from_utf8(raw.rest().await).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let retry = body.lines().find_map(|line| line.strip_prefix("retry: ")?.parse().ok());
    let all = events(body.as_bytes());
    assert_eq!(all.len(), 1, "{body}");
    (closing(&all[0], 3005), retry)
}

#[tokio::test]
async fn a_credential_comes_by_header_query_or_cookie_and_stands_in_no_log() {
    let node = node(&[]).await;
    let alice = token(&["--user", "alice"]).await;
    let bob = token(&["--user", "bob"]).await;
    let bearer = |token: &str| format!("Bearer {token}");
    let cookie = |token: &str| format!("a=b; sse_token={token}");
    for (query, headers) in [
        (format!("token={alice}"), vec![]),
        (String::new(), vec![("cookie", cookie(&alice))]),
        (String::new(), vec![("authorization", bearer(&alice)), ("cookie", cookie(&bob))]),
        (format!("token={alice}"), vec![("authorization", bearer(&alice)), ("cookie", cookie("rubbish"))]),
        (format!("token={alice}"), vec![("cookie", cookie(&bob))]),
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let stream = Subscriber::headers(&node, &format!("clientId=alice&{query}"), &headers).await;
        assert_eq!(stream.hello.client_id.as_str(), "alice");
    }
    refused_stream(&node, &format!("token={bob}"), &alice).await.problem(400, "invalid_request");
    refused_stream(&node, &format!("token={bob}&token={alice}"), "").await.problem(400, "invalid_request");
    let nothing = refused_stream(&node, "", "").await;
    nothing.problem(401, "unauthenticated");
    assert_eq!(nothing.header("www-authenticate"), Some("Bearer realm=\"sse-node\""));
    let forged = format!("{}x", &bob[..bob.len() - 2]);
    refused_stream(&node, &format!("token={forged}"), "").await.problem(401, "invalid_token");
    // Only a stream takes a token of its query.
    get(&node, &format!("/api/sse/history?token={alice}"), "").await.problem(401, "unauthenticated");
    for secret in [&alice, &bob, &forged, &SECRET.to_owned()] {
        assert!(!node.said(secret), "a credential stands in the log");
    }
}

#[tokio::test]
async fn a_token_that_ends_ends_its_stream_and_the_client_may_come_back_with_a_new_one() {
    let node = node(&["--heartbeat", "100ms"]).await;
    let short = token(&["--user", "alice", "--ttl", "2s"]).await;
    let stream = open(&node, "", &short).await;
    let (all, _) = stream.rest().await;
    closing(all.last().unwrap(), 3005);
    // It has ended: a page gets a stream that says so, a program a status.
    let by_cookie = (String::new(), format!("Cookie: sse_token={short}\r\n"));
    for (query, header) in [by_cookie, (format!("?token={short}"), String::new())] {
        let (close, retry) = soft(&node, &query, &header).await;
        assert_eq!((close.retry_ms, retry), (30_000, Some(30_000)));
    }
    let detail = refused_stream(&node, "", &short).await.problem(401, "invalid_token");
    assert!(detail.contains("expired"), "{detail}");
    let cookie = node.http().get(node.url("/api/sse/history")).header("cookie", format!("sse_token={short}"));
    node.answer(cookie).await.problem(401, "invalid_token");
    drop(open(&node, "", &token(&["--user", "alice"]).await).await);
}

#[tokio::test]
async fn the_streams_of_an_api_key_end_when_its_line_is_removed() {
    let directory = directory();
    let file = directory.path().join("api-keys");
    let (gone, first) = api_key(&["gone", "--roles", "read"]).await;
    let (stays, second) = api_key(&["stays", "--roles", "read,publish"]).await;
    std::fs::write(&file, [first, second.clone()].join("\n")).unwrap();
    let node = node(&["--api-keys", file.to_str().unwrap()]).await;
    let ending = open(&node, "clientId=a", &gone).await;
    let mut other = open(&node, "clientId=b", &stays).await;
    std::fs::write(&file, second).unwrap();
    let (events, _) = ending.rest().await;
    let close: CloseEvent = serde_json::from_str(&events.last().unwrap().data).unwrap();
    assert_eq!((close.code, close.reconnect), (3500, false));
    assert!(close.reason.contains("API key"), "{close:?}");
    refused_stream(&node, "clientId=a", &gone).await.problem(401, "invalid_token");
    send(&node, (Method::POST, "/api/sse/broadcast"), &stays, r#"{"data":1}"#).await;
    assert_eq!(payload(&other.event().await), 1);
}

/// Both come from one address.
#[tokio::test]
async fn a_publisher_that_is_too_fast_holds_up_no_other_one() {
    let directory = directory();
    let file = directory.path().join("api-keys");
    let (shop, first) = api_key(&["shop"]).await;
    let (till, second) = api_key(&["till"]).await;
    std::fs::write(&file, [first, second].join("\n")).unwrap();
    let node = node(&["--publish-rate", "10", "--api-keys", file.to_str().unwrap()]).await;
    let event = json!({ "to": "all", "event": { "data": 1 } });
    let batch = serde_json::to_string(&vec![event; 900]).unwrap();
    assert_eq!(send(&node, (Method::POST, "/api/sse/batch"), &shop, &batch).await.status, 200);
    let publish =
        async |key: &str| send(&node, (Method::POST, "/api/sse/broadcast"), key, r#"{"data":1}"#).await;
    assert!(publish(&shop).await.problem(429, "busy").contains("--publish-rate"));
    assert_eq!(publish(&till).await.status, 202);
}

#[tokio::test]
async fn api_keys_and_keys_by_url_are_taken_on_every_address_without_insecure() {
    let directory = directory();
    let file = directory.path().join("api-keys");
    let (key, line) = api_key(&["shop", "--publish", "topic:orders.*"]).await;
    std::fs::write(&file, &line).unwrap();
    assert!(!line.contains(key.split_once('.').unwrap().1), "{line}");
    let given = ["check-config", "--listen", "0.0.0.0:1", "--api-keys", file.to_str().unwrap()];
    assert_eq!(run(&given).await.code, Some(0));
    let without = run(&["check-config", "--listen", "0.0.0.0:1"]).await;
    assert!(without.code == Some(2) && without.stderr.contains("--token-keys"), "{without:?}");
    for (args, named) in [
        (["--token-secret", "short"], "32"),
        (["--token-keys", "/nowhere/keys.pem"], "/nowhere/keys.pem"),
        (["--token-keys", "http://id.example/jwks.json"], "https"),
        (["--api-keys", "/nowhere/api-keys"], "/nowhere/api-keys"),
        (["--token-issuer", "https://id"], "--token-keys or --token-secret"),
        (["--token-cookie", "a b"], "letters"),
    ] {
        let refused = run(&[&["check-config"], &args[..]].concat()).await;
        assert!(refused.code == Some(2) && refused.stderr.contains(named), "{args:?}: {refused:?}");
        assert!(!refused.stderr.contains("short"), "{refused:?}");
    }
    let node = Node::start(&["--api-keys", file.to_str().unwrap()]).await;
    let publish = |topic: &'static str| send(&node, (Method::POST, topic), &key, r#"{"data":1}"#);
    assert_eq!(publish("/api/sse/topics/orders.eu").await.status.as_u16(), 202);
    publish("/api/sse/topics/news").await.problem(403, "insufficient_scope");
    assert!(!node.said(&key));
}
