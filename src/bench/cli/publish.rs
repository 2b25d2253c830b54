//! `publish`: a publisher alone, whose events `swarm` recognises in another process of this machine.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::output;
use super::shared::Format;
use super::tls::Trusted;
use super::values::{base_url, duration, factor, no_credentials, recipient};
use crate::bench::exit::Exit;
use crate::bench::ids::{AddressId, PublisherId};
use crate::bench::load::adhoc::{EndMark, run_on_this_clock};
use crate::bench::load::balancer::Balancer;
use crate::bench::load::progress::Progress;
use crate::bench::load::publishers::{PreparedRequest, PublishContext, Published, Publisher, Retry, deliver};
use crate::bench::metrics::clock::RunClock;
use crate::bench::metrics::metric::Trend;
use crate::bench::scenario::plan::{Phases, PublisherPlan, Targets};
use crate::bench::scenario::{Arrival, LbPolicy, Mix, Pace, PayloadSize, Stage};
use crate::bench::stamp::Stamp;
use crate::bench::verdict::ledger::PublishOutcome;
use crate::client::HttpOptions;
use crate::protocol::Address;
use crate::runtime::exit::Failure;

/// Flags of `publish`.
#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    /// Base URL of a node. Several nodes are used in turn.
    #[arg(required = true, value_parser = no_credentials(base_url))]
    pub urls: Vec<String>,

    #[command(flatten)]
    pub trusted: Trusted,

    /// Events per second.
    #[arg(short = 'q', long, default_value_t = 10.0, allow_negative_numbers = true, value_parser = factor)]
    pub rate: f64,

    /// How long to publish.
    #[arg(short = 'z', long, default_value = "60s", value_parser = duration)]
    pub duration: Duration,

    /// Address of the events: `broadcast`, `topic:T`, `user:U` or `client:C`.
    #[arg(long, default_value = "broadcast", value_parser = recipient)]
    pub to: Address,

    /// Size of each payload, in bytes.
    #[arg(long, default_value_t = 256)]
    pub size: u32,

    /// 1: also store each event in the mailbox of the user or client (with --to user:U or client:C). 0: only send it to open streams.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub qos: u8,

    /// Limit of unanswered publishes. When it is reached, a publish that is due is dropped and counted.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_in_flight: u32,

    /// Do not send an event again, with the same id, when it is unknown whether the server accepted it (a timeout or a broken connection).
    #[arg(long)]
    pub no_retry: bool,

    /// Do not wait for the answer to one event before the next is sent. Rates are higher, and order is not judged.
    #[arg(long)]
    pub unordered: bool,

    /// Do not send the end mark, which reports to `swarm` that this publisher has ended.
    #[arg(long)]
    pub no_end: bool,

    /// Format of the summary.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// How long to wait for the last answers.
const PATIENCE: Duration = Duration::from_secs(75);
/// How long to wait for the last answers after ^C.
const PATIENCE_INTERRUPTED: Duration = Duration::from_secs(3);
/// A server that has acknowledged nothing by then is taken for absent.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// The only address of this publisher.
const ADDRESS: AddressId = AddressId(0);

/// The summary that `--format json` prints. Times in milliseconds.
#[derive(Debug, Serialize)]
struct Summary {
    run: String,
    to: String,
    published: u64,
    acknowledged: u64,
    refused: u64,
    indeterminate: u64,
    dropped: u64,
    retries: u64,
    end_mark: bool,
    publish_time_p50_ms: Option<f64>,
    publish_time_p99_ms: Option<f64>,
    publish_time_max_ms: Option<f64>,
    dispatch_delay_p99_ms: Option<f64>,
}

pub(super) async fn run(args: &PublishArgs, interrupt: &CancellationToken) -> Result<u8, Failure> {
    let context = context(args)?;
    let publisher = Publisher::new(plan(args), context.clone());
    let (stop, give_up) = (interrupt.clone(), CancellationToken::new());
    let mut publishing = std::pin::pin!(publisher.run(stop, give_up.clone()));
    let published = tokio::select! {
        published = &mut publishing => published,
        () = patience(args, &context, interrupt) => {
            give_up.cancel();
            publishing.await
        }
    };
    let outcomes: Vec<PublishOutcome> = published.ledger.outcomes(ADDRESS).collect();
    // A server that acknowledged nothing would not acknowledge the end mark either.
    let has_something_to_mark = outcomes.contains(&PublishOutcome::Acknowledged);
    let is_marked = !args.no_end && has_something_to_mark && send_end(&context, &outcomes, args).await;
    let summary = summarise(args, &context, &published, &outcomes, is_marked);
    print(args, &summary, published.last_failure.as_deref())?;
    let exit = judge(args, &summary, interrupt.is_cancelled());
    Ok(exit.code())
}

/// Returns when waiting longer is useless.
async fn patience(args: &PublishArgs, context: &PublishContext, interrupt: &CancellationToken) {
    let time_is_up = async {
        let rest = (args.duration + PATIENCE).saturating_sub(FIRST_ANSWER);
        tokio::time::sleep(FIRST_ANSWER).await;
        if context.progress.snapshot().publish_ok > 0 {
            tokio::time::sleep(rest).await;
        }
    };
    if interrupt.run_until_cancelled(time_is_up).await.is_none() {
        tokio::time::sleep(PATIENCE_INTERRUPTED).await;
    }
}

fn context(args: &PublishArgs) -> Result<PublishContext, Failure> {
    let idle_connections = usize::try_from(args.max_in_flight).unwrap_or(usize::MAX);
    let http = HttpOptions { idle_connections, follows_redirects: false, ..args.trusted.http()? };
    let http = http.build().map_err(|error| Failure::new(Exit::Internal.code(), error))?;
    let clock = RunClock::default();
    Ok(PublishContext {
        http,
        epoch: clock.start(),
        clock,
        balancer: Balancer::new(LbPolicy::RoundRobin, args.urls.iter().cloned()),
        run: run_on_this_clock(rand::random()),
        addresses: Arc::from([args.to.clone()]),
        dialect: None,
        phases: Arc::new(Phases::new(Duration::ZERO, args.duration, &[])),
        progress: Arc::new(Progress::default()),
    })
}

fn plan(args: &PublishArgs) -> PublisherPlan {
    let (mut mix, mut targets) = (Mix::default(), Targets::default());
    match &args.to {
        Address::All => (mix.broadcast, targets.broadcast) = (1.0, vec![ADDRESS]),
        Address::Topic(_) => (mix.topic, targets.topics) = (1.0, vec![ADDRESS]),
        Address::User(_) => (mix.user, targets.users) = (1.0, vec![ADDRESS]),
        // The kind only decides how often an address is drawn, and there is one.
        Address::Client(_) | Address::Node(_) | Address::NodeClient(..) => {
            (mix.client, targets.clients) = (1.0, vec![ADDRESS]);
        }
    }
    let stages = vec![Stage { duration: args.duration, target: args.rate }];
    PublisherPlan {
        nodes: Arc::default(),
        headers: Arc::default(),
        id: PublisherId(0),
        name: "publish".to_owned(),
        pace: Pace { arrival: Arrival::Uniform, from: args.rate, stages },
        max_in_flight: args.max_in_flight,
        in_order: !args.unordered,
        qos: args.qos,
        retry: !args.no_retry,
        payload: PayloadSize::Fixed(args.size),
        mix,
        targets,
        seed: 0,
    }
}

/// Publishes the end mark. Returns whether it was acknowledged.
async fn send_end(context: &PublishContext, outcomes: &[PublishOutcome], args: &PublishArgs) -> bool {
    let mark = EndMark::new(outcomes.iter().copied(), !args.unordered);
    let due = RunClock::since_boot().now();
    let stamp = Stamp {
        run: context.run,
        publisher: PublisherId::SENTINEL,
        address: ADDRESS,
        seq: mark.last,
        due,
        sent: due,
    };
    let request = PreparedRequest::with_metadata(context, stamp, &mark);
    deliver(request, context.clone(), Retry::usual(), 0).await.outcome == PublishOutcome::Acknowledged
}

fn judge(args: &PublishArgs, summary: &Summary, was_interrupted: bool) -> Exit {
    let mut exit = if was_interrupted { Exit::Interrupted } else { Exit::Pass };
    if summary.acknowledged == 0 && summary.published > 0 {
        // No server, or the wrong one: all other findings follow from that.
        return exit.max(Exit::SetupFailed);
    }
    if summary.refused + summary.indeterminate > 0 || (!args.no_end && !summary.end_mark) {
        exit = exit.max(Exit::VerificationFailed);
    }
    if summary.dropped > 0 {
        exit = exit.max(Exit::Invalid);
    }
    exit
}

fn summarise(
    args: &PublishArgs,
    context: &PublishContext,
    published: &Published,
    outcomes: &[PublishOutcome],
    end_mark: bool,
) -> Summary {
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count() as u64;
    let time = published.recorder.samples(Trend::PublishTime, |_| true);
    let delay = published.recorder.samples(Trend::PublishDispatchDelay, |_| true);
    Summary {
        run: context.run.to_string(),
        to: args.to.to_string(),
        published: outcomes.len() as u64,
        acknowledged: count(PublishOutcome::Acknowledged),
        refused: count(PublishOutcome::Refused),
        indeterminate: count(PublishOutcome::Indeterminate),
        dropped: context.progress.snapshot().publish_dropped,
        retries: published.retries,
        end_mark,
        publish_time_p50_ms: output::millis(time.of_delivered(50.0)),
        publish_time_p99_ms: output::millis(time.of_delivered(99.0)),
        publish_time_max_ms: output::largest(&time),
        dispatch_delay_p99_ms: output::millis(delay.of_delivered(99.0)),
    }
}

fn print(args: &PublishArgs, summary: &Summary, failure: Option<&str>) -> Result<u8, Failure> {
    if args.format == Format::Json {
        let json = serde_json::to_string_pretty(summary)
            .map_err(|error| Failure::new(Exit::Internal.code(), error))?;
        return output::print(&(json + "\n"));
    }
    let show = |value: Option<f64>| value.map_or("no samples".to_owned(), |value| format!("{value:.2} ms"));
    let mut text = format!(
        "{} published to {}: {} acknowledged, {} refused, {} indeterminate, {} dropped, {} retries{}\n\
         answer: p50 {}, p99 {}, max {}; delay of sending: p99 {}\n",
        summary.published,
        summary.to,
        summary.acknowledged,
        summary.refused,
        summary.indeterminate,
        summary.dropped,
        summary.retries,
        match (summary.end_mark, args.no_end) {
            (true, _) => "; end mark sent",
            (false, true) => "; end mark not sent (--no-end)",
            (false, false) => "; end mark not acknowledged",
        },
        show(summary.publish_time_p50_ms),
        show(summary.publish_time_p99_ms),
        show(summary.publish_time_max_ms),
        show(summary.dispatch_delay_p99_ms),
    );
    if let Some(reason) = failure {
        text.push_str(&format!("the last publish that failed: {reason}\n"));
    }
    output::print(&text)
}
