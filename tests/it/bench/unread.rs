//! Streams that the bench or its clients cannot read: what is too long for it, wrapped otherwise than the scenario says,
//! a welcome, and what programs with the crate eventsource-stream misread. Each is called by its name, and the honest
//! twin passes.

use super::harness::{Lab, Ran, bench, check_evidence, in_time};
use super::plain_server::{Frame, Manner, PlainServer};

fn detail<'a>(ran: &'a Ran, name: &str) -> Option<&'a str> {
    let checks =
        ran.report["verdict"]["checks"].as_array().unwrap_or_else(|| panic!("{}{}", ran.stdout, ran.stderr));
    checks.iter().find(|check| check["name"] == name).and_then(|check| check["detail"].as_str())
}

/// Runs, and judges the stored evidence again.
async fn run(lab: &Lab, more: &[&str], code: i32) -> Ran {
    let ran = lab.run(more).await;
    assert_eq!(ran.code, Some(code), "{}\n{}", ran.stdout, ran.stderr);
    check_evidence(lab, &ran).await;
    ran
}

#[track_caller]
fn assert_told(ran: &Ran, words: &[&str]) {
    words.iter().for_each(|word| assert!(ran.stdout.contains(word), "{word:?} is not in {}", ran.stdout));
}

/// A first event of this many bytes of data in so many lines.
fn snapshot(bytes: usize, lines: usize) -> Vec<u8> {
    let line = format!("data: {}\n", "x".repeat(bytes / lines));
    format!("event: state\n{}\n", line.repeat(lines)).into_bytes()
}

const OWN_STATE: &str = "own_events = [\"state\"]";

#[tokio::test(flavor = "multi_thread")]
async fn large_events_are_read_and_judged() {
    for (bytes, lines) in [(1_500_000, 1), (5_200_000, 80)] {
        let server = PlainServer::start(Manner::greeting(snapshot(bytes, lines))).await;
        run(&server.lab("", OWN_STATE, ""), &[], 0).await;
    }
    let server = PlainServer::start(Manner::honest()).await;
    let large = ["-s", "publishers.main.payload=1048576", "-s", "publishers.main.rate=3"];
    let ran = run(&server.lab("", "", ""), &large, 0).await;
    assert!(ran.report["summary"]["events_ok"].as_u64() > Some(6), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_bench_makes_the_run_invalid_and_is_named() {
    for (bytes, lines) in [(150_000, 1), (150_000, 80)] {
        let server = PlainServer::start(Manner::greeting(snapshot(bytes, lines))).await;
        let lab = server.lab("max_event = 100_000", OWN_STATE, "");
        for workers in ["1", "2"] {
            let ran = run(&lab, &["--workers", workers], 122).await;
            assert_told(&ran, &["bench's own limit", "6 streams", "100000 bytes", "clients.all.max_event"]);
        }
        let url = format!("{}/events", server.base);
        for (limit, code, is_told) in [("100000", 122, true), ("200000", 0, false)] {
            let flags = ["swarm", &url, "-c", "2", "-z", "200ms", "--max-event", limit];
            let output = in_time(bench(&flags).output()).await;
            let text = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(code), "{text}");
            assert_eq!(text.contains("own limit was reached: 2 streams"), is_told, "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapped_payload_is_found_with_the_key_to_write() {
    let frame = |number, payload: &str| {
        format!("id: {number}\ndata: {{\"type\":\"news\",\"data\":{{\"body\":{payload}}}}}\n\n").into_bytes()
    };
    let server = PlainServer::start(Manner { frame, ..Manner::honest() }).await;
    let ran = run(&server.lab("", "", ""), &["--workers", "2"], 122).await;
    assert_told(&ran, &["dialect.payload = \"/data/body\"", "{\"type\":\"news\""]);
    let ran = run(&server.lab("", "payload = \"/elsewhere\"", ""), &[], 122).await;
    assert_told(&ran, &["at /elsewhere", "dialect.payload = \"/data/body\""]);
    run(&server.lab("", "payload = \"/data/body\"", ""), &[], 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_welcome_is_the_servers_own_and_gossip_is_not() {
    for (hello, kind) in [("data: welcome\n\n", "message"), ("event: hello\ndata: {\"you\":1}\n\n", "hello")]
    {
        let server = PlainServer::start(Manner::greeting(hello)).await;
        let ran = run(&server.lab("", "", ""), &[], 0).await;
        let told = detail(&ran, "own message").unwrap_or_else(|| panic!("{}", ran.stdout));
        let key = format!("dialect.own_events = [\"{kind}\"]");
        assert!(told.starts_with("6 streams of all") && told.contains(&key), "{told}");
        let ran = run(&server.lab("", &format!("own_events = [\"{kind}\"]"), ""), &[], 0).await;
        assert_eq!(detail(&ran, "own message"), None, "{}", ran.stdout);
    }
    let frame = |number, payload: &str| {
        let gossip = if number == 10 { "data: gossip\n\n" } else { "" };
        format!("{gossip}id: {number}\ndata: {payload}\n\n").into_bytes()
    };
    let server = PlainServer::start(Manner { frame, ..Manner::honest() }).await;
    let ran = run(&server.lab("", "", ""), &[], 120).await;
    assert!(detail(&ran, "unknown message").is_some_and(|told| told.contains("gossip")), "{}", ran.stdout);
    assert_told(&ran, &["never published"]);
}

const CRATE: &str = "decoder = \"eventsource-stream\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_order_mark_crashes_clients_on_the_crate_and_no_others() {
    let server = PlainServer::start(Manner::greeting(&b"\xef\xbb\xbf: hi\n\n"[..])).await;
    for more in [&[][..], &["--workers", "2"]] {
        let ran = run(&server.lab(CRATE, "", ""), more, 120).await;
        let failed = ran.report["summary"]["failed"].as_array().unwrap();
        assert!(failed.iter().any(|name| name == "client crash"), "{}", ran.stdout);
        assert_told(&ran, &["byte order mark (EF BB BF)", "6 streams of all", "eventsource-stream"]);
        for word in ["panicked", "backtrace"] {
            assert!(
                !ran.stderr.contains(word) && !ran.stdout.contains(word),
                "{}\n{}",
                ran.stdout,
                ran.stderr
            );
        }
    }
    run(&server.lab("", "", ""), &[], 0).await;
    let both = format!("[clients.more]\nclients = 2\n{CRATE}");
    let ran = run(&server.lab("", "", &both), &[], 120).await;
    assert!(ran.report["summary"]["events_ok"].as_u64() > Some(300), "the others are judged: {}", ran.stdout);
    assert_told(&ran, &["2 streams of more"]);
    let honest = PlainServer::start(Manner::honest()).await;
    let ran = run(&honest.lab(CRATE, "", ""), &[], 0).await;
    assert_eq!(
        (detail(&ran, "client crash"), detail(&ran, "client misreads")),
        (None, None),
        "{}",
        ran.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_else_the_crate_misreads_is_told() {
    let cr = |number, payload: &str| format!("id: {number}\rdata: {payload}\r\r").into_bytes();
    let alone =
        |number, payload: &str| format!("id: {number}\ndata: {payload}\n\nid: {number}-end\n\n").into_bytes();
    let latin = |number, payload: &str| {
        [b": caf\xe9\n".to_vec(), format!("id: {number}\ndata: {payload}\n\n").into_bytes()].concat()
    };
    let cases: [(Frame, &str); 3] =
        [(cr, "ends with CR"), (alone, "forget the last event id"), (latin, "not UTF-8")];
    for (frame, words) in cases {
        let server = PlainServer::start(Manner { frame, ..Manner::honest() }).await;
        let lab = server.lab(CRATE, "", "");
        let ran = lab.run(&[]).await;
        let told = detail(&ran, "client misreads").unwrap_or_else(|| panic!("{}", ran.stdout));
        assert!(told.contains(words), "{told}");
        check_evidence(&lab, &ran).await;
        let ran = run(&server.lab("", "", ""), &[], 0).await;
        assert_eq!(detail(&ran, "client misreads"), None, "{}", ran.stdout);
    }
}
