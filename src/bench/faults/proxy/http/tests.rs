//! A connection with event toxics, with times that are only numbers: what the client gets of what the server sends, for
//! every toxic, every framing and any split of the bytes.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use proptest::prelude::*;

use super::{Findings, Http};
use crate::bench::faults::proxy::Chunk;
use crate::bench::scenario::{Direction, EventAction, EventToxic, Toxic, ToxicKind, Which};

const EVENTS: &str = "retry: 9\nid: 1\nevent: CONNECTION\ndata: {}\n\n:\nid: 2\nevent: price\ndata: {\"a\": \"word\"}\n\n\
                      id: 3\ndata: two\ndata: lines\n\n: c\nid: 4\nevent: price\ndata: last\n\n";

fn event(action: EventAction) -> EventToxic {
    let delay = if matches!(action, EventAction::HoldBack | EventAction::Delay) { 400 } else { 0 };
    EventToxic { status: 202, value: "v".to_owned(), delay, ..EventToxic::new(action) }
}

fn toxic(event: EventToxic) -> Toxic {
    let kind = ToxicKind::Event(event);
    Toxic { name: kind.name().to_owned(), stream: kind.usual_stream(), kind, toxicity: 1.0 }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A connection, and what came out of it on both sides.
struct Bed {
    http: Http,
    findings: Arc<Findings>,
    now: Duration,
    heard: Vec<u8>,
    asked: Vec<u8>,
    is_closed: bool,
}

impl Bed {
    fn new(toxics: &[Toxic]) -> Self {
        Self::seeded(1, toxics)
    }

    fn seeded(seed: u64, toxics: &[Toxic]) -> Self {
        let findings = Arc::default();
        let http = Http::new(seed, toxics, &findings);
        Self { http, findings, now: ms(0), heard: Vec::new(), asked: Vec::new(), is_closed: false }
    }

    fn with(event: EventToxic) -> Self {
        Self::new(&[toxic(event)])
    }

    fn drain(&mut self) {
        self.http.wake(self.now);
        while let Some(chunk) = self.http.next(Direction::Upstream, self.now) {
            if let Chunk::Data(bytes) = chunk {
                self.asked.extend_from_slice(&bytes);
            }
        }
        while let Some(chunk) = self.http.next(Direction::Downstream, self.now) {
            match chunk {
                Chunk::Data(bytes) => self.heard.extend_from_slice(&bytes),
                Chunk::End | Chunk::Broken | Chunk::Close => self.is_closed = true,
            }
        }
    }

    fn client(&mut self, bytes: impl AsRef<[u8]>) {
        let chunk = Chunk::Data(Bytes::copy_from_slice(bytes.as_ref()));
        self.http.take_in(Direction::Upstream, self.now, chunk);
        self.drain();
    }

    fn server(&mut self, bytes: impl AsRef<[u8]>) {
        let chunk = Chunk::Data(Bytes::copy_from_slice(bytes.as_ref()));
        self.http.take_in(Direction::Downstream, self.now, chunk);
        self.drain();
    }

    fn end(&mut self) {
        self.http.take_in(Direction::Downstream, self.now, Chunk::End);
        self.drain();
    }

    fn pass(&mut self, millis: u64) {
        self.now += ms(millis);
        self.drain();
    }

    /// Asks for a stream and gets the head of a chunked one.
    fn stream(mut self, cursor: &str) -> Self {
        self.client(format!("GET /stream?x HTTP/1.1\r\nHost: h\r\n{cursor}\r\n"));
        self.server(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        self.heard.clear();
        self
    }

    fn send(&mut self, payload: &str) {
        self.server(chunk(payload.as_bytes()));
    }

    /// What the client has heard of the stream since.
    fn payload(&mut self) -> String {
        String::from_utf8(dechunked(&std::mem::take(&mut self.heard))).unwrap()
    }
}

fn chunk(payload: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", payload.len()).as_bytes(), payload, b"\r\n"].concat()
}

fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    while let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        payload.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 2 + size + 2..];
    }
    payload
}

#[track_caller]
fn check(event: EventToxic, cursor: &str, expected: &str) {
    let name = event.action.name();
    let mut bed = Bed::with(event).stream(cursor);
    bed.send(EVENTS);
    bed.pass(5_000);
    assert_eq!(bed.payload(), expected, "{name}");
    assert!(bed.findings.of(name).met > 0, "{name}");
}

#[test]
fn every_toxic_does_what_its_name_says_and_spares_the_events_of_a_node() {
    let price = |action| EventToxic { event: "price".into(), ..event(action) };
    let first = "id: 2\nevent: price\ndata: {\"a\": \"word\"}\n\n";
    let last = ": c\nid: 4\nevent: price\ndata: last\n\n";
    let two = "id: 3\ndata: two\ndata: lines\n\n";
    let head = "retry: 9\nid: 1\nevent: CONNECTION\ndata: {}\n\n:\n";
    check(event(EventAction::Drop), "", &format!("{head}: c\n"));
    check(EventToxic { nth: 2, ..price(EventAction::Drop) }, "", &format!("{head}{first}{two}: c\n"));
    let message = EventToxic { event: "message".into(), ..event(EventAction::Drop) };
    check(message, "", &EVENTS.replace(two, ""));
    let named = EventToxic { event: "CONNECTION".into(), ..event(EventAction::Drop) };
    check(named, "", &EVENTS.replace("retry: 9\nid: 1\nevent: CONNECTION\ndata: {}\n\n", ""));
    let comments = EventToxic { which: Which::Comments, ..event(EventAction::Drop) };
    check(comments, "", &EVENTS.replace(":\n", "").replace(": c\n", ""));
    check(EventToxic { which: Which::All, ..event(EventAction::Drop) }, "", "");
    let resumed = EventToxic { which: Which::FirstAfterReconnect, ..event(EventAction::Drop) };
    check(resumed, "Last-Event-ID: 1\r\n", &EVENTS.replace(first, ""));
    check(
        price(EventAction::Duplicate),
        "",
        &EVENTS.replace(first, &first.repeat(2)).replace(&last[4..], &last[4..].repeat(2)),
    );
    let swapped = EventToxic { nth: 1, ..price(EventAction::Reorder) };
    check(swapped, "", &EVENTS.replace(&format!("{first}{two}"), &format!("{two}{first}")));
    check(EventToxic { nth: 1, ..price(EventAction::ChangeId) }, "", &EVENTS.replace("id: 2", "id: v"));
    let own = EventToxic { value: String::new(), nth: 1, ..price(EventAction::ChangeId) };
    check(own, "", &EVENTS.replace("id: 2", "id: 3"));
    check(price(EventAction::ChangeType), "", &EVENTS.replace("price", "v"));
    let typeless = EventToxic { event: "message".into(), ..event(EventAction::ChangeType) };
    check(typeless, "", &EVENTS.replace("id: 3", "event: v\nid: 3"));
    let blank = EventToxic { nth: 1, bytes: 1, close: false, ..price(EventAction::Truncate) };
    check(blank, "", &EVENTS.replace(first, &first[..first.len() - 1]));
    check(price(EventAction::Mute), "", head);
    let gap = "event: GAP\ndata: {\"reason\":\"trimmed\",\"missed\":1}\n\n";
    let injected = EventToxic { nth: 1, ..price(EventAction::InjectGap) };
    check(injected, "", &EVENTS.replace(first, &format!("{first}{gap}")));
    check(event(EventAction::Split), "", EVENTS);
    check(event(EventAction::HoldBack), "", EVENTS);
    check(event(EventAction::Delay), "", EVENTS);
}

#[test]
fn a_corrupt_payload_differs_in_one_byte_of_its_longest_word() {
    let mut bed = Bed::with(event(EventAction::Corrupt)).stream("");
    bed.send(EVENTS);
    let heard = bed.payload();
    assert_eq!(heard.len(), EVENTS.len());
    let places: Vec<usize> =
        (0..EVENTS.len()).filter(|at| EVENTS.as_bytes()[*at] != heard.as_bytes()[*at]).collect();
    let words: Vec<bool> = ["word", "lines", "last"]
        .iter()
        .map(|word| {
            let at = EVENTS.find(word).unwrap();
            places.iter().any(|place| (at..at + word.len()).contains(place))
        })
        .collect();
    assert_eq!((places.len(), words), (3, vec![true; 3]), "{heard}");
}

#[test]
fn a_truncated_event_ends_the_connection_and_a_muted_stream_stays_open() {
    let mut bed = Bed::with(event(EventAction::Truncate)).stream("");
    bed.send(EVENTS);
    assert!(bed.is_closed);
    let heard = bed.payload();
    assert!(EVENTS.starts_with(&heard) && !heard.contains("\"word\"}\n\n"), "{heard}");
    let mut bed = Bed::with(event(EventAction::Mute)).stream("");
    bed.send(EVENTS);
    // Also when the toxic has gone: the stream has a hole.
    bed.http.set_toxics(bed.now, &[]);
    bed.send(EVENTS);
    bed.server("0\r\n\r\n");
    assert!(!bed.is_closed && bed.payload().ends_with(":\n"));
}

#[test]
fn what_is_held_back_leaves_in_bursts_and_what_is_late_keeps_the_order() {
    let mut bed = Bed::with(event(EventAction::HoldBack)).stream("");
    bed.pass(390);
    bed.send("data: a\n\n");
    assert_eq!(bed.payload(), "");
    bed.pass(10);
    assert_eq!(bed.payload(), "data: a\n\n");
    bed.send("data: b\n\n");
    bed.pass(200);
    bed.send("data: c\n\n");
    assert_eq!(bed.payload(), "");
    assert_eq!(bed.http.wake_at(), Some(ms(800)));
    bed.pass(200);
    assert_eq!(bed.payload(), "data: b\n\ndata: c\n\n");
    let mut bed = Bed::with(EventToxic { nth: 2, ..event(EventAction::Delay) }).stream("");
    bed.send("data: a\n\ndata: b\n\ndata: c\n\n");
    assert_eq!(bed.payload(), "data: a\n\n");
    bed.pass(399);
    assert_eq!(bed.payload(), "");
    bed.pass(1);
    assert_eq!(bed.payload(), "data: b\n\ndata: c\n\n");
    let mut bed = Bed::with(event(EventAction::Reorder)).stream("");
    bed.send("data: a\n\n");
    bed.pass(999);
    assert_eq!(bed.payload(), "");
    bed.pass(1);
    assert_eq!(bed.payload(), "data: a\n\n", "nothing came to overtake it");
}

#[test]
fn a_split_stream_arrives_in_single_bytes() {
    let mut bed = Bed::with(event(EventAction::Split)).stream("");
    bed.send("data: häß\r\n\r\n");
    assert!(bed.heard.starts_with(b"1\r\nd\r\n1\r\na\r\n"));
    assert_eq!(bed.payload(), "data: häß\r\n\r\n");
    let mut bed = Bed::with(EventToxic { rate: 0.3, ..event(EventAction::Split) }).stream("");
    bed.send(EVENTS);
    let chunks = bed.heard.iter().filter(|byte| **byte == b'\r').count() / 2;
    assert!((20..100).contains(&chunks), "{chunks}");
    assert_eq!(bed.payload(), EVENTS);
}

#[test]
fn a_cursor_is_stripped_and_rewritten_and_may_go_back() {
    let ask = "GET /stream HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 4\r\n\r\n";
    let bare = "GET /stream HTTP/1.1\r\nHost: h\r\n";
    let mut bed = Bed::with(event(EventAction::StripLastEventId));
    bed.client(ask);
    assert_eq!(bed.asked, format!("{bare}\r\n").into_bytes());
    let mut bed = Bed::with(event(EventAction::RewriteLastEventId));
    bed.client(ask);
    assert_eq!(bed.asked, format!("{bare}Last-Event-ID: v\r\n\r\n").into_bytes());
    let mut bed = Bed::with(EventToxic { back: 2, ..event(EventAction::RewriteLastEventId) }).stream("");
    bed.send(EVENTS);
    assert_eq!(bed.payload(), EVENTS);
    bed.server("0\r\n\r\n");
    bed.asked.clear();
    bed.client(ask);
    assert_eq!(bed.asked, format!("{bare}Last-Event-ID: 2\r\n\r\n").into_bytes());
}

const PUBLISH: &str = "POST /publish HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody";
const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok";

/// What a server and a client get of a publish and of its answer; then another request and its answer pass.
#[track_caller]
fn published(event: EventToxic) -> (bool, String) {
    let mut bed = Bed::with(EventToxic { path: "/publish".into(), ..event });
    bed.client(&PUBLISH[..30]);
    bed.client(&PUBLISH[30..]);
    let is_delivered = bed.asked == PUBLISH.as_bytes();
    assert!(is_delivered || bed.asked.is_empty());
    if is_delivered {
        bed.server(ACCEPTED);
    }
    let heard = String::from_utf8(std::mem::take(&mut bed.heard)).unwrap();
    bed.client("PUT /other HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    assert!(bed.asked.ends_with(b"/other HTTP/1.1\r\nContent-Length: 0\r\n\r\n"));
    if !heard.is_empty() {
        bed.server(ACCEPTED);
        assert_eq!(bed.heard, ACCEPTED.as_bytes());
    }
    (is_delivered, heard)
}

#[test]
fn a_publish_is_swallowed_or_answered_delivered_or_not() {
    let (delivered, heard) = published(EventToxic { rate: 0.0, ..event(EventAction::AnswerPublish) });
    assert_eq!((delivered, heard.as_str()), (true, ACCEPTED));
    assert_eq!(published(event(EventAction::SwallowPublish)), (false, String::new()));
    let swallowed = EventToxic { deliver: true, ..event(EventAction::SwallowPublish) };
    assert_eq!(published(swallowed), (true, String::new()));
    let own = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(published(event(EventAction::AnswerPublish)), (false, own.to_owned()));
    let refused =
        EventToxic { deliver: true, status: 400, body: "no".into(), ..event(EventAction::AnswerPublish) };
    let (delivered, heard) = published(refused);
    assert!(
        delivered && heard.starts_with("HTTP/1.1 400 Bad Request\r\n") && heard.ends_with("\r\n\r\nno"),
        "{heard}"
    );
}

#[test]
fn a_stream_of_known_length_and_one_of_http_1_0_lose_an_event_too() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
    let kept = EVENTS.replace("id: 3\ndata: two\ndata: lines\n\n", "");
    let drop = EventToxic { event: "message".into(), ..event(EventAction::Drop) };
    let cases =
        [("1.1", true, "Transfer-Encoding: chunked"), ("1.0", true, "Connection: close"), ("1.0", false, "")];
    for (version, has_length, line) in cases {
        let mut bed = Bed::with(drop.clone());
        bed.client(format!("GET / HTTP/{version}\r\n\r\n"));
        let length = if has_length { format!("Content-Length: {}\r\n", EVENTS.len()) } else { String::new() };
        bed.server(format!("{head}{length}\r\n"));
        bed.server(EVENTS);
        if !has_length {
            bed.end();
        }
        let heard = String::from_utf8(std::mem::take(&mut bed.heard)).unwrap();
        let (told, payload) = heard.split_once("\r\n\r\n").unwrap();
        assert!(told.contains(line) && !told.contains("Content-Length"), "{told}");
        let is_chunked = line.contains("chunked");
        let payload = if is_chunked { dechunked(payload.as_bytes()) } else { payload.as_bytes().to_vec() };
        assert_eq!(String::from_utf8(payload).unwrap(), kept, "{version} {line}");
        assert_eq!(bed.is_closed, !is_chunked);
    }
}

#[test]
fn what_cannot_be_read_passes_and_is_told() {
    let told = |bed: &Bed| bed.findings.of("drop_event").unreadable.unwrap_or_default();
    let alien: [(&[u8], &str); 3] = [
        (b"\x16\x03\x01\x02\x00\x01", "TLS"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2"),
        (b"*1\r\n$4\r\nPING\r\n", "not HTTP/1"),
    ];
    for (bytes, why) in alien {
        let mut bed = Bed::with(event(EventAction::Drop));
        bed.client(bytes);
        bed.server(b"\x00\x01answer");
        assert_eq!((bed.asked.as_slice(), bed.heard.as_slice()), (bytes, b"\x00\x01answer".as_slice()));
        assert!(told(&bed).contains(why), "{}", told(&bed));
        // A toxic that comes later is told as well.
        bed.http.set_toxics(bed.now, &[Toxic { name: "late".into(), ..toxic(event(EventAction::Mute)) }]);
        assert!(bed.findings.of("late").unreadable.is_some());
    }
    let mut bed = Bed::with(event(EventAction::Drop));
    bed.client("GET / HTTP/1.1\r\n\r\n");
    bed.server("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\n\x1f");
    assert!(bed.heard.ends_with(b"\x1f") && told(&bed).contains("compressed (gzip)"), "{}", told(&bed));
}

#[test]
fn other_streams_and_other_answers_are_spared() {
    let mut bed = Bed::with(EventToxic { path: "/else*".into(), ..event(EventAction::Drop) }).stream("");
    bed.send(EVENTS);
    assert_eq!(bed.payload(), EVENTS);
    let mut bed = Bed::with(event(EventAction::Drop));
    bed.client("HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    let answers = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nContent-Type: text/event-stream\r\n\r\n\
                   HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndata: a\n\n";
    bed.server(answers);
    assert_eq!(String::from_utf8(bed.heard).unwrap(), answers);
}

/// All the toxics that are not to do anything.
fn idle() -> Vec<Toxic> {
    let idle = |(_, action): &(&str, EventAction)| {
        let delay = if *action == EventAction::HoldBack { 1 } else { 5 };
        toxic(EventToxic { rate: 0.0, delay, ..event(*action) })
    };
    EventAction::WORDS.iter().map(idle).collect()
}

/// What a client hears of chunks that arrive in pieces of these sizes, while toxics that do nothing come and go.
fn heard_of(payload: &[u8], chunks: &[usize], pieces: &[usize], toggles: &[bool]) -> Vec<u8> {
    let mut bed = Bed::new(&[]).stream("Last-Event-ID: 1\r\n");
    let mut wire = Vec::new();
    let mut rest = payload;
    for size in chunks.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (first, behind) = rest.split_at((*size).min(rest.len()));
        wire.extend_from_slice(&chunk(first));
        rest = behind;
    }
    wire.extend_from_slice(b"0\r\n\r\n");
    let mut rest = wire.as_slice();
    for (size, is_there) in pieces.iter().cycle().zip(toggles.iter().cycle()) {
        if rest.is_empty() {
            break;
        }
        bed.http.set_toxics(bed.now, &if *is_there { idle() } else { Vec::new() });
        let (first, behind) = rest.split_at((*size).min(rest.len()));
        bed.server(first);
        rest = behind;
    }
    bed.pass(10);
    bed.heard
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("data: x"),
        Just("\n"),
        Just("\r"),
        Just("\r\n"),
        Just("\n\n"),
        Just(":"),
        Just("id: 7\n"),
        Just("event: GAP\n"),
        Just("\u{feff}"),
        Just("retry: 1\n\n"),
        Just("data\n\n"),
        Just("ß"),
    ];
    prop::collection::vec(piece, 1..40).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn toxics_that_meet_nothing_change_nothing_at_any_split_whenever_they_come(
        payload in texts(),
        chunks in prop::collection::vec(1..30_usize, 1..8),
        pieces in prop::collection::vec(1..20_usize, 1..8),
        toggles in prop::collection::vec(any::<bool>(), 1..6),
    ) {
        prop_assert_eq!(dechunked(&heard_of(&payload, &chunks, &pieces, &toggles)), payload);
    }

    #[test]
    fn without_toxics_every_byte_is_the_server_s(
        payload in texts(),
        pieces in prop::collection::vec(1..20_usize, 1..8),
    ) {
        let wire = [chunk(&payload), b"0\r\n\r\n".to_vec()].concat();
        prop_assert_eq!(heard_of(&payload, &[payload.len()], &pieces, &[false]), wire);
    }

    #[test]
    fn any_bytes_from_anybody_end_no_connection_but_with_their_own_end(
        from_client in prop::collection::vec(any::<u8>(), 0..200),
        from_server in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bed = Bed::new(&idle());
        bed.client(&from_client);
        bed.server(&from_server);
        prop_assert!(!bed.is_closed);
    }
}

#[test]
fn the_vectors_of_the_standard_pass_unchanged() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../../../tests/vectors/sse-vectors.json")).unwrap();
    let vectors = vectors.as_array().unwrap();
    assert!(vectors.len() > 50);
    for vector in vectors {
        let decode = |text: &serde_json::Value| {
            base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap()
        };
        // A long input is a list of pieces, each with how often it comes.
        let payload = match vector["input"].as_array() {
            None => decode(&vector["input"]),
            Some(pieces) => pieces
                .iter()
                .flat_map(|piece| {
                    decode(&piece[0]).repeat(usize::try_from(piece[1].as_u64().unwrap()).unwrap())
                })
                .collect(),
        };
        if payload.is_empty() {
            continue;
        }
        // The few long ones (megabytes) took a minute and a half byte by byte.
        let smallest = if payload.len() < 10_000 { [1, 7] } else { [997, 4_096] };
        for pieces in smallest.into_iter().chain([1_000_000]) {
            let chunks: &[usize] = if payload.len() < 10_000 { &[13, 1, 400] } else { &[1_300, 40_000] };
            let heard = heard_of(&payload, chunks, &[pieces], &[true]);
            assert!(dechunked(&heard) == payload, "{}", vector["name"]);
        }
    }
}

/// What a toxic makes of a hundred requests, or of a hundred events that arrive in chunks of this size; with the time.
fn recorded(action: EventAction, seed: u64, size: usize) -> Vec<String> {
    let mut bed = Bed::seeded(seed, &[toxic(EventToxic { rate: 0.1, ..event(action) })]);
    if action.is_of_requests() {
        let method = if action.is_of_publishes() { "POST" } else { "GET" };
        let request = |n| format!("{method} /{n} HTTP/1.1\r\nLast-Event-ID: 4\r\nContent-Length: 0\r\n\r\n");
        let requests: String = (0..100).map(request).collect();
        requests.as_bytes().chunks(size).for_each(|bytes| bed.client(bytes));
        return vec![String::from_utf8(bed.asked).unwrap()];
    }
    let mut bed = bed.stream("");
    let events: String = (0..100).map(|n| format!("id: {n}\nevent: e\ndata: event {n}\n\n")).collect();
    events.as_bytes().chunks(size).for_each(|bytes| bed.server(chunk(bytes)));
    (0..60)
        .map(|_| {
            bed.pass(100);
            bed.payload()
        })
        .collect()
}

#[test]
fn one_seed_meets_the_same_events_and_requests_however_their_bytes_arrive_and_another_seed_others() {
    for (name, action) in EventAction::WORDS {
        let once = recorded(action, 1, 1_000);
        assert_eq!(once, recorded(action, 1, 7), "{name}");
        // These two change when bytes arrive, and in which pieces, never which ones.
        let keeps_bytes = matches!(action, EventAction::HoldBack | EventAction::Split);
        assert_eq!(once == recorded(action, 2, 1_000), keeps_bytes, "{name}");
    }
}
