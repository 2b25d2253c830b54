//! Streams that stay open and fall silent for ever are no riddle: their clients connect again at the quiet end.

use super::odd_server::{Delivery, OddServer, acquitted, convicted, diagnosed, honest};

/// Streams of the run: the first ones, and those after the reconnect storm.
const STREAMS: usize = 24;

/// Some streams of the run are silent after a position.
fn falls_silent(event: &Delivery<'_>, one_of: usize, after: usize) -> String {
    let is_silent = event.stream <= STREAMS && event.stream.is_multiple_of(one_of) && event.id > after;
    if is_silent { String::new() } else { honest(event) }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_silent_for_ever_are_stalled_and_what_they_lacked_comes_on_the_next() {
    let many = OddServer::start(|event| falls_silent(event, 2, 200)).await;
    let ran = many.judge(&["verify.probes=false"]).await;
    convicted(&ran, &["stalled stream"], "one of 2");
    diagnosed(&ran, "Streams stay open and send nothing more", &["streams stayed open", "at everybody-"]);
    let summary = &ran.report["summary"];
    assert_eq!(summary["events_ok"], summary["events_expected"], "{summary:#}");
    // The last one of the run, which a worker has.
    let one = OddServer::start(|event| falls_silent(event, STREAMS, 290)).await;
    convicted(
        &one.judge_with(&["verify.probes=false"], &["--workers", "2"]).await,
        &["stalled stream"],
        "one",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cannot_resume_sees_that_the_server_still_sends() {
    let server = OddServer::start(|event| falls_silent(event, 2, 200)).await;
    let set = ["dialect.resume=no", "verify.delivery=at-most-once"];
    convicted(&server.judge(&set).await, &["lost", "stalled stream"], "at most once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_on_no_stream_is_lost() {
    let server = OddServer::start(|event| if event.id > 200 { String::new() } else { honest(event) }).await;
    convicted(&server.judge(&[]).await, &["lost"], "for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_alone_that_is_missing_is_no_stalled_stream() {
    let server = OddServer::start(|event| {
        let is_sentinel = event.data.contains("\"pub\":65535,") && event.data.contains("\"seq\":1,");
        if is_sentinel && event.stream.is_multiple_of(3) { String::new() } else { honest(event) }
    });
    acquitted(&server.await.judge(&["verify.probes=false"]).await, "the first sentinel");
}
