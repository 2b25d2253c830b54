//! How fast the embedded log takes events: in memory, written, and on the disk; many publishers at a time, whose events
//! become one batch, and one alone. Prints rates of one run and their ratios; compare within a run, never across.
//! Run with `cargo bench --bench append`; without `--bench` (as `cargo test` starts it) each case takes few events.

#![expect(clippy::print_stdout, reason = "the result is what it prints")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sse_lab::broker::{Broker, BrokerUrl, Durability, LogLimits, NewEvent};
use sse_lab::protocol::{Address, EventType, MessageId};
use sse_lab::runtime::Tasks;

/// One way to append.
struct Case {
    name: &'static str,
    broker: Broker,
    in_flight: usize,
    rates: Vec<f64>,
    appended: u64,
}

const ROUNDS: usize = 5;
const IN_FLIGHT: usize = 256;
const ENVELOPE_BYTES: usize = 300;

#[tokio::main]
async fn main() {
    let is_measuring = std::env::args().any(|argument| argument == "--bench");
    let (rounds, time) = if is_measuring { (ROUNDS, 1_000) } else { (1, 1) };
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory for the logs");
    let tasks = Tasks::new();
    let mut cases = cases(dir.path(), &tasks).await;
    // Interleaved, so that whatever else the machine does falls upon all alike.
    for _ in 0..rounds {
        for case in &mut cases {
            case.round(Duration::from_millis(time)).await;
        }
    }
    print(&cases);
    drop(cases);
    tasks.token().cancel();
    tasks.join(Duration::from_secs(60)).await.expect("the logs close");
}

async fn cases(dir: &std::path::Path, tasks: &Tasks) -> Vec<Case> {
    let kinds = [
        ("memory:", BrokerUrl::Memory, Durability::Accepted),
        ("file: accepted", BrokerUrl::File(dir.join("accepted")), Durability::Accepted),
        ("file: fsync", BrokerUrl::File(dir.join("fsync")), Durability::Fsync),
    ];
    let limits = LogLimits { max_events: 100_000, ..LogLimits::default() };
    let mut cases = Vec::new();
    for (name, url, durability) in kinds {
        let broker = Broker::open(&url, limits.clone(), durability, tasks).await.expect("the log opens");
        for in_flight in [IN_FLIGHT, 1] {
            let case = Case { name, broker: broker.clone(), in_flight, rates: Vec::new(), appended: 0 };
            cases.push(case);
        }
    }
    cases
}

impl Case {
    async fn round(&mut self, time: Duration) {
        let envelope: Arc<str> = Arc::from("x".repeat(ENVELOPE_BYTES));
        let begun = Instant::now();
        let first = self.appended;
        let mut waiting = FuturesUnordered::new();
        while begun.elapsed() < time || !waiting.is_empty() {
            while waiting.len() < self.in_flight && begun.elapsed() < time {
                let id = format!("{}-{}", self.in_flight, self.appended);
                waiting.push(self.broker.append(event(&id, &envelope)));
                self.appended += 1;
            }
            if let Some(answer) = waiting.next().await {
                assert!(!answer.expect("the log takes it").duplicate);
            }
        }
        let taken = u32::try_from(self.appended - first).expect("a second of appends");
        self.rates.push(f64::from(taken) / begun.elapsed().as_secs_f64());
    }

    fn median(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or_default()
    }
}

fn event(id: &str, envelope: &Arc<str>) -> NewEvent {
    NewEvent {
        message_id: MessageId::parse(id).expect("letters and digits"),
        address: Address::All,
        event_type: EventType::parse("MESSAGE").expect("a plain word"),
        envelope: Arc::clone(envelope),
        mailbox: false,
        fresh: false,
    }
}

fn print(cases: &[Case]) {
    let base = cases.first().map_or(1.0, Case::median);
    println!("{:16} {:>9} {:>12} {:>18}", "log", "in flight", "events/s", "of memory: batched");
    for case in cases {
        let rate = case.median();
        println!("{:16} {:>9} {rate:>12.0} {:>17.3}x", case.name, case.in_flight, rate / base);
    }
    for pair in cases.chunks(2) {
        if let [batched, alone] = pair {
            let gain = batched.median() / alone.median();
            println!("{}: {} in flight are x{gain:.1} of one at a time", batched.name, batched.in_flight);
        }
    }
}
