//! The way up: reads requests, and lets toxics change, swallow or answer them. Read [`Http::requests`] first.

use std::time::Duration;

use bytes::Bytes;

use super::body::Part;
use super::connection::{Asked, Fate, HEAD_MAX, Http, Request};
use super::head::{self, Parsed, RequestHead};
use crate::bench::faults::proxy::Chunk;
use crate::bench::scenario::{Direction, EventAction};

/// First byte of a TLS handshake.
const TLS: u8 = 0x16;

impl Http {
    pub(super) fn requests(&mut self, now: Duration, mut input: Bytes) {
        while !input.is_empty() {
            if self.alien.is_some() {
                return self.to_server.push_back(Chunk::Data(input));
            }
            let Some(request) = &mut self.up.body else {
                if !self.request_head(now, &mut input) {
                    return;
                }
                continue;
            };
            match request.framing.next(&mut input) {
                Some(Part::Payload(bytes) | Part::Frame(bytes) | Part::Tail(bytes)) => {
                    if request.passes {
                        self.to_server.push_back(Chunk::Data(bytes));
                    }
                }
                Some(Part::End) => self.end_request(now),
                Some(Part::Broken) => return self.give_up(now, "a request has chunks that are none"),
                None => return,
            }
            // A body may end with the input.
            if self.up.body.as_ref().is_some_and(|request| request.framing.is_over()) {
                self.end_request(now);
            }
        }
    }

    fn end_request(&mut self, now: Duration) {
        self.up.body = None;
        if let Some(asked) = self.asked.back_mut() {
            asked.is_whole = true;
        }
        self.answer(now);
    }

    /// Reads the head of a request. Returns whether it is whole.
    fn request_head(&mut self, now: Duration, input: &mut Bytes) -> bool {
        let before = self.up.add(input);
        let (head, length) = match head::request(&self.up.head) {
            Parsed::Whole(head, length) => (head, length),
            Parsed::Partial if self.up.head.len() <= HEAD_MAX => {
                // Nobody waits for the rest of a head that no toxic changes.
                if self.stages.is_empty() {
                    self.to_server.push_back(Chunk::Data(input.clone()));
                    self.up.passed = self.up.head.len();
                }
                return false;
            }
            Parsed::Partial | Parsed::Alien => {
                let why = what_it_is(&self.up.head);
                *input = Bytes::new();
                self.give_up(now, why);
                return false;
            }
        };
        let (bytes, passed) = self.up.take(length, before, input);
        let (bytes, fate) = if passed > 0 { (bytes, Fate::Passes) } else { self.decide(&head, bytes) };
        let passes = !matches!(fate, Fate::Instead(_));
        if passes {
            self.send_bytes(Direction::Upstream, now, bytes.slice(passed..));
        } else if head.waits {
            self.send(now, Chunk::Data(Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\n")));
        }
        self.asked.push_back(Asked {
            is_head: head.method == "HEAD",
            is_http10: head.is_http10,
            is_resumed: head.last_event_id.is_some(),
            target: head.target,
            is_whole: false,
            fate,
        });
        let request = Request { framing: head.framing, passes };
        if request.framing.is_over() {
            self.end_request(now);
        } else {
            self.up.body = Some(request);
        }
        true
    }

    /// What the toxics make of a request: its head, and what becomes of the response.
    fn decide(&mut self, request: &RequestHead, mut bytes: Bytes) -> (Bytes, Fate) {
        let is_publish = matches!(request.method.as_str(), "POST" | "PUT");
        let mut fate = Fate::Passes;
        for stage in &mut self.stages {
            let concerns = if stage.toxic.action.is_of_publishes() {
                is_publish && fate == Fate::Passes
            } else {
                request.last_event_id.is_some()
            };
            if !concerns || !stage.meets_request(&request.target) {
                continue;
            }
            let toxic = &stage.toxic;
            match (toxic.action, &request.last_event_id) {
                (EventAction::StripLastEventId, _) => bytes = head::without_last_event_id(&bytes).into(),
                (EventAction::RewriteLastEventId, Some(id)) => {
                    let other = if toxic.back > 0 { stage.id_before(id) } else { Some(toxic.value.clone()) };
                    let Some(other) = other else { continue };
                    bytes = head::with_last_event_id(&bytes, &other).into();
                }
                (EventAction::SwallowPublish | EventAction::AnswerPublish, _) => {
                    let own = (toxic.action == EventAction::AnswerPublish)
                        .then(|| answer_of(toxic.status, &toxic.body));
                    fate = if toxic.deliver { Fate::Replaced(own) } else { Fate::Instead(own) };
                }
                _ => continue,
            }
            stage.note_met();
        }
        (bytes, fate)
    }

    /// Sends the answers of toxics whose turn it is.
    pub(super) fn answer(&mut self, now: Duration) {
        while self.down.body.is_none() && self.down.head.is_empty() {
            let is_next = |asked: &Asked| asked.is_whole && matches!(asked.fate, Fate::Instead(Some(_)));
            let Some(asked) = self.asked.front().filter(|asked| is_next(asked)) else { return };
            if let Fate::Instead(Some(bytes)) = &asked.fate {
                let bytes = bytes.clone();
                self.send(now, Chunk::Data(bytes));
            }
            self.asked.pop_front();
        }
    }
}

/// An answer of the proxy's own.
fn answer_of(status: u64, body: &str) -> Bytes {
    let status = u16::try_from(status).ok().and_then(|status| http::StatusCode::from_u16(status).ok());
    let status = status.unwrap_or_default();
    let (code, reason) = (status.as_u16(), status.canonical_reason().unwrap_or_default());
    let body = if body.is_empty() { "{}" } else { body };
    let body = if matches!(code, 204 | 304) { "" } else { body };
    let length =
        if matches!(code, 204 | 304) { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("HTTP/1.1 {code} {reason}\r\nContent-Type: application/json\r\n{length}\r\n{body}").into()
}

/// What bytes are that are no request of HTTP/1.
fn what_it_is(bytes: &[u8]) -> &'static str {
    match bytes {
        [TLS, ..] => "it is TLS, which the proxy does not read",
        _ if bytes.starts_with(b"PRI * HTTP/2") => "it is HTTP/2, which the proxy does not read",
        _ => "it is not HTTP/1",
    }
}
