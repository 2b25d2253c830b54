//! DIAGNOSIS says why: each cause is found at two servers that differ in stack or timing, and an honest one that comes near
//! stays silent.

use std::time::Duration;

use super::harness::{Lab, Ran, check_evidence};
use super::plain_server::{Manner, PlainServer};
use super::small_node::{Defect, SmallNode};
use super::street::{Framing, Ids, Street, Ways};

const SCENARIO: &str = r#"
schema = 1
name = "why"
seed = 7
duration = "DURATION"

[cluster]
attach = ["BASE"]

[dialect]
stream = "/events"
own_events = ["ping"]

[dialect.publish]
path = "/publish"

[clients.all]
clients = 6
reconnect = { policy = "browser", max_delay = "500ms" }

[publishers.main]
rate = 50
mix = { broadcast = 1 }
payload = 100

[verify]
delivery = "exactly-once"
quiesce = { idle = "1s", timeout = "4s" }

[thresholds]
generator_lag = ["p(99)<60s"]
"#;

pub(super) const STORM: &str = "\n[[faults]]\nat = \"1500ms\"\ntype = \"reconnect-storm\"\n";
const ORIGIN: &str = "--set=clients.all.headers={ Origin = \"http://shop.example\" }";
/// The end is quiet for longer than the server holds back.
const PATIENT: &str = "--set=verify.quiesce.idle=3s";
const SLOW: &str = "--set=publishers.main.rate=0.4";

/// Runs a server for so many seconds, with more of a scenario and more flags.
pub(super) async fn run(ways: Ways, seconds: u64, more: &str, flags: &[&str]) -> Ran {
    let street = Street::start(ways).await;
    judge(&SCENARIO.replace("BASE", &street.base), seconds, more, flags).await
}

/// Runs a node with one habit, as above.
pub(super) async fn run_node(habit: Defect, seconds: u64, more: &str, flags: &[&str]) -> Ran {
    let node = SmallNode::start(habit).await;
    let (before, dialect) = SCENARIO.split_once("[dialect]").unwrap();
    let (_, after) = dialect.split_once("[clients.all]").unwrap();
    let scenario = format!("{before}[clients.all]{after}");
    judge(&scenario.replace("BASE", &node.base), seconds, more, flags).await
}

async fn judge(scenario: &str, seconds: u64, more: &str, flags: &[&str]) -> Ran {
    let lab = Lab::new(&(scenario.replace("DURATION", &format!("{seconds}s")) + more));
    let ran = lab.run(flags).await;
    assert!(ran.report.is_object(), "no report\n{}\n{}", ran.stdout, ran.stderr);
    if ran.code != Some(100) {
        let text = std::fs::read_to_string(lab.out().join("report.txt")).unwrap();
        assert!(text.lines().count() <= 30, "{text}");
        check_evidence(&lab, &ran).await;
    }
    ran
}

pub(super) fn causes(ran: &Ran) -> Vec<&str> {
    let findings = ran.report["diagnosis"].as_array().unwrap_or_else(|| panic!("no report\n{}", ran.stdout));
    findings.iter().filter_map(|finding| finding["cause"].as_str()).collect()
}

/// The cause is the first that is named, in words, with a figure and a remedy.
#[track_caller]
pub(super) fn assert_first(ran: &Ran, cause: &str, words: &str) {
    assert_eq!(causes(ran).first(), Some(&cause), "{}\n{}", ran.stdout, ran.stderr);
    let finding = &ran.report["diagnosis"][0];
    let text = |key: &str| finding[key].as_str().unwrap();
    assert!(text("what").contains(words), "{words:?} is not in {finding:#}");
    assert!(
        text("evidence").contains(|c: char| c.is_ascii_digit()) && !text("remedy").is_empty(),
        "{finding:#}"
    );
    assert!(ran.stdout.contains("DIAGNOSIS"), "{}", ran.stdout);
}

#[track_caller]
pub(super) fn assert_silent(ran: &Ran, cause: &str) {
    assert!(!causes(ran).contains(&cause), "{}\n{}", ran.stdout, ran.report["diagnosis"]);
}

pub(super) fn ms(ms: u64) -> Option<Duration> {
    Some(Duration::from_millis(ms))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_server_has_no_diagnosis() {
    let ways = Ways { hello: "retry: 2000\n\n", ending: "\r\n\r\n", ..Ways::default() };
    let ran = run(ways, 4, STORM, &[]).await;
    assert_eq!((ran.code, causes(&ran)), (Some(0), Vec::new()), "{}", ran.stdout);
    assert!(!ran.stdout.contains("DIAGNOSIS"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_ids_cannot_be_resumed() {
    let none = Ways { ids: Ids::None, ..Ways::default() };
    let close = Ways { framing: Framing::Close, ..none };
    let at_most_once = ["--set=verify.delivery=at-most-once"];
    let (lost, lucky, promised) =
        tokio::join!(run(none, 4, STORM, &[]), run(close, 3, "", &[]), run(none, 4, STORM, &at_most_once));
    assert_first(&lost, "no_ids", "nothing can be resumed");
    assert_eq!(causes(&lost), ["no_ids"], "it explains the loss");
    assert_first(&lucky, "no_ids", "nothing can be resumed");
    assert_eq!(lucky.code, Some(0), "a finding is no verdict");
    assert_silent(&promised, "no_ids");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_repeat_or_go_back_are_told_and_random_ones_are_not() {
    let with = |ids| run(Ways { ids, ..Ways::default() }, 3, "", &[]);
    let (repeating, falling, random) =
        tokio::join!(with(Ids::Repeating(10)), with(Ids::Falling(15)), with(Ids::Random));
    assert_first(&repeating, "ids_go_back", "Ids repeat");
    assert_first(&falling, "ids_go_back", "Ids go back");
    assert_silent(&random, "ids_go_back");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_held_back_are_bursts_and_a_short_batch_is_none() {
    let timer = Ways { flushed_every: ms(1_500), ..Ways::default() };
    let buffer = Ways { flushed_at: 8_192, framing: Framing::Close, ..Ways::default() };
    let batch = Ways { flushed_every: ms(150), ..Ways::default() };
    let (timer, buffer, batch) =
        tokio::join!(run(timer, 9, "", &[PATIENT]), run(buffer, 6, "", &[]), run(batch, 6, "", &[]));
    assert_first(&timer, "held_back", "held back 1.");
    assert_eq!(timer.code, Some(0), "no threshold asks for more: {}", timer.stdout);
    assert!(causes(&buffer).contains(&"held_back"), "{}", buffer.stdout);
    assert_silent(&batch, "held_back");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_end_after_a_silence_or_at_an_age_are_told_apart() {
    let silent = Ways { ends_after_silence: ms(1_200), ..Ways::default() };
    let longer = Ways { ends_after_silence: ms(2_000), framing: Framing::Close, ..Ways::default() };
    let beats = Ways { ends_after_silence: ms(1_200), heartbeat: ms(700), ..Ways::default() };
    let (silent, longer, beats) =
        tokio::join!(run(silent, 7, "", &[SLOW]), run(longer, 9, "", &[SLOW]), run(beats, 7, "", &[SLOW]));
    assert_first(&silent, "silence_limit", "after 1.2");
    assert_first(&longer, "silence_limit", "after 2.0");
    assert_silent(&beats, "silence_limit");
    let aged = Ways { ends_at: ms(1_500), ..Ways::default() };
    let older = Ways { ends_at: ms(2_500), framing: Framing::Close, ..Ways::default() };
    let (aged, older, cut) =
        tokio::join!(run(aged, 6, "", &[]), run(older, 9, "", &[]), run(Ways::default(), 4, STORM, &[]));
    assert_first(&aged, "age_limit", "exactly 1.5");
    assert_first(&older, "age_limit", "exactly 2.5");
    assert_silent(&cut, "age_limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_its_blank_line_is_told() {
    let never = Ways { ending: "\n", ..Ways::default() };
    let joined = Ways { ending: "\n", heartbeat: ms(300), ..Ways::default() };
    let rare = ["--set=publishers.main.rate=5", "--set=publishers.main.arrival=poisson"];
    let honest = Ways { ends_at: ms(1_000), goodbye: ": bye\nretry: 500\n", ..Ways::default() };
    let (never, joined, honest) =
        tokio::join!(run(never, 3, "", &[]), run(joined, 4, "", &rare), run(honest, 3, "", &[]));
    assert_first(&never, "no_blank_line", "blank line");
    assert!(causes(&joined).contains(&"no_blank_line"), "{}\n{}", joined.stdout, joined.report["diagnosis"]);
    // No event is lost with a comment or a retry: at the end.
    assert_silent(&honest, "no_blank_line");
    assert_silent(&honest, "http10");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_that_looks_like_an_end_is_told() {
    let old = Ways { framing: Framing::Old, ..Ways::default() };
    let broken = Ways { breaks_at: 40, ..Ways::default() };
    let close = Ways { framing: Framing::Close, ..Ways::default() };
    let (old, broken, close) =
        tokio::join!(run(old, 3, "", &[]), run(broken, 4, "", &[]), run(close, 3, "", &[]));
    assert_first(&old, "http10", "HTTP/1.0");
    assert_first(&broken, "http10", "an abort looks like an end");
    assert_silent(&close, "http10");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_keep_the_page_of_another_origin_out_are_told() {
    let with = |headers| run(Ways { headers, ..Ways::default() }, 2, "", &[ORIGIN]);
    let (missing, twice, right) = tokio::join!(
        with(""),
        with("Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Origin: http://shop.example\r\n"),
        with("Access-Control-Allow-Origin: http://shop.example\r\n"),
    );
    assert_first(&missing, "cors", "CORS would keep a browser out");
    assert_first(&twice, "cors", "CORS would keep a browser out");
    assert_silent(&right, "cors");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_502_after_which_browsers_stay_away_is_told() {
    let bad = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.27\r\nContent-Length: 0\r\n\r\n";
    let ways = Ways { ends_at: ms(1_000), refuses: Some((6, bad)), ..Ways::default() };
    let busy = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    let busy = Ways { refuses: Some((12, busy)), framing: Framing::Close, ..ways };
    // Clients that are no browsers come back after a while, or where a 200 says so; a server that drains may send both.
    let waits = Ways { refuses: busy.refuses, serves_from: 18, ..ways };
    let soft =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 12\r\n\r\nretry: 200\n\n";
    let soft = Ways { refuses: Some((6, soft)), serves_from: 12, ..ways };
    let tolerant = ["--set=clients.all.reconnect={ policy = \"tolerant\", max_delay = \"500ms\" }"];
    let (bad, busy, waits, soft) = tokio::join!(
        run(ways, 3, "", &[]),
        run(busy, 4, "", &[]),
        run(waits, 4, "", &tolerant),
        run(soft, 4, "", &[])
    );
    assert_silent(&waits, "server_error");
    assert_silent(&soft, "server_error");
    assert_first(&bad, "server_error", "502, after which a browser stays away for good");
    assert!(
        bad.report["diagnosis"][0]["evidence"].as_str().unwrap().starts_with("nginx/1.27"),
        "{}",
        bad.stdout
    );
    assert_first(&busy, "server_error", "503");
}

/// These servers let nobody in: the reason stands where the run says that it could not start, and in its files.
#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_all_clients_out_is_told_before_the_start() {
    let refuses = |answer| Ways { refuses: Some((0, answer)), ..Ways::default() };
    let login = refuses("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n");
    let other = refuses("HTTP/1.1 307 Temporary Redirect\r\nLocation: /account\r\nContent-Length: 0\r\n\r\n");
    let moved =
        refuses("HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
    let holds = Ways { holds_the_head: true, ..Ways::default() };
    let close = Ways { framing: Framing::Close, ..holds };
    let (login, other, moved, holds, close) = tokio::join!(
        run(login, 2, "", &[]),
        run(other, 2, "", &[]),
        run(moved, 2, "", &[]),
        run(holds, 2, "", &[]),
        run(close, 2, "", &[]),
    );
    for (ran, cause, words) in [
        (&login, "login_redirect", "redirected to a page, most likely a login"),
        (&other, "login_redirect", "redirected to a page, most likely a login"),
        (&holds, "no_head", "no head of a response within 10.0s: something buffers it until the first event"),
        (&close, "no_head", "no head of a response within 10.0s"),
    ] {
        assert_eq!((ran.code, causes(ran)), (Some(100), vec![cause, "cluster"]), "{}", ran.stdout);
        assert!(
            ran.report["diagnosis"][1]["evidence"].as_str().unwrap().contains("of 6 clients"),
            "{}",
            ran.report
        );
        assert_eq!(ran.report["summary"]["verdict"], "ERROR", "{}", ran.report);
        assert!(ran.stdout.contains(words), "{words:?} is not in\n{}", ran.stdout);
    }
    assert_eq!((moved.code, causes(&moved)), (Some(0), Vec::new()), "{}", moved.stdout);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make full"]
async fn a_head_that_comes_just_in_time_is_none_that_is_missing() {
    let late = |framing| Ways { head_after: Some(Duration::from_secs(8)), framing, ..Ways::default() };
    let (late, close) =
        tokio::join!(run(late(Framing::Chunked), 2, "", &[]), run(late(Framing::Close), 2, "", &[]));
    assert_eq!((late.code, causes(&late)), (Some(0), Vec::new()), "{}", late.stdout);
    assert_eq!((close.code, causes(&close)), (Some(0), Vec::new()), "{}", close.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_streams_that_are_never_flushed_are_told_with_their_encoding() {
    let brotli = Ways { is_brotli: true, ..Ways::default() };
    let held = Ways { flushed_at: 1 << 20, ..brotli };
    let gzip = PlainServer::start(Manner { gzip: Some(usize::MAX), ..Manner::honest() }).await;
    let gzip = gzip.lab("", "", "");
    let identity = ["--set=clients.all.accept_encoding=identity"];
    let (held, gzip, flushed, plain) = tokio::join!(
        run(held, 2, "", &[]),
        gzip.run(&[]),
        run(brotli, 2, "", &[]),
        run(Ways::default(), 2, "", &identity),
    );
    assert_first(&held, "compressed", "compressed (br), and the compressor holds all events back");
    assert_first(&gzip, "compressed", "compressed (gzip), and the compressor holds all events back");
    for ran in [&held, &gzip] {
        assert_eq!((ran.code, causes(ran)), (Some(120), vec!["compressed"]), "{}", ran.stdout);
    }
    for ran in [&flushed, &plain] {
        assert_eq!((ran.code, causes(ran)), (Some(0), Vec::new()), "{}", ran.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make full"]
async fn a_compressor_that_is_flushed_now_and_then_is_told_with_its_time() {
    let timer = Ways { is_brotli: true, flushed_every: ms(1_500), ..Ways::default() };
    let gzip = PlainServer::start(Manner { gzip: Some(40), ..Manner::honest() }).await;
    let gzip = gzip.lab("", "", "");
    let batch = Ways { flushed_every: ms(150), ..timer };
    let (timer, gzip, batch) =
        tokio::join!(run(timer, 9, "", &[PATIENT]), gzip.run(&["--set=duration=9s"]), run(batch, 6, "", &[]));
    assert_first(&timer, "compressed", "compressed (br), and the compressor holds events back: 1.");
    assert!(causes(&gzip).contains(&"compressed"), "{}\n{}", gzip.stdout, gzip.report["diagnosis"]);
    assert_silent(&batch, "compressed");
}
