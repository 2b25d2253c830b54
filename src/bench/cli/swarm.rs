//! `swarm`: clients on one URL of any SSE server, without a scenario.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use clap::{Args, ValueEnum};
use reqwest::header::{HeaderName, HeaderValue};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::output;
use super::shared::Format;
use super::tls::Trusted;
use super::values::{duration, no_credentials, stream_url};
use crate::bench::exit::Exit;
use crate::bench::load::adhoc::Owed;
use crate::bench::load::adhoc_swarm::{AdhocOptions, AdhocResult, AdhocSwarm};
use crate::bench::metrics::metric::{Counter, Trend};
use crate::bench::metrics::recorder::Recorder;
use crate::bench::run::doctor::{self, Limits, Need};
use crate::bench::scenario::{ReconnectPolicy, Template};
use crate::client::{BROWSERS_ACCEPT, Coding};
use crate::runtime::exit::Failure;

/// Flags of `swarm`.
#[derive(Debug, Args)]
pub(super) struct SwarmArgs {
    /// URL of the stream, or base URL of a node, to which `/api/sse/stream` is appended.
    /// `{i}` stands for the client's number.
    #[arg(value_parser = no_credentials(stream_url))]
    pub url: String,

    /// Number of clients.
    #[arg(short = 'c', long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub clients: u32,

    /// How long to listen after all clients have connected.
    #[arg(short = 'z', long, default_value = "60s", value_parser = duration)]
    pub duration: Duration,

    /// Spread the first connects over this time.
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub ramp: Duration,

    /// Header of every connect, as in `-H 'Authorization: Bearer …'`. May be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,

    /// What the clients send as Accept-Encoding. Streams that come as gzip, deflate, br or zstd are decoded.
    #[arg(long, value_name = "LIST", default_value = BROWSERS_ACCEPT, value_parser = Coding::accept)]
    pub accept_encoding: String,

    /// Longest line and most data of one event, in bytes. A longer one is a limit of the swarm, not of the server:
    /// INVALID (122). By default 16 MiB.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1_024..))]
    pub max_event: Option<u64>,

    #[command(flatten)]
    pub trusted: Trusted,

    /// How clients reconnect when a stream ends.
    #[arg(long, value_enum, default_value = "tolerant")]
    pub reconnect: ReconnectAs,

    /// Judge the delivery. The exit code is 0 if every client got every event of each `sse-bench publish` once
    /// and in order. It is 120 if not, and 121 if a publisher does not end. Start the swarm before the publishers.
    /// The swarm ends as soon as the result is known.
    #[arg(long)]
    pub expect_all: bool,

    /// With --expect-all: number of publishers to wait for.
    #[arg(long, default_value_t = 1, requires = "expect_all", value_parser = clap::value_parser!(u32).range(1..))]
    pub publishers: u32,

    /// Format of the summary.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// How a client reconnects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReconnectAs {
    /// As EventSource in a browser: a status other than 200 is final.
    Browser,
    /// As a library on top of fetch: after every failure; a stream that the server ends properly is final.
    Fetch,
    /// After the end of a stream, and after 5xx, 408, 425 and 429; other statuses are final.
    Tolerant,
    /// A client whose stream ends stays away.
    None,
}

/// Clients must connect within this, plus the ramp, plus a millisecond for each client.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Time between two progress lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The summary that `--format json` prints. Times in milliseconds.
#[derive(Debug, Serialize)]
struct Summary {
    verdict: String,
    exit_code: u8,
    clients: u32,
    connected: u32,
    connected_at_end: u64,
    connect_errors: u64,
    reconnects: u64,
    events: u64,
    bytes: u64,
    /// Streams that came encoded, by the name of the encoding.
    encodings: BTreeMap<&'static str, u64>,
    ids: bool,
    gaps: u64,
    closes: u64,
    publishers_ended: u32,
    expected: u64,
    ok: u64,
    missing: u64,
    duplicated: u64,
    reordered: u64,
    unexpected: u64,
    altered: u64,
    incomplete_clients: u32,
    connect_time_p99_ms: Option<f64>,
    delivery_latency_p50_ms: Option<f64>,
    delivery_latency_p99_ms: Option<f64>,
    delivery_latency_max_ms: Option<f64>,
}

pub(super) async fn run(args: &SwarmArgs, quiet: bool, interrupt: &CancellationToken) -> Result<u8, Failure> {
    let headers = headers(&args.headers)?;
    let need = Need { clients: u64::from(args.clients), publishes: 0, nodes: 1, workers: 0, proxied: false };
    let files = doctor::open_files(&Limits::read(), need, "fewer --clients");
    if let Some(fix) = files.fix {
        let problem = format!("the limit of {} is {}", files.what, files.found);
        return Err(Failure::new(Exit::BadScenario.code(), problem).tip(fix));
    }
    let options = AdhocOptions {
        url: args.url.clone(),
        clients: args.clients,
        ramp: args.ramp,
        headers,
        accept_encoding: args.accept_encoding.clone(),
        max_event: args.max_event,
        policy: policy(args.reconnect),
        publishers: if args.expect_all { args.publishers } else { 0 },
    };
    let swarm = AdhocSwarm::start(options, &args.trusted.http()?)
        .map_err(|error| Failure::new(Exit::Internal.code(), error))?;
    let was_interrupted = receive(&swarm, args, quiet, interrupt).await;
    let found = swarm.end().await;
    let exit = judge(args, &found, was_interrupted);
    let summary = summarise(args, &found, exit);
    match args.format {
        Format::Text => output::print(&render(args, &found, &summary))?,
        Format::Json => {
            let json = serde_json::to_string_pretty(&summary)
                .map_err(|error| Failure::new(Exit::Internal.code(), error))?;
            output::print(&(json + "\n"))?
        }
    };
    Ok(exit.code())
}

/// Receives for the time of the flags. Returns whether it was interrupted.
async fn receive(swarm: &AdhocSwarm, args: &SwarmArgs, quiet: bool, interrupt: &CancellationToken) -> bool {
    let work = async {
        let patience = CONNECT_TIMEOUT + args.ramp + Duration::from_millis(u64::from(args.clients));
        let connected = swarm.connected(patience).await;
        tracing::info!(connected, of = args.clients, "listens");
        if connected > 0 {
            // Without --expect-all this never settles, and the time is what ends it.
            let _time_is_up = tokio::time::timeout(args.duration, settle(swarm, args.expect_all)).await;
        }
    };
    let show = async {
        let every = if std::io::stderr().is_terminal() { LINE_EVERY / 5 } else { LINE_EVERY };
        loop {
            tokio::time::sleep(every).await;
            if !quiet {
                let now = swarm.progress();
                tracing::info!(
                    connected = now.connected,
                    events = now.delivered,
                    reconnects = now.reconnects
                );
            }
        }
    };
    tokio::select! {
        () = work => false,
        () = show => false,
        // Not for longer: it ends with the panic.
        () = swarm.failed() => false,
        () = interrupt.cancelled() => true,
    }
}

async fn settle(swarm: &AdhocSwarm, expects_all: bool) {
    if expects_all {
        swarm.settled().await;
    } else {
        std::future::pending::<()>().await;
    }
}

fn judge(args: &SwarmArgs, found: &AdhocResult, was_interrupted: bool) -> Exit {
    let mut exit = if was_interrupted { Exit::Interrupted } else { Exit::Pass };
    if found.connected < args.clients {
        exit = exit.max(Exit::SetupFailed);
    }
    if found.not_stopped > 0 {
        exit = exit.max(Exit::Internal);
    }
    if args.expect_all {
        if found.ends < args.publishers || found.owed.expected == 0 {
            exit = exit.max(Exit::Unknown);
        }
        if !found.owed.is_met() {
            exit = exit.max(Exit::VerificationFailed);
        }
    }
    // What the swarm could not take in proves nothing against the server.
    if found.too_long.is_some() { Exit::Invalid } else { exit }
}

/// Without `--expect-all` no event is owed, so the result is neither a pass nor a failure.
fn word(args: &SwarmArgs, exit: Exit) -> &'static str {
    if exit == Exit::Pass && !args.expect_all { "NOT JUDGED" } else { exit.word() }
}

fn summarise(args: &SwarmArgs, found: &AdhocResult, exit: Exit) -> Summary {
    let total = |counter| found.recorder.total(counter, |_| true);
    let connect = found.recorder.samples(Trend::ConnectTime, |_| true);
    let latency = found.recorder.samples(Trend::DeliveryLatency, |_| true);
    let Owed { expected, ok, missing, duplicated, reordered, unexpected, altered, .. } = found.owed;
    Summary {
        verdict: word(args, exit).to_owned(),
        exit_code: exit.code(),
        clients: args.clients,
        connected: found.connected,
        connected_at_end: found.connected_at_end,
        connect_errors: found.progress.connect_errors,
        reconnects: found.progress.reconnects,
        events: found.progress.delivered,
        bytes: total(Counter::BytesIn),
        encodings: encodings(&found.recorder),
        ids: found.has_ids,
        gaps: total(Counter::Gaps),
        closes: total(Counter::Closes),
        publishers_ended: found.ends,
        expected,
        ok,
        missing,
        duplicated,
        reordered,
        unexpected,
        altered,
        incomplete_clients: found.incomplete,
        connect_time_p99_ms: output::millis(connect.of_delivered(99.0)),
        delivery_latency_p50_ms: output::millis(latency.of_delivered(50.0)),
        delivery_latency_p99_ms: output::millis(latency.of_delivered(99.0)),
        delivery_latency_max_ms: output::largest(&latency),
    }
}

fn render(args: &SwarmArgs, found: &AdhocResult, summary: &Summary) -> String {
    let mut text = format!("  █ VERDICT  {}  ({})\n", summary.verdict, summary.exit_code);
    text.push_str(&format!(
        "  █ CLIENTS   {} of {} connected, {} connected at the end, {} failed connects, {} reconnects, {} events, {} bytes, {} gaps, {} closes\n",
        summary.connected, summary.clients, summary.connected_at_end, summary.connect_errors, summary.reconnects, summary.events,
        summary.bytes, summary.gaps, summary.closes,
    ));
    if let Some((streams, limit)) = found.too_long {
        text.push_str(&format!(
            "    the swarm's own limit was reached: {streams} streams had a line or an event of more than {limit} bytes; raise --max-event\n"
        ));
    }
    if let Some(reason) = &found.connect_failure {
        text.push_str(&format!("    not connected: {reason}\n"));
    }
    for (encoding, streams) in &summary.encodings {
        text.push_str(&format!(
            "    {streams} streams came as {encoding}: a compressor that is not flushed holds events back; --accept-encoding identity asks for none\n"
        ));
    }
    if summary.events > 0 && !found.has_ids {
        text.push_str(
            "    the server sends no id, so clients miss every event that it sends while they are away\n",
        );
    }
    text.push_str(&format!("  █ DELIVERY  {}\n", delivery(args, found)));
    if !found.owed.examples.is_empty() {
        let numbers: Vec<_> = found.owed.examples.iter().map(u64::to_string).collect();
        text.push_str(&format!("    examples of missing events, of one client: {}\n", numbers.join(", ")));
    }
    let show = |value: Option<f64>| value.map_or("no samples".to_owned(), |value| format!("{value:.2} ms"));
    text.push_str(&format!(
        "  █ TIMES     connect p99 {}, delivery (from when it was due) p50 {}, p99 {}, max {}\n",
        show(summary.connect_time_p99_ms),
        show(summary.delivery_latency_p50_ms),
        show(summary.delivery_latency_p99_ms),
        show(summary.delivery_latency_max_ms),
    ));
    text
}

/// Numbers of streams by encoding, without those that were not encoded.
fn encodings(recorder: &Recorder) -> BTreeMap<&'static str, u64> {
    let streams = |coding: Coding| (coding.name(), recorder.total(Counter::streams_of(coding), |_| true));
    Coding::ALL.into_iter().map(streams).filter(|(_, streams)| *streams > 0).collect()
}

fn delivery(args: &SwarmArgs, found: &AdhocResult) -> String {
    let owed = &found.owed;
    let wanted = if args.expect_all { args.publishers } else { 0 };
    if found.ends < wanted {
        return format!(
            "{} of {wanted} publishers ended, so the number of owed events is unknown",
            found.ends
        );
    }
    if found.ends == 0 {
        return "no `sse-bench publish` ended, so the number of owed events is unknown".to_owned();
    }
    format!(
        "{} expected of {} publishers, {} ok, {} missing, {} duplicated, {} reordered, {} unexpected, {} altered; {} clients did not get every event once and in order",
        owed.expected,
        found.ends,
        owed.ok,
        owed.missing,
        owed.duplicated,
        owed.reordered,
        owed.unexpected,
        owed.altered,
        found.incomplete,
    )
}

fn policy(reconnect: ReconnectAs) -> ReconnectPolicy {
    match reconnect {
        ReconnectAs::Browser => ReconnectPolicy::Browser,
        ReconnectAs::Fetch => ReconnectPolicy::Fetch,
        ReconnectAs::Tolerant => ReconnectPolicy::Tolerant,
        ReconnectAs::None => ReconnectPolicy::None,
    }
}

fn headers(lines: &[String]) -> Result<Vec<(String, Template)>, Failure> {
    let parse = |line: &String| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let (name, value) = (name.trim(), value.trim());
        let is_valid = line.contains(':')
            && HeaderName::from_bytes(name.as_bytes()).is_ok()
            && HeaderValue::from_str(value).is_ok();
        let template = Template::parse_text(value).ok().filter(|_| is_valid);
        // The value may be a secret, so only the name is repeated.
        let expected = "the form is 'NAME: VALUE', without control characters; placeholders are {i}, {i%N}, {random:N} and {zipf:N}";
        let failure =
            || Failure::new(Exit::Usage.code(), format!("--header {name:?}… is not valid; {expected}"));
        template.map(|template| (name.to_owned(), template)).ok_or_else(failure)
    };
    lines.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_checked_and_a_bad_one_does_not_show_its_value() {
        let good = headers(&["Authorization: Bearer x".to_owned(), "a:b".to_owned()]).unwrap();
        assert_eq!((good[0].0.as_str(), good[0].1.fill(0, 0)), ("Authorization", "Bearer x".to_owned()));
        assert_eq!(headers(&["a: u{i}".to_owned()]).unwrap()[0].1.fill(7, 0), "u7");
        assert!(headers(&["a: {j}".to_owned()]).is_err());
        let error = headers(&["X Y: secret".to_owned()]).unwrap_err();
        assert_eq!(error.code, 2);
        assert!(!error.error.to_string().contains("secret"));
    }
}
