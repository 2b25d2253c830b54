//! The lane against every toxic, with times that are only numbers; and a link over pipes, with time that stands still
//! until everybody waits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{Lanes, Link};
use super::pipeline::{BYTES_MAX, CHUNKS_MAX, Pipeline, Step};
use super::toxic_stage::{Chunk, Outcome};
use crate::bench::scenario::{Attribute, Direction, Stream, Toxic, ToxicKind};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn toxic(kind: ToxicKind) -> Toxic {
    Toxic { name: kind.name().to_owned(), kind, stream: Stream::Both, toxicity: 1.0 }
}

fn pipeline(kinds: &[ToxicKind]) -> Pipeline {
    seeded(1, kinds)
}

fn seeded(seed: u64, kinds: &[ToxicKind]) -> Pipeline {
    let toxics: Vec<Toxic> = kinds.iter().cloned().map(toxic).collect();
    Pipeline::new(Direction::Downstream, seed, &toxics)
}

fn data(bytes: &[u8]) -> Chunk {
    Chunk::Data(Bytes::copy_from_slice(bytes))
}

/// What comes out of a lane up to a time, each with its own.
fn until(pipeline: &mut Pipeline, mut now: Duration, end: Duration) -> Vec<(Duration, Step)> {
    let mut steps = Vec::new();
    loop {
        match pipeline.step(now) {
            Step::Wait(Some(at)) if at <= end => now = now.max(at),
            Step::Wait(_) => return steps,
            step @ Step::Finish(_) => {
                steps.push((now, step));
                return steps;
            }
            step => steps.push((now, step)),
        }
    }
}

/// The same, with times in milliseconds, and bytes as text.
fn told(pipeline: &mut Pipeline, from: u64, to: u64) -> Vec<(u128, String)> {
    let word = |step| match step {
        Step::Write(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Step::End => "END".to_owned(),
        Step::Finish(Outcome::Closed) => "CLOSED".to_owned(),
        Step::Finish(Outcome::Reset) => "RESET".to_owned(),
        Step::Wait(_) => "WAIT".to_owned(),
    };
    until(pipeline, ms(from), ms(to)).into_iter().map(|(at, step)| (at.as_millis(), word(step))).collect()
}

fn written(steps: &[(Duration, Step)]) -> Vec<u8> {
    let bytes = steps.iter().filter_map(|(_, step)| match step {
        Step::Write(bytes) => Some(bytes.to_vec()),
        _ => None,
    });
    bytes.flatten().collect()
}

/// Feeds a lane at once, and checks what comes out of it when.
#[track_caller]
fn check(kind: &ToxicKind, input: &[Chunk], expected: &[(u128, &str)]) {
    let mut pipeline = pipeline(std::slice::from_ref(kind));
    input.iter().for_each(|chunk| pipeline.push(chunk.clone()));
    let told = told(&mut pipeline, 0, 60_000);
    let told: Vec<(u128, &str)> = told.iter().map(|(at, word)| (*at, word.as_str())).collect();
    assert_eq!(told, expected, "{kind:?}");
}

#[test]
fn every_toxic_does_what_its_name_says() {
    let hello = [data(b"hello"), data(b"world"), Chunk::End];
    let latency = ToxicKind::Latency { latency: 200, jitter: 0 };
    check(&latency, &hello, &[(200, "hello"), (200, "world"), (200, "END")]);
    check(&ToxicKind::Bandwidth { rate: 1 }, &hello, &[(5, "hello"), (10, "world"), (10, "END")]);
    check(&ToxicKind::Bandwidth { rate: 0 }, &hello, &[]);
    check(&ToxicKind::SlowClose { delay: 700 }, &hello, &[(0, "hello"), (0, "world"), (700, "END")]);
    check(&ToxicKind::Timeout { timeout: 300 }, &hello[..2], &[(300, "CLOSED")]);
    check(&ToxicKind::Timeout { timeout: 0 }, &hello[..2], &[]);
    check(&ToxicKind::ResetPeer { timeout: 300 }, &hello[..2], &[(300, "RESET")]);
    check(&ToxicKind::ResetPeer { timeout: 300 }, &[], &[(300, "RESET")]);
    let slicer = ToxicKind::Slicer { average_size: 2, size_variation: 0, delay: 10_000 };
    check(&slicer, &hello[..1], &[(0, "he"), (10, "ll"), (20, "o")]);
    check(&ToxicKind::LimitData { bytes: 7 }, &hello, &[(0, "hello"), (0, "wo"), (0, "CLOSED")]);
    check(&ToxicKind::LimitData { bytes: 0 }, &[], &[]);
    check(&ToxicKind::LimitData { bytes: 0 }, &hello, &[(0, "CLOSED")]);
    check(&ToxicKind::Cut { time: 400 }, &hello[..2], &[(0, "hello"), (0, "world"), (400, "CLOSED")]);
    for silent in [ToxicKind::Stall, ToxicKind::Drop] {
        check(&silent, &hello, &[]);
    }
    // It meets those that were there before it.
    check(&ToxicKind::HalfOpen, &hello, &[(0, "hello"), (0, "world"), (0, "END")]);
}

#[test]
fn a_broken_sender_is_handed_on_behind_what_it_said() {
    let latency = ToxicKind::Latency { latency: 50, jitter: 0 };
    check(&latency, &[data(b"last"), Chunk::Broken], &[(50, "last"), (50, "RESET")]);
    check(&ToxicKind::Drop, &[Chunk::Broken], &[]);
}

#[test]
fn a_limit_closes_only_when_a_slow_line_has_carried_what_was_below_it() {
    let mut pipeline =
        pipeline(&[ToxicKind::LimitData { bytes: 4 }, ToxicKind::Latency { latency: 100, jitter: 0 }]);
    pipeline.push(data(b"hello"));
    assert_eq!(told(&mut pipeline, 0, 1_000), [(100, "hell".to_owned()), (100, "CLOSED".to_owned())]);
}

#[test]
fn a_stall_holds_everything_and_goes_on_without_the_loss_of_a_byte() {
    let mut pipeline = pipeline(&[]);
    pipeline.push(data(b"before "));
    pipeline.set_toxics(ms(0), &[toxic(ToxicKind::Stall)]);
    assert!(!pipeline.wants_input() && pipeline.is_dead());
    assert_eq!(pipeline.step(ms(10)), Step::Wait(None));
    pipeline.set_toxics(ms(5_000), &[]);
    pipeline.push(data(b"after"));
    assert_eq!(written(&until(&mut pipeline, ms(5_000), ms(5_000))), b"before after");
}

#[test]
fn a_stream_with_a_hole_does_not_go_on() {
    for (kind, outcome) in [
        (ToxicKind::Drop, Outcome::Reset),
        (ToxicKind::HalfOpen, Outcome::Reset),
        (ToxicKind::Timeout { timeout: 0 }, Outcome::Closed),
    ] {
        let mut pipeline = pipeline(&[]);
        pipeline.set_toxics(ms(0), &[toxic(kind.clone())]);
        pipeline.push(data(b"gone"));
        assert_eq!(pipeline.step(ms(1)), Step::Wait(None), "{kind:?}");
        // To be spared from now on brings nothing back.
        pipeline.set_toxics(ms(2), &[Toxic { toxicity: 0.0, ..toxic(kind.clone()) }]);
        pipeline.push(data(b"later"));
        assert_eq!(pipeline.step(ms(2)), Step::Wait(None), "{kind:?}");
        pipeline.set_toxics(ms(3), &[]);
        assert_eq!(pipeline.step(ms(3)), Step::Finish(outcome), "{kind:?}");
    }
}

#[test]
fn a_drop_that_met_no_byte_leaves_the_connection_whole() {
    for kind in [ToxicKind::Drop, ToxicKind::HalfOpen] {
        let mut pipeline = pipeline(&[]);
        pipeline.set_toxics(ms(0), &[toxic(kind.clone())]);
        pipeline.set_toxics(ms(9), &[]);
        pipeline.push(data(b"whole"));
        assert_eq!(pipeline.step(ms(9)), Step::Write(Bytes::from_static(b"whole")), "{kind:?}");
    }
}

#[test]
fn what_waited_in_a_toxic_that_goes_comes_before_what_is_newer() {
    let slow = toxic(ToxicKind::Latency { latency: 9_000, jitter: 0 });
    let behind = toxic(ToxicKind::Slicer { average_size: 100, size_variation: 0, delay: 0 });
    for rest in [vec![], vec![behind]] {
        let all: Vec<Toxic> = std::iter::once(slow.clone()).chain(rest.iter().cloned()).collect();
        let mut pipeline = Pipeline::new(Direction::Upstream, 1, &all);
        pipeline.push(data(b"old "));
        assert_eq!(pipeline.step(ms(1)), Step::Wait(Some(ms(9_001))));
        pipeline.set_toxics(ms(2), &rest);
        pipeline.push(data(b"new"));
        assert_eq!(written(&until(&mut pipeline, ms(2), ms(2))), b"old new");
    }
}

#[test]
fn changed_attributes_hold_for_what_comes_later() {
    let slow = |latency| toxic(ToxicKind::Latency { latency, jitter: 0 });
    let mut pipeline = Pipeline::new(Direction::Upstream, 1, &[slow(100)]);
    pipeline.push(data(b"a"));
    assert_eq!(pipeline.step(ms(0)), Step::Wait(Some(ms(100))));
    pipeline.set_toxics(ms(1), &[slow(10)]);
    pipeline.push(data(b"b"));
    // Nothing overtakes.
    assert_eq!(told(&mut pipeline, 1, 500), [(100, "a".to_owned()), (100, "b".to_owned())]);
}

#[test]
fn a_toxic_of_the_other_direction_is_none() {
    let stream = Stream::One(Direction::Upstream);
    let pipeline = Pipeline::new(Direction::Downstream, 1, &[Toxic { stream, ..toxic(ToxicKind::Stall) }]);
    assert!(!pipeline.is_stalled());
}

#[test]
fn who_is_met_is_decided_once_a_connection_and_for_both_directions() {
    let stall = |toxicity| Toxic { toxicity, ..toxic(ToxicKind::Stall) };
    let met = |seed, toxicity| {
        let sides = [Direction::Upstream, Direction::Downstream].map(|direction| {
            let mut pipeline = Pipeline::new(direction, seed, &[stall(toxicity)]);
            let at_first = pipeline.is_stalled();
            pipeline.set_toxics(ms(1), &[]);
            pipeline.set_toxics(ms(2), &[stall(toxicity)]);
            assert_eq!(pipeline.is_stalled(), at_first, "it is the same toxic");
            at_first
        });
        assert_eq!(sides[0], sides[1], "a connection has two directions and one fate");
        sides[0]
    };
    let half = (0..1_000).filter(|seed| met(*seed, 0.5)).count();
    assert!((400..600).contains(&half), "{half}");
    assert!((0..100).all(|seed| !met(seed, 0.0) && met(seed, 1.0)));
    assert!((0..1_000).all(|seed| !met(seed, 0.3) || met(seed, 0.6)), "more toxicity spares nobody");
}

#[test]
fn a_slicer_cuts_inside_a_character_and_inside_a_line_end() {
    let text = "data: häß→\r\n\r\n".as_bytes();
    let mut cuts = vec![false; text.len() + 1];
    for seed in 0..200 {
        let slicer = ToxicKind::Slicer { average_size: 4, size_variation: 3, delay: 10 };
        let mut pipeline = seeded(seed, &[slicer]);
        pipeline.push(data(text));
        let steps = until(&mut pipeline, ms(0), ms(1_000));
        assert_eq!(written(&steps), text);
        let mut at = 0;
        for (_, step) in &steps {
            let Step::Write(bytes) = step else { panic!("{step:?}") };
            assert!((1..=7).contains(&bytes.len()), "{bytes:?}");
            at += bytes.len();
            cuts[at] = true;
        }
    }
    let line_end = text.windows(2).position(|pair| pair == b"\r\n").unwrap();
    assert!(cuts[line_end + 1], "between CR and LF");
    let arrow = text.windows(3).position(|bytes| bytes == "→".as_bytes()).unwrap();
    assert!(cuts[arrow + 1] && cuts[arrow + 2], "inside a character of three bytes");
}

#[test]
fn a_full_lane_wants_no_more_until_something_has_left() {
    let slow = [ToxicKind::Bandwidth { rate: 1 }];
    let mut pipeline = pipeline(&slow);
    let chunk = vec![0; 8 * 1024];
    let mut pushed = 0;
    while pipeline.wants_input() {
        pipeline.push(data(&chunk));
        pushed += chunk.len();
        pipeline.step(ms(0));
    }
    assert_eq!(pushed, BYTES_MAX);
    until(&mut pipeline, ms(0), ms(200));
    assert!(pipeline.wants_input());
    let mut pipeline = seeded(1, &slow);
    let mut pushed = 0;
    while pipeline.wants_input() {
        pipeline.push(data(b"x"));
        pushed += 1;
        // One of them is on its way.
        pipeline.step(ms(0));
    }
    assert_eq!(pushed, CHUNKS_MAX);
    let mut pipeline = seeded(1, &[ToxicKind::Drop]);
    for _ in 0..1_000 {
        assert!(pipeline.wants_input(), "what is thrown away takes no room");
        pipeline.push(data(&chunk));
        pipeline.step(ms(0));
    }
}

fn harmless() -> impl Strategy<Value = ToxicKind> {
    prop_oneof![
        (0..300_u64, 0..300_u64).prop_map(|(latency, jitter)| ToxicKind::Latency { latency, jitter }),
        (1..50_u64).prop_map(|rate| ToxicKind::Bandwidth { rate }),
        (0..300_u64).prop_map(|delay| ToxicKind::SlowClose { delay }),
        (0..40_u64, 0..60_u64, 0..5_000_u64).prop_map(|(average_size, size_variation, delay)| {
            ToxicKind::Slicer { average_size, size_variation, delay }
        }),
        Just(ToxicKind::Stall),
    ]
}

#[derive(Debug, Clone)]
enum Deed {
    Say(Vec<u8>),
    Toxics(Vec<ToxicKind>),
    Pass(u64),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 1..200).prop_map(Deed::Say),
        1 => prop::collection::vec(harmless(), 0..4).prop_map(Deed::Toxics),
        3 => (0..400_u64).prop_map(Deed::Pass),
    ];
    prop::collection::vec(deed, 1..40)
}

/// What comes out of a lane to which all this is done, up to its end.
fn outcome_of(seed: u64, deeds: &[Deed]) -> (Vec<u8>, Vec<(Duration, Step)>) {
    let mut pipeline = seeded(seed, &[]);
    let (mut said, mut steps, mut now) = (Vec::new(), Vec::new(), Duration::ZERO);
    for deed in deeds {
        match deed {
            Deed::Say(bytes) => {
                said.extend_from_slice(bytes);
                pipeline.push(data(bytes));
            }
            Deed::Toxics(kinds) => {
                // Several of one type, each with a name of its own.
                let named = |(i, kind): (usize, &ToxicKind)| Toxic {
                    name: format!("{}-{i}", kind.name()),
                    ..toxic(kind.clone())
                };
                pipeline.set_toxics(now, &kinds.iter().enumerate().map(named).collect::<Vec<_>>());
            }
            Deed::Pass(time) => {
                let later = now + ms(*time);
                steps.extend(until(&mut pipeline, now, later));
                now = later;
            }
        }
    }
    pipeline.push(Chunk::End);
    pipeline.set_toxics(now, &[]);
    steps.extend(until(&mut pipeline, now, now + ms(1)));
    (said, steps)
}

proptest! {
    #[test]
    fn whatever_delays_slices_and_stalls_loses_nothing_and_keeps_the_order(seed: u64, deeds in deeds()) {
        let (said, steps) = outcome_of(seed, &deeds);
        prop_assert_eq!(written(&steps), said);
        prop_assert_eq!(steps.last().map(|(_, step)| step), Some(&Step::End), "its end is the last thing");
        prop_assert!(steps.is_sorted_by_key(|(at, _)| *at));
    }

    #[test]
    fn one_seed_makes_one_schedule(seed: u64, deeds in deeds()) {
        prop_assert_eq!(outcome_of(seed, &deeds), outcome_of(seed, &deeds));
    }
}

#[test]
fn another_seed_makes_another_schedule() {
    let times = |seed| {
        let mut pipeline = seeded(seed, &[ToxicKind::Latency { latency: 500, jitter: 400 }]);
        pipeline.push(data(b"x"));
        until(&mut pipeline, ms(0), ms(1_000))[0].0
    };
    assert_eq!(times(1), times(1));
    let different: std::collections::BTreeSet<Duration> = (0..20).map(times).collect();
    assert!(different.len() > 15, "{different:?}");
}

/// A link over pipes.
struct Pipes {
    client: DuplexStream,
    server: DuplexStream,
    toxics: watch::Sender<Arc<[Toxic]>>,
    stop: CancellationToken,
    link: JoinSet<Outcome>,
}

impl Pipes {
    /// Each pipe holds so many bytes.
    fn new(room: usize) -> Self {
        let (client, near) = tokio::io::duplex(room);
        let (server, far) = tokio::io::duplex(room);
        let (toxics, seen) = watch::channel(Arc::from([]));
        let stop = CancellationToken::new();
        let mut link = JoinSet::new();
        let token = stop.clone();
        link.spawn(async move {
            let traffic = Default::default();
            Link::new(Lanes::new(1, seen, &Arc::default()), near, far, traffic).carry(&token).await.0
        });
        Self { client, server, toxics, stop, link }
    }

    fn set(&self, toxics: &[Toxic]) {
        self.toxics.send_replace(toxics.into());
    }

    async fn hears(&mut self, bytes: usize) -> Vec<u8> {
        let mut heard = vec![0; bytes];
        self.client.read_exact(&mut heard).await.unwrap();
        heard
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_stalled_loses_no_byte_and_holds_its_sender_back() {
    let mut pipes = Pipes::new(1_000);
    pipes.server.write_all(b"early").await.unwrap();
    assert_eq!(pipes.hears(5).await, b"early");
    pipes.set(&[toxic(ToxicKind::Stall)]);
    // Lets the link see it.
    tokio::time::sleep(ms(1)).await;
    let text: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (mut from, mut to) = (0, vec![0; text.len()]);
    while let Ok(written) = tokio::time::timeout(ms(100), pipes.server.write(&text[from..])).await {
        from += written.unwrap();
    }
    assert_eq!(from, 1_000, "nobody reads");
    let silent = tokio::time::timeout(Duration::from_secs(30), pipes.client.read(&mut to)).await;
    assert!(silent.is_err(), "nobody writes");
    pipes.set(&[]);
    let (sent, heard) = tokio::join!(pipes.server.write_all(&text[from..]), pipes.client.read_exact(&mut to));
    sent.and(heard.map(drop)).unwrap();
    assert!(to == text);
}

#[tokio::test(start_paused = true)]
async fn a_link_delays_what_the_server_says_and_not_what_the_client_does() {
    let mut pipes = Pipes::new(1_000);
    let stream = Stream::One(Direction::Downstream);
    pipes.set(&[Toxic { stream, ..toxic(ToxicKind::Latency { latency: 300, jitter: 0 }) }]);
    tokio::time::sleep(ms(1)).await;
    let began = Instant::now();
    pipes.client.write_all(b"ask").await.unwrap();
    let mut question = [0; 3];
    pipes.server.read_exact(&mut question).await.unwrap();
    assert_eq!(began.elapsed(), ms(0));
    pipes.server.write_all(b"one").await.unwrap();
    tokio::time::sleep(ms(100)).await;
    pipes.server.write_all(b"two").await.unwrap();
    assert_eq!(pipes.hears(3).await, b"one");
    assert_eq!(began.elapsed(), ms(300));
    assert_eq!(pipes.hears(3).await, b"two");
    assert_eq!(began.elapsed(), ms(400), "a delay is no bandwidth");
}

#[tokio::test(start_paused = true)]
async fn an_end_is_handed_on_while_the_other_direction_still_speaks() {
    let mut pipes = Pipes::new(1_000);
    pipes.client.shutdown().await.unwrap();
    let mut rest = Vec::new();
    pipes.server.read_to_end(&mut rest).await.unwrap();
    pipes.server.write_all(b"still here").await.unwrap();
    assert_eq!(pipes.hears(10).await, b"still here");
    pipes.server.shutdown().await.unwrap();
    assert_eq!(pipes.client.read_to_end(&mut rest).await.unwrap(), 0);
    assert_eq!(pipes.link.join_next().await.unwrap().unwrap(), Outcome::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_silent_link_is_reset_when_its_time_has_come() {
    let mut pipes = Pipes::new(1_000);
    tokio::time::sleep(ms(1_000)).await;
    pipes.set(&[toxic(ToxicKind::ResetPeer { timeout: 500 })]);
    let began = Instant::now();
    assert_eq!(pipes.link.join_next().await.unwrap().unwrap(), Outcome::Reset);
    assert_eq!(began.elapsed(), ms(500));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_nobody_reads_is_cut_all_the_same() {
    let mut pipes = Pipes::new(10);
    pipes.set(&[toxic(ToxicKind::Cut { time: 700 })]);
    pipes.server.write_all(b"more than fits").await.unwrap();
    assert_eq!(pipes.link.join_next().await.unwrap().unwrap(), Outcome::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_half_open_link_says_nothing_and_closes_nothing_until_it_is_healed() {
    let mut pipes = Pipes::new(1_000);
    tokio::time::sleep(ms(1)).await;
    pipes.set(&[toxic(ToxicKind::HalfOpen)]);
    tokio::time::sleep(ms(1)).await;
    let chatter = vec![7; 100_000];
    pipes.server.write_all(&chatter).await.unwrap();
    pipes.client.shutdown().await.unwrap();
    let mut heard = [0; 1];
    for peer in [&mut pipes.client, &mut pipes.server] {
        let silent = tokio::time::timeout(Duration::from_secs(600), peer.read(&mut heard)).await;
        assert!(silent.is_err(), "{silent:?}");
    }
    pipes.set(&[]);
    assert_eq!(pipes.link.join_next().await.unwrap().unwrap(), Outcome::Reset);
}

#[tokio::test(start_paused = true)]
async fn a_link_ends_when_its_proxy_does() {
    let mut pipes = Pipes::new(1_000);
    pipes.set(&[toxic(ToxicKind::Stall)]);
    tokio::time::sleep(ms(1)).await;
    pipes.stop.cancel();
    assert_eq!(pipes.link.join_next().await.unwrap().unwrap(), Outcome::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_end_behind_what_is_held_back_is_read_once_and_leaves_with_it() {
    let mut pipes = Pipes::new(1_000);
    let mut hold = ToxicKind::named("hold_back").unwrap();
    for (name, value) in hold.attributes() {
        if let (Attribute::Number(delay), "delay") = (value, name) {
            *delay = 700;
        }
    }
    let stream = Stream::One(Direction::Downstream);
    pipes.set(&[Toxic { stream, ..toxic(hold) }]);
    tokio::time::sleep(ms(1)).await;
    pipes.client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    pipes.server.write_all(&[head.as_slice(), b"data: a\n\n"].concat()).await.unwrap();
    pipes.server.shutdown().await.unwrap();
    assert_eq!(pipes.hears(head.len()).await, head);
    let began = Instant::now();
    let mut rest = Vec::new();
    pipes.client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"data: a\n\n");
    assert!(began.elapsed() >= ms(690), "{:?}", began.elapsed());
}
