//! Servers that refuse everybody for good: the run ends at once, and says why; where waiting may help, it waits.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::harness::{bench, in_time};
use super::plain_server::{Manner, PlainServer};

fn unauthorized() -> Option<Response> {
    Some(StatusCode::UNAUTHORIZED.into_response())
}

fn no_content() -> Option<Response> {
    Some(StatusCode::NO_CONTENT.into_response())
}

fn page() -> Option<Response> {
    Some(([(header::CONTENT_TYPE, "text/html")], "<form action=login>").into_response())
}

/// An answer instead of a stream; `None`: a stream.
type Answer = fn() -> Option<Response>;

/// Each answer with the words that must be told.
const FINAL: [(Answer, [&str; 2]); 3] = [
    (unauthorized, ["status 401", "token or headers"]),
    (no_content, ["status 204", "not to come back"]),
    (page, ["not text/event-stream but text/html", "URL of a stream"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_final_answer_ends_the_run_at_once_with_the_reason() {
    for (answer, words) in FINAL {
        let server = PlainServer::start(Manner::refusing(answer)).await;
        // `fetch` would come back for ever, the others give up.
        for policy in ["tolerant", "browser", "fetch"] {
            let clients = format!("reconnect = {{ policy = \"{policy}\" }}");
            let ran = server.lab(&clients, "", "").run(&[]).await;
            assert_eq!(ran.code, Some(100), "{}\n{}", ran.stdout, ran.stderr);
            for word in words.iter().chain(&["6 of 6 clients were refused for good"]) {
                assert!(ran.stdout.contains(word), "{word:?} is not in {}", ran.stdout);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_say_why_their_clients_were_refused() {
    let server = PlainServer::start(Manner::refusing(unauthorized)).await;
    let ran = server.lab("", "", "").run(&["--workers", "2"]).await;
    assert_eq!(ran.code, Some(100), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("6 of 6 clients") && ran.stdout.contains("status 401"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_gave_up_ends_the_run_though_others_have_streams() {
    let server = PlainServer::start(Manner::honest()).await;
    let more = "[clients.lost]\nclients = 2\nreconnect = { policy = \"browser\" }\nheaders = { a = \"b\" }";
    let away = more.replace("[clients.lost]", "[clients.lost]\nnodes = [\"n2\"]");
    let other = PlainServer::start(Manner::refusing(unauthorized)).await;
    let both = server.lab("nodes = [\"n1\"]", "", &away);
    let text = std::fs::read_to_string(both.scenario()).unwrap();
    let attach = format!("attach = [\"{}\", \"{}\"]", server.base, other.base);
    let text = text.replace(&format!("attach = [\"{}\"]", server.base), &attach);
    std::fs::write(both.scenario(), text).unwrap();
    let ran = both.run(&[]).await;
    assert_eq!(ran.code, Some(100), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("2 of 8 clients were refused for good"), "{}", ran.stdout);
}

/// The first answers are those of a server that starts.
fn busy_at_first() -> Option<Response> {
    static ANSWERS: AtomicUsize = AtomicUsize::new(0);
    let is_busy = ANSWERS.fetch_add(1, Ordering::Relaxed) < 6;
    is_busy.then(|| StatusCode::SERVICE_UNAVAILABLE.into_response())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_at_first_is_waited_for_and_passes() {
    let server = PlainServer::start(Manner::refusing(busy_at_first)).await;
    let ran = server.lab("", "", "").run(&[]).await;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swarm_ends_at_once_too() {
    for (answer, words) in FINAL {
        let server = PlainServer::start(Manner::refusing(answer)).await;
        let url = format!("{}/events", server.base);
        for policy in ["tolerant", "fetch"] {
            let flags = ["swarm", &url, "-c", "3", "-z", "1s", "--reconnect", policy];
            let output = in_time(bench(&flags).output()).await;
            let text = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(100), "{text}");
            // Whoever comes back every second for fifteen of them has failed more often.
            let failed: Vec<u32> = text
                .split(", ")
                .filter_map(|part| part.strip_suffix(" failed connects")?.parse().ok())
                .collect();
            assert!(failed.len() == 1 && failed[0] < 15, "{text}");
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn https_where_nobody_speaks_it_is_told_at_once() {
    let server = PlainServer::start(Manner::honest()).await;
    let lab = server.lab("", "", "");
    let text = std::fs::read_to_string(lab.scenario()).unwrap().replace("http://", "https://");
    std::fs::write(lab.scenario(), text).unwrap();
    let ran = lab.run(&[]).await;
    assert_eq!(ran.code, Some(100), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("TLS with") && ran.stdout.contains("speaks https"), "{}", ran.stdout);
    let url = format!("{}/events", server.base.replace("http://", "https://"));
    let output = in_time(bench(&["swarm", &url, "-c", "2", "-z", "1s"]).output()).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(100) && text.contains("speaks https"), "{text}");
}
