//! Publishers against a small server with scripted answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::context::PublishContext;
use super::publisher::{Published, Publisher};
use super::request::{PreparedRequest, Retry, deliver};
use crate::bench::ids::{AddressId, PublisherId, RunId};
use crate::bench::load::balancer::Balancer;
use crate::bench::load::progress::Progress;
use crate::bench::metrics::clock::{RunClock, monotonic_nanos};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::{Phases, PublisherPlan, Targets};
use crate::bench::scenario::{Arrival, LbPolicy, Mix, Pace, PayloadSize, Stage};
use crate::bench::stamp::Stamp;
use crate::bench::verdict::ledger::PublishOutcome;
use crate::client::HttpOptions;
use crate::protocol::Address;

/// What the server answers, and what it has received.
#[derive(Debug, Default)]
struct Script {
    /// Status of the next answers; 202 when none is left. Zero: no answer ever.
    answers: Mutex<VecDeque<u16>>,
    /// Message ids in the order of their arrival.
    ids: Mutex<Vec<String>>,
    busy: Mutex<Busy>,
    /// Time until each answer.
    takes: Duration,
}

#[derive(Debug, Default)]
struct Busy {
    now: usize,
    most: usize,
}

struct Server {
    base: String,
    script: Arc<Script>,
    _serving: JoinSet<()>,
}

async fn answer(State(script): State<Arc<Script>>, Json(body): Json<Value>) -> StatusCode {
    script.ids.lock().unwrap().push(body["id"].as_str().unwrap().to_owned());
    let status = script.answers.lock().unwrap().pop_front().unwrap_or(202);
    if status == 0 {
        std::future::pending::<()>().await;
    }
    {
        let mut busy = script.busy.lock().unwrap();
        busy.now += 1;
        busy.most = busy.most.max(busy.now);
    }
    tokio::time::sleep(script.takes).await;
    script.busy.lock().unwrap().now -= 1;
    StatusCode::from_u16(status).unwrap()
}

async fn server(answers: &[u16], takes: Duration) -> Server {
    let script =
        Script { answers: Mutex::new(answers.iter().copied().collect()), takes, ..Script::default() };
    let script = Arc::new(script);
    let app = Router::new()
        .route("/api/sse/broadcast", post(answer))
        .route("/api/sse/topics/{topic}", post(answer))
        .with_state(Arc::clone(&script));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
    Server { base, script, _serving: serving }
}

impl Server {
    /// Waits until this number of requests has arrived.
    async fn has_received(&self, requests: usize) {
        while self.script.ids.lock().unwrap().len() < requests {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A context of a run that has been going on for a second: everything in [`plan`] is due at once.
fn context(base: &str) -> PublishContext {
    let clock = RunClock::default();
    clock.start_at(monotonic_nanos() - 1_000_000_000);
    PublishContext {
        http: HttpOptions::default().build().unwrap(),
        balancer: Balancer::new(LbPolicy::RoundRobin, [base.to_owned()]),
        clock,
        epoch: RunTime::ZERO,
        run: RunId::from_random(1),
        addresses: Arc::from([Address::All, "topic:a".parse().unwrap()]),
        dialect: None,
        phases: Arc::new(Phases::new(Duration::ZERO, Duration::from_secs(1), &[])),
        progress: Arc::new(Progress::default()),
    }
}

async fn send(base: &str, retry: Retry) -> PublishOutcome {
    let context = context(base);
    let (publisher, address) = (PublisherId(0), AddressId(0));
    let stamp =
        Stamp { run: context.run, publisher, address, seq: 1, due: RunTime::ZERO, sent: RunTime::ZERO };
    let request = PreparedRequest::new(&context, stamp, 100, 0);
    deliver(request, context, retry, 7).await.outcome
}

const PATIENT: Retry = Retry::For(Duration::from_secs(30));

#[track_caller]
fn check(answers: &[u16], retry: Retry, outcome: PublishOutcome, attempts: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (found, ids) = runtime.block_on(async {
        let server = server(answers, Duration::ZERO).await;
        let found = send(&server.base, retry).await;
        let ids = server.script.ids.lock().unwrap().clone();
        (found, ids)
    });
    assert_eq!((found, ids.len()), (outcome, attempts), "{answers:?}");
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "an event keeps its id: {ids:?}");
}

#[test]
fn an_event_is_sent_until_an_answer_settles_it() {
    check(&[202], PATIENT, PublishOutcome::Acknowledged, 1);
    check(&[503, 500, 202], PATIENT, PublishOutcome::Acknowledged, 3);
    check(&[429, 202], PATIENT, PublishOutcome::Acknowledged, 2);
    check(&[413], PATIENT, PublishOutcome::Refused, 1);
}

#[test]
fn one_unclear_attempt_leaves_the_outcome_unclear_whatever_the_last_answer_is() {
    check(&[503, 413], PATIENT, PublishOutcome::Indeterminate, 2);
    check(&[429, 413], PATIENT, PublishOutcome::Refused, 2);
}

#[test]
fn without_retries_the_first_answer_counts() {
    check(&[503, 202], Retry::Never, PublishOutcome::Indeterminate, 1);
    check(&[429, 202], Retry::Never, PublishOutcome::Refused, 1);
}

#[tokio::test]
async fn a_publish_that_was_never_sent_is_refused() {
    // Bound and not listening: nobody else can take the port, and connects are refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base = format!("http://{}", socket.local_addr().unwrap());
    assert_eq!(send(&base, Retry::Never).await, PublishOutcome::Refused);
}

fn plan(rate: f64, max_in_flight: u32, in_order: bool) -> PublisherPlan {
    let duration = Duration::from_millis(500);
    PublisherPlan {
        nodes: Arc::default(),
        headers: Arc::default(),
        id: PublisherId(0),
        name: "p".to_owned(),
        pace: Pace { arrival: Arrival::Uniform, from: rate, stages: vec![Stage { duration, target: rate }] },
        max_in_flight,
        in_order,
        qos: 0,
        retry: true,
        payload: PayloadSize::Fixed(100),
        mix: Mix { broadcast: 1.0, topic: 1.0, ..Mix::default() },
        targets: Targets { broadcast: vec![AddressId(0)], topics: vec![AddressId(1)], ..Targets::default() },
        seed: 3,
    }
}

async fn publish(
    server: &Server,
    plan: PublisherPlan,
    give_up: &CancellationToken,
) -> (PublishContext, Published) {
    let context = context(&server.base);
    let publisher = Publisher::new(plan, context.clone());
    let published = publisher.run(CancellationToken::new(), give_up.clone()).await;
    (context, published)
}

fn outcomes(published: &Published) -> BTreeMap<AddressId, Vec<PublishOutcome>> {
    let addresses = published.ledger.addresses();
    addresses.into_iter().map(|address| (address, published.ledger.outcomes(address).collect())).collect()
}

#[tokio::test]
async fn publishes_to_one_address_wait_for_each_other_where_order_is_judged() {
    let server = server(&[], Duration::from_millis(2)).await;
    let (context, published) = publish(&server, plan(200.0, 1_000, true), &CancellationToken::new()).await;
    let outcomes = outcomes(&published);
    let sent: usize = outcomes.values().map(Vec::len).sum();
    assert!(outcomes.values().flatten().all(|outcome| *outcome == PublishOutcome::Acknowledged));
    // All were due at once; none is dropped, and none is forgotten.
    assert_eq!(context.progress.snapshot().publish_ok, sent as u64);
    assert!((99..=101).contains(&sent), "{sent}");
    assert_eq!(server.script.busy.lock().unwrap().most, 2, "one for each address");
    let numbers: Vec<u64> = server
        .script
        .ids
        .lock()
        .unwrap()
        .iter()
        .filter(|id| id.contains("-0-1-"))
        .map(|id| id.rsplit('-').next().unwrap().parse().unwrap())
        .collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
}

#[tokio::test]
async fn events_due_while_too_many_are_unanswered_are_dropped_and_counted() {
    let server = server(&[0, 0, 0], Duration::ZERO).await;
    let give_up = CancellationToken::new();
    let publishing = publish(&server, plan(200.0, 3, false), &give_up);
    let giving_up = async {
        server.has_received(3).await;
        give_up.cancel();
    };
    let ((context, published), ()) = tokio::join!(publishing, giving_up);
    let snapshot = context.progress.snapshot();
    assert_eq!(snapshot.publish_ok, 0);
    assert!((96..=98).contains(&snapshot.publish_dropped), "{snapshot}");
    let unanswered: Vec<_> = outcomes(&published).into_values().flatten().collect();
    assert_eq!(unanswered, [PublishOutcome::Indeterminate; 3]);
}

#[tokio::test]
async fn queued_events_are_dropped_and_counted_when_the_publisher_gives_up() {
    let server = server(&[0, 0], Duration::ZERO).await;
    let give_up = CancellationToken::new();
    let publishing = publish(&server, plan(200.0, 1_000, true), &give_up);
    let giving_up = async {
        server.has_received(2).await;
        give_up.cancel();
    };
    let ((context, published), ()) = tokio::join!(publishing, giving_up);
    // The first one to each of two addresses is never answered, and all others are queued behind it.
    let unanswered: Vec<_> = outcomes(&published).into_values().flatten().collect();
    assert_eq!(unanswered, [PublishOutcome::Indeterminate; 2]);
    assert!(
        (97..=99).contains(&context.progress.snapshot().publish_dropped),
        "{}",
        context.progress.snapshot()
    );
}

#[tokio::test]
async fn events_due_before_the_stop_are_published_however_late_the_publisher_is() {
    let server = server(&[], Duration::ZERO).await;
    let context = context(&server.base);
    // The publisher runs for the first time when its schedule is over.
    let stop = CancellationToken::new();
    stop.cancel();
    let publisher = Publisher::new(plan(100.0, 1_000, false), context.clone());
    let published = publisher.run(stop, CancellationToken::new()).await;
    let sent = outcomes(&published).values().map(Vec::len).sum::<usize>();
    assert!((49..=51).contains(&sent), "{sent}");
}

#[tokio::test]
async fn a_publisher_that_is_stopped_still_waits_for_its_answers() {
    let server = server(&[], Duration::from_millis(50)).await;
    let context = PublishContext { clock: RunClock::default(), ..context(&server.base) };
    context.clock.start();
    let stop = CancellationToken::new();
    let publisher = Publisher::new(plan(100.0, 1_000, false), context.clone());
    let mut running = std::pin::pin!(publisher.run(stop.clone(), CancellationToken::new()));
    tokio::select! {
        _ = &mut running => panic!("it ended before it was stopped"),
        () = server.has_received(1) => stop.cancel(),
    }
    let published = running.await;
    let all: Vec<_> = outcomes(&published).into_values().flatten().collect();
    assert!(!all.is_empty() && all.len() < 50, "{}", all.len());
    assert!(all.iter().all(|outcome| *outcome == PublishOutcome::Acknowledged), "{all:?}");
}
