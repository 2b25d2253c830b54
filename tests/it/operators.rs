//! What is for operators and nodes alone: an address of its own, and client certificates.

use reqwest::{Method, Version};
use serde_json::json;

use crate::support::{
    Answer, Node, Subscriber, TLS, api_key, closing, directory, https, payload, run, within,
};

/// Certificate and key in one file, as an operator has them; the node trusts the one that signed the first.
const OWN: [&str; 2] = [include_str!("../tls/cert.pem"), include_str!("../tls/key.pem")];
const STRANGER: &str = include_str!("../tls/other.pem");
const OPERATORS_PATHS: [(Method, &str); 6] = [
    (Method::GET, "/metrics"),
    (Method::GET, "/api/sse/connections"),
    (Method::GET, "/api/sse/servers"),
    (Method::GET, "/api/sse/metrics"),
    (Method::GET, "/admin/drain"),
    (Method::DELETE, "/admin/drain"),
];

#[tokio::test]
async fn operators_and_nodes_need_a_certificate_and_others_do_not() {
    let directory = directory();
    let file = directory.path().join("api-keys");
    let (operator, first) = api_key(&["ops", "--roles", "operate"]).await;
    let (user, second) = api_key(&["shop", "--roles", "read,publish"]).await;
    std::fs::write(&file, [first, second].join("\n")).unwrap();
    let keys = ["--api-keys", file.to_str().unwrap(), "--tls-client-ca", TLS[1]];
    let args = [&TLS[..], &keys].concat();
    // The node is asked whether it is ready by somebody without a certificate.
    let mut node = Node::start(&args).await;
    let ask = async |node: &Node, (method, path): (Method, &str), token: &str| -> Answer {
        let request = node.http().request(method, node.url(path));
        node.answer(if token.is_empty() { request } else { request.bearer_auth(token) }).await
    };
    for version in [Version::HTTP_11, Version::HTTP_2] {
        node.speak_with(https(None, version));
        for path in OPERATORS_PATHS {
            let refused = ask(&node, path.clone(), &operator).await;
            refused.problem(403, "forbidden");
        }
        let of_nodes = (Method::GET, "/cluster/connections");
        assert!(ask(&node, of_nodes.clone(), "").await.body.contains("--tls-client-ca"));

        node.speak_with(https(Some(&OWN.concat()), version));
        for path in OPERATORS_PATHS {
            assert_eq!(ask(&node, path.clone(), "").await.status, 200, "{path:?}");
        }
        // A certificate makes an operator and nothing else: it does not read or publish, and signs for no node.
        ask(&node, (Method::GET, "/api/sse/history"), "").await.problem(401, "unauthenticated");
        ask(&node, (Method::POST, "/api/sse/topics/t"), "").await.problem(401, "unauthenticated");

        node.speak_with(https(None, version));
        assert_eq!(node.get("/health").await.status, 200);
        let authorization = format!("Bearer {user}");
        let mut stream = Subscriber::headers(&node, "topics=t", &[("authorization", &authorization)]).await;
        let body = json!({ "data": 1 }).to_string();
        let publish = node.http().post(node.url("/api/sse/topics/t")).bearer_auth(&user).body(body);
        assert_eq!(node.answer(publish).await.status, 202);
        assert_eq!(payload(&stream.event().await), 1, "{version:?}");
    }
    let stranger = https(Some(STRANGER), Version::HTTP_2);
    within("the end of a handshake", stranger.get(node.url("/health")).send()).await.unwrap_err();
}

#[tokio::test]
async fn operators_paths_are_on_their_own_address_only() {
    let mut node = Node::start(&["--operator-listen", "127.0.0.1:0"]).await;
    let own = node.logged("the paths of operators are on ").await;
    let at_own = async |node: &Node, method: Method, path: &str| {
        node.answer(node.http().request(method, format!("{own}{path}"))).await
    };
    for (method, path) in OPERATORS_PATHS {
        let refused = node.send(method.clone(), path, "").await;
        assert!(refused.problem(404, "not_found").contains("no such path"), "{path}");
        assert_eq!(at_own(&node, method, path).await.status, 200, "{path}");
    }
    // A drain is begun there, and holds for the streams of the other address.
    let mut stream = Subscriber::open(&node, "topics=t").await;
    node.publish("topics/t", &json!({ "data": 1 })).await;
    assert_eq!(payload(&stream.event().await), 1);
    assert_eq!(at_own(&node, Method::GET, "/health").await.status, 200);
    node.post("/admin/drain", r#"{"over":"0s"}"#).await.problem(404, "not_found");
    let drain = node.http().post(format!("{own}/admin/drain")).body(r#"{"over":"0s"}"#);
    assert_eq!(node.answer(drain).await.status, 202);
    let (events, _) = stream.rest().await;
    closing(events.last().unwrap(), 3001);
    node.term();
    assert!(node.exit().await.success());
}

#[tokio::test]
async fn settings_that_protect_nothing_are_refused() {
    for (args, words) in [
        (&["--tls-client-ca", TLS[1]][..], "it needs --tls-certificate"),
        (&["--tls-certificate", TLS[1], "--tls-key", TLS[3], "--tls-client-ca", TLS[3]], "no certificate"),
        (
            &[
                "--tls-certificate",
                TLS[1],
                "--tls-key",
                TLS[3],
                "--tls-client-ca",
                TLS[1],
                "--broker",
                "redis://h",
            ],
            "it needs --peer-ca",
        ),
        (&["--operator-listen", "0.0.0.0:9090"], "--insecure"),
        (&["--operator-listen", "somewhere"], "127.0.0.1:8080"),
    ] {
        let ended = run(&[&["check-config"], args].concat()).await;
        assert!(ended.code == Some(2) || ended.code == Some(78), "{ended:?}");
        assert!(ended.stderr.contains(words), "{ended:?}");
    }
}
