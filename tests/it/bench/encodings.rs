//! A server that compresses whoever asks as browsers ask: its streams are read, the report names the encoding, and runs
//! with and without it are not compared.

use serde_json::Value;

use super::harness::{Ran, bench, check_evidence, in_time};
use super::plain_server::{Manner, PlainServer};

/// The detail of a check; `None`: the report has none of this name.
fn detail<'a>(ran: &'a Ran, name: &str) -> Option<&'a str> {
    let checks = ran.report["verdict"]["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).and_then(|check| check["detail"].as_str())
}

fn counter(ran: &Ran, key: &str) -> u64 {
    let counters = ran.report["counters"].as_array().unwrap();
    let found = counters.iter().find(|counter| counter["key"] == key);
    found.and_then(|counter| counter["count"].as_u64()).unwrap_or(0)
}

async fn packing(every: usize) -> PlainServer {
    PlainServer::start(Manner { gzip: Some(every), ..Manner::honest() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_compresses_and_flushes_is_delivered_and_named() {
    let server = packing(1).await;
    for (clients, more) in [
        ("", &[][..]),
        ("decoder = \"eventsource-stream\"", &[]),
        ("read = { rcvbuf = 8192 }", &[]),
        ("accept_encoding = \"br, gzip\"", &["--workers", "2"]),
    ] {
        let lab = server.lab(clients, "", "");
        let ran = lab.run(more).await;
        assert_eq!(ran.code, Some(0), "{clients}: {}\n{}", ran.stdout, ran.stderr);
        assert!(ran.report["summary"]["events_ok"].as_u64() > Some(500), "{}", ran.stdout);
        let told = detail(&ran, "compressed").unwrap_or_else(|| panic!("{}", ran.stdout));
        assert!(told.contains("all came as gzip (6 streams)") && told.contains("(median)"), "{told}");
        assert_eq!(counter(&ran, "streams_gzip"), 6, "{}", ran.stdout);
        check_evidence(&lab, &ran).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_a_compressor_holds_back_are_told_with_their_time() {
    // Without a flush at the end the last events never come, which is a matter of its own.
    let ran = packing(20).await.lab("", "", "").run(&[]).await;
    let told = detail(&ran, "compressed").unwrap_or_else(|| panic!("{}", ran.stdout));
    // At the quiet end, clients that lack the last event connect once more.
    assert!(told.contains("came as gzip (") && told.contains("ms (median)"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_with_and_without_compression_are_not_compared() {
    let server = packing(1).await;
    let (packed, plain) = (server.lab("", "", ""), server.lab("accept_encoding = \"identity\"", "", ""));
    let ran = packed.run(&[]).await;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    let ran = plain.run(&[]).await;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!((detail(&ran, "compressed"), counter(&ran, "streams_gzip")), (None, 0), "{}", ran.stdout);
    let compared = async |base: &std::path::Path, new: &std::path::Path| {
        let output = in_time(bench(&["compare"]).arg(base).arg(new).output()).await;
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = compared(&plain.out(), &packed.out()).await;
    assert!(
        code == Some(121)
            && text.contains("were not compressed, those of the new run were compressed with gzip"),
        "{text}"
    );
    let (code, text) = compared(&packed.out(), &packed.out()).await;
    assert!(code == Some(0) && !text.contains("not comparable"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swarm_names_the_encoding_and_can_ask_for_none() {
    let server = packing(1).await;
    let url = format!("{}/events", server.base);
    for (more, streams) in [(&[][..], Some(3)), (&["--accept-encoding", "identity"], None)] {
        let flags = ["swarm", &url, "-c", "3", "-z", "100ms", "--format", "json"];
        let output = in_time(bench(&flags).args(more).output()).await;
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["connected"], 3, "{summary:#}");
        assert_eq!(summary["encodings"]["gzip"].as_u64(), streams, "{summary:#}");
    }
    let refused = in_time(bench(&["swarm", &url, "--accept-encoding", "lzma"]).output()).await;
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && text.contains("gzip, deflate, br, zstd"), "{text}");
}
