//! Target of `make fuzz`: a connection with one event toxic, and any bytes from both sides.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Http;
use crate::bench::faults::proxy::Chunk;
use crate::bench::scenario::{Direction, EventAction, EventToxic, Toxic, ToxicKind};
use crate::protocol::{Decoder, Item, Limits};

const ASK: &[u8] = b"GET /s HTTP/1.0\r\nLast-Event-ID: 4\r\n\r\n";
const STREAM: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

/// What came out on both sides.
#[derive(Debug, Default, PartialEq)]
struct Passed {
    heard: Vec<u8>,
    asked: Vec<u8>,
    is_closed: bool,
}

/// The first byte says the action, the second how to cut, the third whether the rest is a conversation or a stream.
pub(crate) fn toxics(bytes: &[u8]) {
    let Some((&[action, size, form], rest)) = bytes.split_first_chunk() else { return };
    let size = usize::from(size % 16) + 1;
    let (client, server) = rest.split_at(rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len()));
    let bare = pass(&[], client, server, size);
    assert_eq!((&bare.heard[..], &bare.asked[..]), (server, client), "without a toxic every byte passes");
    let (_, action) = EventAction::WORDS[usize::from(action) % EventAction::WORDS.len()];
    let toxic = toxic(action, form);
    let passed = pass(std::slice::from_ref(&toxic), client, server, size);
    assert!(action.is_of_requests() || passed.asked == client, "a toxic of events changes no request");
    let stream = [STREAM, rest].concat();
    let whole = pass(std::slice::from_ref(&toxic), ASK, &stream, usize::MAX);
    let cut = pass(&[toxic], ASK, &stream, size);
    // An LF that comes later than its CR passes by itself, as a line end that ends nothing.
    let hears = |passed: &Passed| (events(&passed.heard), passed.asked.clone(), passed.is_closed);
    assert_eq!(hears(&whole), hears(&cut), "no split changes what {} does", action.name());
    assert!(whole == cut || rest.contains(&b'\r'), "{whole:?} {cut:?}");
    is_explained(action, rest, whole.heard.strip_prefix(STREAM).unwrap_or_default());
}

fn toxic(action: EventAction, form: u8) -> Toxic {
    let event = EventToxic {
        delay: 400,
        status: 202,
        value: if form & 1 == 0 { "v" } else { "" }.to_owned(),
        nth: u64::from(form >> 1 & 3),
        back: 1,
        rate: if form & 8 == 0 { 1.0 } else { 0.5 },
        ..EventToxic::new(action)
    };
    let kind = ToxicKind::Event(event);
    Toxic { name: kind.name().to_owned(), stream: kind.usual_stream(), kind, toxicity: 1.0 }
}

fn pass(toxics: &[Toxic], client: &[u8], server: &[u8], size: usize) -> Passed {
    let mut http = Http::new(1, toxics, &Arc::default());
    let mut passed = Passed::default();
    for (direction, bytes) in [(Direction::Upstream, client), (Direction::Downstream, server)] {
        for piece in bytes.chunks(size.min(bytes.len()).max(1)) {
            http.take_in(direction, Duration::ZERO, Chunk::Data(Bytes::copy_from_slice(piece)));
            passed.take(&mut http, Duration::ZERO);
        }
    }
    for direction in [Direction::Upstream, Direction::Downstream] {
        http.take_in(direction, Duration::ZERO, Chunk::End);
    }
    passed.take(&mut http, Duration::ZERO);
    let mut turns = 0;
    while let Some(at) = http.wake_at() {
        http.wake(at);
        passed.take(&mut http, at);
        turns += 1;
        assert!(turns < 10_000, "something is kept for ever");
    }
    passed
}

impl Passed {
    fn take(&mut self, http: &mut Http, now: Duration) {
        while let Some(chunk) = http.next(Direction::Upstream, now) {
            if let Chunk::Data(bytes) = chunk {
                self.asked.extend_from_slice(&bytes);
            }
        }
        while let Some(chunk) = http.next(Direction::Downstream, now) {
            match chunk {
                Chunk::Data(bytes) => self.heard.extend_from_slice(&bytes),
                Chunk::End | Chunk::Broken | Chunk::Close => self.is_closed = true,
            }
        }
    }
}

/// Types and payloads of the events of a stream.
fn events(stream: &[u8]) -> Vec<(String, String)> {
    let mut events = Vec::new();
    let read = Decoder::new(Limits::default()).feed(stream, |item| {
        if let Item::Event { event, data, .. } = item {
            events.push((event.to_owned(), data.to_owned()));
        }
    });
    assert_eq!(read, Ok(()));
    events
}

/// What a client hears is what the action makes of what the server said.
fn is_explained(action: EventAction, said: &[u8], heard: &[u8]) {
    let (said_events, heard_events) = (events(said), events(heard));
    let mut left = said_events.iter();
    match action {
        EventAction::Delay | EventAction::HoldBack | EventAction::Split => assert_eq!(heard, said),
        EventAction::Drop => {
            assert!(heard_events.iter().all(|event| left.any(|said| said == event)), "{heard_events:?}");
        }
        EventAction::Duplicate => {
            let mut heard = heard_events.iter();
            assert!(said_events.iter().all(|event| heard.any(|heard| heard == event)), "{heard_events:?}");
        }
        EventAction::Reorder => {
            let sorted = |mut events: Vec<_>| {
                events.sort();
                events
            };
            assert_eq!(sorted(heard_events), sorted(said_events));
        }
        EventAction::Mute | EventAction::Truncate => assert!(said.starts_with(heard)),
        _ if action.is_of_requests() => assert_eq!(heard, said),
        _ => assert!(heard_events.len() >= said_events.len()),
    }
}
