//! Properties of every stream: splits change nothing, nothing panics, limits hold, what was encoded comes back, and an
//! unrelated parser agrees wherever that one is right.

use std::time::Duration;

use eventsource_stream::Eventsource as _;
use futures_util::{FutureExt as _, StreamExt as _};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::protocol::decode::{Decoder, Item, LimitExceeded, Limits};
use crate::protocol::{Cursor, Epoch, Format, Frame, Position, RetryMs};

/// An item that outlives the decoder's buffers.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Event { event: String, data: String, id: String, id_in_block: bool },
    Comment(String),
    Retry(Duration),
    IdCommitted(String),
    Failed(LimitExceeded),
}

impl From<Item<'_>> for Seen {
    fn from(item: Item<'_>) -> Self {
        match item {
            Item::Event { event, data, last_event_id, id_in_block } => Self::Event {
                event: event.to_owned(),
                data: data.to_owned(),
                id: last_event_id.to_owned(),
                id_in_block,
            },
            Item::Comment(text) => Self::Comment(text.to_owned()),
            Item::Retry(time) => Self::Retry(time),
            Item::IdCommitted(id) => Self::IdCommitted(id.to_owned()),
        }
    }
}

fn decode<'a>(limits: Limits, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut decoder = Decoder::new(limits);
    let mut seen = Vec::new();
    for chunk in chunks {
        if let Err(failed) = decoder.feed(chunk, |item| seen.push(item.into())) {
            seen.push(Seen::Failed(failed));
            break;
        }
    }
    seen
}

/// Cuts where the sizes say, round and round.
fn cut<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (chunk, rest) = bytes.split_at((*size).min(bytes.len()));
        chunks.push(chunk);
        bytes = rest;
    }
    chunks
}

/// Sizes of chunks; the last is never zero, so that going round ends.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..9_usize, 0..6).prop_flat_map(|sizes| {
        (1..40_usize).prop_map(move |last| sizes.iter().copied().chain([last]).collect())
    })
}

/// Bytes that look enough like a stream to reach every branch, and often are none.
fn stream_like() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&[u8]; 30] = [
        b"data",
        b"data:",
        b"data: ",
        b"data:  ",
        b"event",
        b"event: ",
        b"id",
        b"id: ",
        b"id:\0",
        b"retry: ",
        b"retry",
        b":",
        b" ",
        b"\n",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"\r\r",
        b"\xef\xbb\xbf",
        b"\xef\xbb",
        b"\xff",
        b"\xe2\x82\xac",
        b"\xf0\x9f\x91",
        b"0",
        b"17",
        b"x",
        b"datas: x\n",
        b"Data: x\n",
    ];
    let piece = prop_oneof![
        12 => prop::sample::select(PIECES.as_slice()).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn with_lf(data: &str) -> String {
    data.replace("\r\n", "\n").replace('\r', "\n")
}

proptest! {
    #[test]
    fn no_split_changes_what_is_read(bytes in stream_like(), sizes in sizes()) {
        let whole = decode(Limits::default(), [bytes.as_slice()]);
        prop_assert_eq!(decode(Limits::default(), cut(&bytes, &sizes)), whole.clone());
        prop_assert_eq!(decode(Limits::default(), bytes.chunks(1)), whole);
    }

    #[test]
    fn no_split_changes_where_a_limit_strikes(
        bytes in stream_like(), sizes in sizes(), max_line in 0..24_usize, max_event in 0..24_usize,
    ) {
        let limits = Limits { max_line, max_event };
        prop_assert_eq!(decode(limits, cut(&bytes, &sizes)), decode(limits, [bytes.as_slice()]));
    }

    #[test]
    fn no_input_panics(bytes: Vec<u8>, sizes in sizes()) {
        decode(Limits::default(), cut(&bytes, &sizes));
    }

    #[test]
    fn what_was_encoded_comes_back(
        bits: u64, ms: u64, seq: u64, retry in 1_000..=600_000_u64, has_retry: bool, has_id: bool,
        format in prop_oneof![Just(Format::Envelope), Just(Format::Data)],
        event in "[A-Za-z][A-Za-z0-9 :.ü]{0,12}",
        data in prop_oneof![any::<String>(), "[ab :\r\n\u{feff}]{0,40}"],
        sizes in sizes(),
    ) {
        let id = Cursor::new(Epoch::from_random(bits), Position { ms, seq }).spelled(format);
        let retry = RetryMs::clamped(retry);
        let frame =
            Frame { retry: has_retry.then_some(retry), id: has_id.then_some(id), event: &event, data: &data };
        let mut expected = Vec::new();
        if has_retry {
            expected.push(Seen::Retry(Duration::from_millis(retry.get().into())));
        }
        let id = if has_id { id.to_string() } else { String::new() };
        expected.push(Seen::Event { event: event.clone(), data: with_lf(&data), id, id_in_block: has_id });
        prop_assert_eq!(decode(Limits::default(), cut(&frame.encode(), &sizes)), expected);
    }

    #[test]
    fn memory_stays_within_the_limits(bytes in stream_like(), sizes in sizes()) {
        // Nothing read may be larger than its limit; malformed bytes triple when they are repaired.
        let limits = Limits { max_line: 20, max_event: 30 };
        for seen in decode(limits, cut(&bytes, &sizes)) {
            let (text, max) = match &seen {
                Seen::Event { data, .. } => (data.as_str(), limits.max_event),
                Seen::Comment(text) | Seen::IdCommitted(text) => (text.as_str(), limits.max_line),
                Seen::Retry(_) | Seen::Failed(_) => continue,
            };
            prop_assert!(text.len() <= 3 * max, "{seen:?}");
        }
    }
}

/// A stream that `eventsource-stream` 0.2.3 reads as the standard says. Known to be wrong there, and so not made here:
/// - a byte order mark: it panics (slices one byte off a three-byte character);
/// - malformed UTF-8: it goes silent and keeps everything in memory until the end;
/// - CR as a line end at the end of what has arrived: it waits for the byte after it, for ever at the end of the body.
///   CRLF is made, as LF follows;
/// - `retry`: it lives inside the event under construction, is lost in a block without data, and `+5` counts;
/// - the id of a block without data: not in its cursor until the next event (so ids are compared on events only).
fn stream_that_both_read() -> impl Strategy<Value = String> {
    let line_end = || prop_oneof![3 => Just("\n"), 1 => Just("\r\n")];
    let field = ("(data|event|id|datas|dat|Data|x|)", "(|:|: |:  |:\t)", "[a-zä€ :😀]{0,8}").prop_map(
        // Without a colon the text is part of the name, which is fine; a lone BOM is not in the alphabet.
        |(name, colon, value)| format!("{name}{colon}{value}"),
    );
    let line = (prop_oneof![3 => field, 2 => Just(String::new())], line_end());
    prop::collection::vec(line, 0..30)
        .prop_map(|lines| lines.into_iter().map(|(line, end)| format!("{line}{end}")).collect())
}

fn with_eventsource_stream(chunks: &[&[u8]]) -> Vec<(String, String, String)> {
    let body =
        futures_util::stream::iter(chunks.iter().map(|chunk| Ok::<_, std::convert::Infallible>(*chunk)));
    let events = body.eventsource().map(|event| {
        let event = event.expect("the body is UTF-8 and has no transport");
        (event.event, event.data, event.id)
    });
    events.collect::<Vec<_>>().now_or_never().expect("nothing here waits")
}

proptest! {
    #[test]
    fn an_unrelated_parser_agrees_where_it_is_right(stream in stream_that_both_read(), sizes in sizes()) {
        let chunks = cut(stream.as_bytes(), &sizes);
        let ours: Vec<_> = decode(Limits::default(), chunks.iter().copied())
            .into_iter()
            .filter_map(|seen| match seen {
                Seen::Event { event, data, id, .. } => Some((event, data, id)),
                Seen::Comment(_) | Seen::Retry(_) | Seen::IdCommitted(_) | Seen::Failed(_) => None,
            })
            .collect();
        prop_assert_eq!(ours, with_eventsource_stream(&chunks));
    }
}

#[track_caller]
fn check_limit(limits: Limits, stream: &str, expected: &[Seen]) {
    for size in [1, 2, 3, stream.len()] {
        assert_eq!(
            decode(limits, stream.as_bytes().chunks(size)),
            expected,
            "{stream:?} in chunks of {size}"
        );
    }
}

fn event(data: &str) -> Seen {
    Seen::Event { event: "message".into(), data: data.into(), id: String::new(), id_in_block: false }
}

#[test]
fn limits_are_errors_behind_what_came_before_them() {
    let limits = Limits { max_line: 8, max_event: 6 };
    let (line, data) = (LimitExceeded::Line { max: 8 }, LimitExceeded::Event { max: 6 });
    check_limit(limits, "data:123\n\n", &[event("123")]);
    check_limit(limits, "data:123\n\ndata:1234\n\n", &[event("123"), Seen::Failed(line)]);
    check_limit(limits, ": longer than that", &[Seen::Failed(line)]);
    check_limit(limits, "data:12\ndata:12\n\n", &[event("12\n12")]);
    check_limit(limits, "data:12\ndata:12\ndata\n\n", &[Seen::Failed(data)]);
    // The limit is one event's: it starts anew behind a blank line, with data or without.
    check_limit(
        limits,
        "data:12\n\nid\n\ndata:123\n\n",
        &[
            event("12"),
            Seen::IdCommitted("".into()),
            Seen::Event {
                event: "message".into(),
                data: "123".into(),
                id: String::new(),
                id_in_block: false,
            },
        ],
    );
}

#[test]
fn a_decoder_that_failed_stays_failed() {
    let mut decoder = Decoder::new(Limits { max_line: 3, max_event: 3 });
    let failed = decoder.feed(b"too long", |_| {}).unwrap_err();
    assert_eq!(decoder.feed(b"\n\n:\n", |item| panic!("{item:?}")), Err(failed));
}

#[test]
fn the_next_connection_starts_anew_but_for_what_a_reconnect_needs() {
    let mut decoder = Decoder::resume(Limits::default(), "7");
    decoder.feed(b"retry: 9\nid: 8\n\nid: 9\ndata: unfinished\nretry: 10\r", |_| {}).unwrap();
    decoder.finish();
    assert_eq!(
        (decoder.last_event_id(), decoder.reconnection_time()),
        ("8", Some(Duration::from_millis(10)))
    );
    let mut seen = Vec::new();
    // The first LF is a blank line of its own, not the rest of the CR before it; the mark is at a start again.
    decoder.feed(b"\xef\xbb\xbf\ndata: x\n\n", |item| seen.push(Seen::from(item))).unwrap();
    let expected =
        Seen::Event { event: "message".into(), data: "x".into(), id: "8".into(), id_in_block: false };
    assert_eq!(seen, [expected]);
}

#[test]
fn a_block_within_one_chunk_is_borrowed_from_it() {
    let chunk = b"event: tick\ndata: 12345\n\n";
    let mut decoder = Decoder::new(Limits::default());
    let mut input = chunk.as_slice();
    let Some(Item::Event { event, data, .. }) = decoder.decode(&mut input).unwrap() else {
        panic!("no event");
    };
    assert!(chunk.as_ptr_range().contains(&data.as_ptr()) && chunk.as_ptr_range().contains(&event.as_ptr()));
}
