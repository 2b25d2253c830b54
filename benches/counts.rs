//! Instruction counts: each case does the same work on every machine, and `scripts/counts` has callgrind count what
//! happens within [`measured`]. No clock, no scheduler and no other process changes such a figure, so one percent more is
//! a change of the code. Sockets are real; the kernel's work is not counted.

use std::hint::black_box;
use std::time::Duration;

use bytes::BytesMut;
use sse_lab::bench::ids::{PublisherId, RunId};
use sse_lab::bench::metrics::time::RunTime;
use sse_lab::bench::scenario;
use sse_lab::bench::scenario::plan::Plan;
use sse_lab::bench::stamp::Stamp;
use sse_lab::bench::verdict::ledger::SubscriberLedger;
use sse_lab::node::counted::{Fanout, Publishing};
use sse_lab::protocol::{Cursor, Decoder, Format, Frame, Item, Limits};

/// So few that a socket takes all of it unread.
const TIMES: u64 = 100;
/// So many that what a publish does once a second is no part of it.
const PUBLISHES: u64 = 500;
const STREAMS: usize = 256;
const EVENTS: usize = 20;

const ENVELOPE: &str = r#"{"id":"01KAB","type":"MESSAGE","data":{"n":1,"text":"one hundred bytes of text, more or less, as many a program sends"},"timestamp":"2026-11-22T00:00:00.000Z","source":"n1","metadata":null}"#;
const BODY: &[u8] =
    br#"{"data":{"n":1,"text":"one hundred bytes of text, more or less, as many a program sends"}}"#;

/// What callgrind counts: the calls of this function, and all that they call, in this thread.
#[inline(never)]
fn measured(mut work: impl FnMut()) {
    work();
}

/// Says which case comes, and by how much its count is divided.
#[expect(clippy::print_stdout, reason = "scripts/counts reads it")]
fn case(name: &str, times: impl std::fmt::Display, work: impl FnMut()) {
    println!("{times} {name}");
    measured(work);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let publishing = runtime.block_on(Publishing::open());
    let publish = |times| (0..times).for_each(|_| _ = runtime.block_on(publishing.publish(BODY)));
    // Everything is allocated once, and the log's batches have their size.
    publish(2 * PUBLISHES);
    case("publish: body to answer", PUBLISHES, || publish(PUBLISHES));
    wire();
    loops(&publishing);
    ledger();
}

fn wire() {
    let cursor: Cursor = "k3f9qa-1795303903002-7".parse().expect("it is the canonical text");
    let frame =
        Frame { retry: None, id: Some(cursor.spelled(Format::Envelope)), event: "MESSAGE", data: ENVELOPE };
    let mut stream = BytesMut::with_capacity(1 << 20);
    case("encode an event", TIMES, || (0..TIMES).for_each(|_| frame.encode_into(&mut stream)));
    let mut decoder = Decoder::new(Limits::default());
    case("decode an event", TIMES, || {
        let decoded = decoder.feed(&stream, |item| _ = black_box(matches!(item, Item::Event { .. })));
        decoded.expect("within the limits");
    });
}

fn loops(publishing: &Publishing) {
    let mut one = Fanout::new(publishing, 1);
    let mut events: Vec<_> = (0..TIMES).map(|_| one.encode(ENVELOPE)).collect();
    events.drain(..).for_each(|event| one.publish(event));
    one.serve();
    case("an event from the log to its frame", TIMES, || {
        events.extend((0..TIMES).map(|_| one.encode(ENVELOPE)));
    });
    case("window: add an event", TIMES, || events.drain(..).for_each(|event| one.publish(event)));
    case("window: take an event", TIMES, || _ = black_box(one.take(TIMES)));
    one.serve();
    one.drain();
    case("one delivery: encode, window, loop, one stream", TIMES, || {
        for _ in 0..TIMES {
            let event = one.encode(ENVELOPE);
            one.publish(event);
            one.serve();
        }
    });
    assert!(one.drain() > TIMES * ENVELOPE.len() as u64, "every event was written");
    let mut many = Fanout::new(publishing, STREAMS);
    let events: Vec<_> = (0..2 * EVENTS).map(|_| many.encode(ENVELOPE)).collect();
    let mut events = events.into_iter();
    let mut pass = || {
        for event in events.by_ref().take(EVENTS) {
            many.publish(event);
            many.serve();
        }
    };
    pass();
    case("one pass over 256 streams: a stream", EVENTS * STREAMS, &mut pass);
    let least = 2 * EVENTS * STREAMS * ENVELOPE.len();
    assert!(many.drain() > least as u64, "every event was written to every stream");
}

fn ledger() {
    let scenario = "schema = 1\nname = \"c\"\nduration = \"60s\"\n[clients.c]\nclients = 10\n[publishers.main]\nrate = 1000";
    let scenario = scenario::parse("counts.toml", scenario, &[]).expect("the scenario above is valid");
    let plan = Plan::new(&scenario, RunId::from_random(1));
    let mut ledger = SubscriberLedger::new(&plan, plan.subscribers[0].id);
    let at = |ms| RunTime::from(Duration::from_millis(ms));
    ledger.confirmed(at(0), false);
    let (run, address) = (plan.run, plan.subscribers[0].addresses[0]);
    let stamps: Vec<_> = (1..=TIMES)
        .map(|seq| Stamp { run, publisher: PublisherId(0), address, seq, due: at(seq), sent: at(seq) })
        .collect();
    let data: Vec<String> = stamps
        .iter()
        .map(|stamp| {
            let (id, data) = (stamp.message_id(), stamp.encode(256));
            format!(
                r#"{{"id":"{id}","type":"MESSAGE","data":{data},"timestamp":"2026-01-01T00:00:00.000Z"}}"#
            )
        })
        .collect();
    case("bench: read the stamp of an event", TIMES, || {
        data.iter().for_each(|data| assert!(Stamp::decode(black_box(data)).is_ok()));
    });
    let ids: Vec<String> = (0..TIMES).map(|number| format!("k3f9qa-1795303903002-{number}")).collect();
    case("bench: an event into the ledger", TIMES, || {
        for (stamp, id) in stamps.iter().zip(&ids) {
            black_box(ledger.arrive(at(stamp.seq), Some(id.as_str()), *stamp));
        }
    });
}
