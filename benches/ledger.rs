//! What one delivery costs the swarm: reading the payload, and writing it into the ledger. Then what judging costs.
//! Compare the figures of one run with each other; alone they say what the machine was doing.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sse_lab::bench::ids::PublisherId;
use sse_lab::bench::ids::RunId;
use sse_lab::bench::metrics::metric::Trend;
use sse_lab::bench::metrics::recorder::Recorder;
use sse_lab::bench::metrics::tags::{Source, Tags};
use sse_lab::bench::metrics::time::RunTime;
use sse_lab::bench::scenario;
use sse_lab::bench::scenario::plan::Plan;
use sse_lab::bench::stamp::Stamp;
use sse_lab::bench::verdict::ledger::{
    Ending, Evidence, PublishLedger, PublishOutcome, RULES, SubscriberLedger, judge,
};

const EVENTS: u64 = 1_000;

const SCENARIO: &str = r#"
schema = 1
name = "bench"
duration = "60s"
[clients.c]
clients = 1000
subscribe = { topics = ["a", "b", "c", "d", "e", "f", "g"], user = "u{i}" }
[publishers.main]
rate = 1000
mix = { broadcast = 1, topic = 1, user = 1, client = 1 }
[verify]
quiesce = { audit_read = false }
"#;

fn plan() -> Plan {
    let scenario = scenario::parse("bench.toml", SCENARIO, &[]).expect("the scenario above is valid");
    Plan::new(&scenario, RunId::from_random(1))
}

fn at(ms: u64) -> RunTime {
    RunTime::from(Duration::from_millis(ms))
}

/// The stamps that the first client gets: its ten addresses in turn.
fn stamps(plan: &Plan) -> Vec<Stamp> {
    let addresses = &plan.subscribers[0].addresses;
    let stamp = |seq, address| Stamp {
        run: plan.run,
        publisher: PublisherId(0),
        address,
        seq,
        due: at(seq),
        sent: at(seq),
    };
    (1..=EVENTS / 10).flat_map(|seq| addresses.iter().map(move |address| stamp(seq, *address))).collect()
}

fn delivery(c: &mut Criterion) {
    let plan = plan();
    let stamps = stamps(&plan);
    let data: Vec<String> = stamps.iter().map(envelope).collect();
    assert!(data.iter().all(|data| Stamp::decode(data).is_ok()), "what is parsed below is whole");
    let ids: Vec<String> = (0..EVENTS).map(|i| format!("k3f9qa-1795303903002-{i}")).collect();
    let ledger = || {
        let mut ledger = SubscriberLedger::new(&plan, plan.subscribers[0].id);
        ledger.confirmed(at(0), false);
        ledger
    };
    let mut group = c.benchmark_group("delivery");
    group.throughput(Throughput::Elements(EVENTS));
    group.bench_function("parse as serde_json::Value", |b| {
        b.iter(|| {
            data.iter()
                .map(|data| serde_json::from_str::<serde_json::Value>(data).is_ok())
                .filter(|ok| *ok)
                .count()
        });
    });
    group.bench_function("parse as a stamp", |b| {
        b.iter(|| data.iter().filter_map(|data| Stamp::decode(data).ok()).count());
    });
    group.bench_function("account", |b| {
        b.iter_batched_ref(
            ledger,
            |ledger| {
                for (stamp, id) in stamps.iter().zip(&ids) {
                    black_box(ledger.arrive(at(stamp.seq), Some(id.as_str()), *stamp));
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("record", |b| {
        let tags = Tags { phase: plan.phases.at(at(1)), source: Source::Bench, path: None };
        let mut recorder = Recorder::default();
        b.iter(|| {
            (0..EVENTS).for_each(|i| recorder.record(Trend::DeliveryLatency, tags, Duration::from_micros(i)));
        });
    });
    group.finish();
}

fn envelope(stamp: &Stamp) -> String {
    let (id, data) = (stamp.message_id(), stamp.encode(256));
    format!(
        r#"{{"id":"{id}","type":"MESSAGE","data":{data},"timestamp":"2026-01-01T00:00:00.000Z","source":"n1","metadata":null}}"#
    )
}

/// A thousand healthy clients of ten addresses with a hundred events each: a million deliveries.
fn judging(c: &mut Criterion) {
    let plan = plan();
    let mut publishes = PublishLedger::new(PublisherId(0));
    let mut ledgers: Vec<_> =
        plan.subscribers.iter().map(|client| SubscriberLedger::new(&plan, client.id)).collect();
    ledgers.iter_mut().for_each(|ledger| ledger.confirmed(at(0), false));
    for ms in 1..=100 {
        for client in &plan.subscribers {
            for address in &client.addresses {
                let is_shared =
                    client.id != plan.subscribers[0].id && plan.subscribers[0].addresses.contains(address);
                if !is_shared {
                    let seq = publishes.begin(*address, at(ms));
                    publishes.end(*address, seq, at(ms), PublishOutcome::Acknowledged);
                }
                let stamp = Stamp {
                    run: plan.run,
                    publisher: PublisherId(0),
                    address: *address,
                    seq: ms,
                    due: at(ms),
                    sent: at(ms),
                };
                ledgers[client.id.0 as usize].arrive(at(ms + 1), None, stamp);
            }
        }
    }
    ledgers.iter_mut().for_each(|ledger| ledger.finish(at(60_000), Ending::RunOver));
    let evidence = Evidence {
        plan: &plan,
        publishes: std::slice::from_ref(&publishes),
        sentinels: None,
        subscribers: &ledgers,
        audit: None,
        faults: &[],
        probes: None,
        rules: RULES,
        was_interrupted: false,
    };
    assert_eq!(judge(&evidence).ok, 1_000_000, "the history is honest");
    print_size(&ledgers);
    let mut group = c.benchmark_group("judge");
    group.throughput(Throughput::Elements(1_000_000));
    group.sample_size(20);
    group.bench_function("a million deliveries", |b| b.iter(|| judge(black_box(&evidence))));
    group.finish();
}

#[expect(clippy::print_stdout, reason = "a figure of the benchmark, beside criterion's")]
fn print_size(ledgers: &[SubscriberLedger]) {
    let bytes: usize = ledgers.iter().map(SubscriberLedger::bytes).sum();
    println!(
        "a ledger of ten addresses takes {} bytes, ten thousand of them {} MB",
        bytes / ledgers.len(),
        bytes / 100_000
    );
}

criterion_group!(benches, delivery, judging);
criterion_main!(benches);
