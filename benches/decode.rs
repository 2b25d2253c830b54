//! How fast events are read and written: the strict decoder beside `eventsource-stream` at chunk sizes that a socket
//! really gives (one packet, one TLS record, a reader that fell behind), and the encoder. Only the ratios within one
//! run mean anything. `cargo bench --bench decode`

use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use eventsource_stream::Eventsource as _;
use futures_util::{FutureExt as _, StreamExt as _};
use sse_lab::protocol::{Cursor, Decoder, Format, Frame, Item, Limits};

const EVENTS: u64 = 5_000;
const CHUNK_SIZES: [usize; 3] = [1_460, 16 * 1024, 64 * 1024];

fn frame(id: Cursor, data: &str) -> Frame<'_> {
    Frame { retry: None, id: Some(id.spelled(Format::Envelope)), event: "MESSAGE", data }
}

fn cursor(seq: u64) -> Cursor {
    format!("k3f9qa-1795303903002-{seq}").parse().expect("it is the canonical text")
}

const PAYLOAD: &str = r#"{"id":"01KAB","type":"MESSAGE","data":{"n":1},"timestamp":"2026-11-22T00:00:00.000Z","source":"n1","metadata":null}"#;

fn stream() -> Bytes {
    let mut out = BytesMut::new();
    for seq in 0..EVENTS {
        frame(cursor(seq), PAYLOAD).encode_into(&mut out);
    }
    out.freeze()
}

fn strict(chunks: &[Bytes]) -> u64 {
    let mut decoder = Decoder::new(Limits::default());
    let mut events = 0;
    for chunk in chunks {
        decoder
            .feed(chunk, |item| events += u64::from(matches!(black_box(item), Item::Event { .. })))
            .expect("within the limits");
    }
    events
}

fn eventsource_stream(chunks: &[Bytes]) -> u64 {
    let body = futures_util::stream::iter(chunks.iter().cloned().map(Ok::<_, std::convert::Infallible>));
    let count = body.eventsource().fold(0, |events, event| {
        black_box(event.expect("the stream is valid"));
        std::future::ready(events + 1)
    });
    count.now_or_never().expect("nothing here waits")
}

fn decode(criterion: &mut Criterion) {
    let stream = stream();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(EVENTS));
    for size in CHUNK_SIZES {
        let chunks: Vec<Bytes> = stream.chunks(size).map(Bytes::copy_from_slice).collect();
        assert_eq!((strict(&chunks), eventsource_stream(&chunks)), (EVENTS, EVENTS), "both read all of it");
        group.bench_with_input(BenchmarkId::new("strict", size), &chunks, |b, chunks| {
            b.iter(|| strict(chunks));
        });
        group.bench_with_input(BenchmarkId::new("eventsource-stream", size), &chunks, |b, chunks| {
            b.iter(|| eventsource_stream(chunks));
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let lines = PAYLOAD.replace(',', ",\n");
    for (name, data) in [("one_line", PAYLOAD), ("seven_lines", &lines)] {
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function(name, |b| b.iter(|| frame(cursor(7), black_box(data)).encode()));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = decode, encode
}
criterion_main!(benches);
