//! The way down: reads responses, and sends streams of events through the toxics. Read [`Http::responses`] first.

use std::time::Duration;

use bytes::Bytes;

use super::body::{Framing, Part};
use super::connection::{Asked, Fate, HEAD_MAX, Http, Response};
use super::head::{self, Parsed, ResponseHead};
use super::stage::EventStage;
use super::stream::EventStream;
use crate::bench::faults::proxy::Chunk;
use crate::bench::scenario::Direction;

impl Http {
    pub(super) fn responses(&mut self, now: Duration, mut input: Bytes) {
        while !input.is_empty() {
            if self.is_closed {
                return;
            }
            if self.alien.is_some() {
                return self.send(now, Chunk::Data(input));
            }
            if self.down.body.is_none() && !self.response_head(now, &mut input) {
                return;
            }
            if !self.response_body(now, &mut input) {
                return;
            }
        }
    }

    /// Reads the head of a response. Returns whether it is whole.
    fn response_head(&mut self, now: Duration, input: &mut Bytes) -> bool {
        let Some(asked) = self.asked.front() else {
            let all = std::mem::take(input);
            self.give_up(now, "the server speaks before it is asked");
            self.send(now, Chunk::Data(all));
            return false;
        };
        let (is_head, passes) = (asked.is_head, asked.fate == Fate::Passes);
        let before = self.down.add(input);
        let (head, length) = match head::response(&self.down.head, is_head) {
            Parsed::Whole(head, length) => (head, length),
            Parsed::Partial if self.down.head.len() <= HEAD_MAX => {
                if self.stages.is_empty() && passes {
                    self.send(now, Chunk::Data(input.clone()));
                    self.down.passed = self.down.head.len();
                }
                return false;
            }
            Parsed::Partial | Parsed::Alien => {
                *input = Bytes::new();
                self.give_up(now, "a response is not HTTP/1");
                return false;
            }
        };
        let (bytes, passed) = self.down.take(length, before, input);
        self.begin_response(now, head, &bytes, passed);
        true
    }

    fn begin_response(&mut self, now: Duration, head: ResponseHead, bytes: &Bytes, passed: usize) {
        let Some(asked) = self.asked.front() else { return };
        let passes = asked.fate == Fate::Passes;
        if head.status == 101 {
            self.send(now, Chunk::Data(bytes.slice(passed..)));
            return self.give_up(now, "the connection became one of another protocol");
        }
        if matches!(head.status, 100..=199) {
            // Another head follows; it is of the same request.
            return self.send_bytes(
                Direction::Downstream,
                now,
                if passes { bytes.slice(passed..) } else { Bytes::new() },
            );
        }
        let (target, is_resumed, is_http10) = (asked.target.clone(), asked.is_resumed, asked.is_http10);
        let mut bytes = bytes.slice(passed..);
        let mut response = Response {
            is_chunked: matches!(head.framing, Framing::Chunked(_)),
            framing: head.framing,
            events: (head.is_event_stream && passes).then(|| EventStream::new(target.clone())),
            passes,
        };
        if let Some(events) = &mut response.events {
            self.stages.iter_mut().for_each(|stage| stage.begin_stream(&target, is_resumed));
            let is_wanted = self.stages.iter().any(EventStage::is_on_stream);
            if let Some(encoding) = head.encoding {
                let why = format!("a stream is compressed ({encoding}), and the proxy does not read it");
                events.unreadable = Some(why);
            } else if matches!(response.framing, Framing::Length(_)) {
                if is_wanted && passed == 0 {
                    bytes = head::without_length(&bytes, !is_http10).into();
                    response.is_chunked = !is_http10;
                    events.begin_reading();
                } else {
                    events.unreadable = Some("a stream had told its length before the toxic came".to_owned());
                }
            }
        }
        if passes {
            self.send_bytes(Direction::Downstream, now, bytes);
        }
        self.down.body = Some(response);
    }

    /// Carries the body of a response on. Returns whether more can be done now.
    fn response_body(&mut self, now: Duration, input: &mut Bytes) -> bool {
        let Some(response) = &mut self.down.body else { return true };
        if response.events.is_some() && response.framing.is_between_chunks() {
            self.read_or_follow(now);
        }
        let Some(response) = &mut self.down.body else { return true };
        let part = match response.framing.next(input) {
            Some(part) => part,
            None if response.framing.is_over() => Part::End,
            None => return false,
        };
        let is_read = response.events.as_ref().is_some_and(EventStream::is_read);
        match part {
            _ if self.is_closed => {}
            Part::Payload(payload) if is_read => {
                if let Some(events) = &mut response.events {
                    let leaving = events.feed(now, payload, &mut self.stages);
                    self.send_pieces(now, leaving);
                }
            }
            Part::Frame(_) if is_read => {}
            Part::Payload(bytes) => {
                response.events.iter_mut().for_each(|events| events.follow(&bytes));
                if response.passes {
                    self.send(now, Chunk::Data(bytes));
                }
            }
            Part::Tail(bytes) if is_read => self.end_chunks(now, bytes),
            Part::Frame(bytes) | Part::Tail(bytes) => {
                if response.passes {
                    self.send(now, Chunk::Data(bytes));
                }
            }
            Part::End => {}
            Part::Broken => {
                let rest = std::mem::take(input);
                self.give_up(now, "a response has chunks that are none");
                self.send(now, Chunk::Data(rest));
                return false;
            }
        }
        if self.down.body.as_ref().is_some_and(|response| response.framing.is_over()) {
            self.end_response(now);
        }
        true
    }

    /// Between two chunks a stream may begin to be read, or end to be.
    fn read_or_follow(&mut self, now: Duration) {
        let Some(Response { framing, events: Some(events), .. }) = &mut self.down.body else { return };
        let mut wanting = self.stages.iter().filter(|stage| stage.is_on_stream()).peekable();
        match (&events.unreadable, wanting.peek().is_some()) {
            (Some(why), _) => wanting.for_each(|stage| stage.note_unreadable(why)),
            (None, true) if !events.is_read() => events.begin_reading(),
            (None, false)
                if events.is_read() && !events.is_silent && !matches!(framing, Framing::Length(_)) =>
            {
                let leaving = events.end_reading(now, &mut self.stages);
                self.send_pieces(now, leaving);
            }
            (None, _) => {}
        }
    }

    /// The end of a chunked stream that is read: what it kept leaves before.
    fn end_chunks(&mut self, now: Duration, tail: Bytes) {
        let Some(Response { events: Some(events), .. }) = &mut self.down.body else { return };
        let leaving = events.finish(now, &mut self.stages);
        let is_silent = events.is_silent;
        self.send_pieces(now, leaving);
        if !is_silent && !self.is_closed {
            self.send(now, Chunk::Data(tail));
        }
    }

    /// The end of a stream that is read, whatever its framing.
    pub(super) fn end_stream(&mut self, now: Duration) {
        let Some(Response { events: Some(events), .. }) = &mut self.down.body else { return };
        if events.is_read() {
            let leaving = events.finish(now, &mut self.stages);
            self.send_pieces(now, leaving);
        }
    }

    pub(super) fn end_response(&mut self, now: Duration) {
        let is_read = |response: &Response| response.events.as_ref().is_some_and(EventStream::is_read);
        // A body whose length was taken out of its head ends in another way.
        if let Some(response) = self.down.body.as_ref().filter(|response| is_read(response))
            && matches!(response.framing, Framing::Length(_))
        {
            let is_chunked = response.is_chunked;
            let is_silent = response.events.as_ref().is_some_and(|events| events.is_silent);
            self.end_stream(now);
            if is_chunked && !is_silent {
                self.send(now, Chunk::Data(Bytes::from_static(b"0\r\n\r\n")));
            } else if !is_silent {
                self.close(now);
            }
        }
        self.down.body = None;
        if let Some(Asked { fate: Fate::Replaced(answer), is_whole, .. }) = self.asked.pop_front() {
            match answer {
                // The server may answer before it has the whole request; the client gets its answer all the same.
                Some(bytes) => self.send(now, Chunk::Data(bytes)),
                None => self.asked.push_front(nobody(is_whole)),
            }
        }
        self.answer(now);
    }
}

/// A request that is never answered: nobody behind it gets an answer either.
fn nobody(is_whole: bool) -> Asked {
    Asked {
        target: String::new(),
        is_head: false,
        is_http10: false,
        is_resumed: false,
        is_whole,
        fate: Fate::Instead(None),
    }
}
