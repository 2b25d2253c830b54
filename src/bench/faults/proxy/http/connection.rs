//! One connection with all its event toxics: requests go up, responses come down, and what a toxic answers itself goes
//! down in the order of the requests; [`super::requests`] and [`super::responses`] read them. Memory is bounded: it wants no more from the server while much waits to leave.
//! Read [`Http::take_in`] first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::body::Framing;
use super::findings::Findings;
use super::stage::EventStage;
use super::stream::{EventStream, Leaving, Piece};
use crate::bench::faults::proxy::Chunk;
use crate::bench::scenario::plan::Seeds;
use crate::bench::scenario::{Direction, Toxic, ToxicKind};

/// Longest head that is read, in bytes.
pub(super) const HEAD_MAX: usize = 64 * 1024;
/// Bytes that may wait for their time on the way to the client.
const WAITING_MAX: usize = 4 * 1024 * 1024;

/// A connection as a parser of HTTP/1 sees it. Times count from its start, and never go back.
#[derive(Debug)]
pub struct Http {
    pub(super) seeds: Seeds,
    pub(super) findings: Arc<Findings>,
    pub(super) stages: Vec<EventStage>,
    pub(super) up: Side<Request>,
    pub(super) down: Side<Response>,
    /// Requests whose responses are not over, in their order.
    pub(super) asked: VecDeque<Asked>,
    pub(super) to_server: VecDeque<Chunk>,
    /// What goes to the client, each with the time before which it does not leave; in order of time.
    pub(super) to_client: VecDeque<(Duration, Chunk)>,
    pub(super) waiting: usize,
    /// Why nothing is read any more; everything passes.
    pub(super) alien: Option<String>,
    /// A toxic ended the connection: whatever comes is discarded.
    pub(super) is_closed: bool,
}

/// One direction: what is being read.
#[derive(Debug)]
pub(super) struct Side<Body> {
    /// An unfinished head.
    pub(super) head: BytesMut,
    /// Bytes of it that have passed.
    pub(super) passed: usize,
    pub(super) body: Option<Body>,
}

/// The body of a request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) framing: Framing,
    pub(super) passes: bool,
}

/// The body of a response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) framing: Framing,
    /// Framing towards the client, where units are read.
    pub(super) is_chunked: bool,
    /// `None`: its units do not matter.
    pub(super) events: Option<EventStream>,
    pub(super) passes: bool,
}

/// A request that waits for its response.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) target: String,
    pub(super) is_head: bool,
    pub(super) is_http10: bool,
    pub(super) is_resumed: bool,
    /// The whole request was read.
    pub(super) is_whole: bool,
    pub(super) fate: Fate,
}

/// What becomes of the response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Passes,
    /// The server is not asked; these bytes are the answer, or none.
    Instead(Option<Bytes>),
    /// The server's answer is discarded; these bytes are the answer, or none.
    Replaced(Option<Bytes>),
}

impl<Body> Default for Side<Body> {
    fn default() -> Self {
        Self { head: BytesMut::new(), passed: 0, body: None }
    }
}

impl<Body> Side<Body> {
    /// Adds bytes to the head; returns how many it had.
    pub(super) fn add(&mut self, input: &Bytes) -> usize {
        let before = self.head.len();
        self.head.extend_from_slice(input);
        before
    }

    /// Takes the finished head out, and off the input: all of it, and how many of its bytes have passed.
    pub(super) fn take(&mut self, length: usize, before: usize, input: &mut Bytes) -> (Bytes, usize) {
        let head = std::mem::take(&mut self.head).freeze().slice(..length);
        drop(input.split_to(length - before));
        (head, std::mem::take(&mut self.passed))
    }
}

impl Http {
    /// For a new connection; `seed` is its own.
    #[must_use]
    pub fn new(seed: u64, toxics: &[Toxic], findings: &Arc<Findings>) -> Self {
        let mut http = Self {
            seeds: Seeds::new(seed),
            findings: Arc::clone(findings),
            stages: Vec::new(),
            up: Side::default(),
            down: Side::default(),
            asked: VecDeque::new(),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            waiting: 0,
            alien: None,
            is_closed: false,
        };
        http.set_toxics(Duration::ZERO, toxics);
        http
    }

    /// Replaces the toxics; those that are not of events are not its own.
    pub fn set_toxics(&mut self, now: Duration, toxics: &[Toxic]) {
        let is_there = |name: &str| toxics.iter().any(|toxic| toxic.name == name);
        while let Some(index) = self.stages.iter().position(|stage| !is_there(&stage.name)) {
            self.remove(now, index);
        }
        for toxic in toxics {
            let ToxicKind::Event(event) = &toxic.kind else { continue };
            // The draw of the pipelines: a spared connection stays spared.
            let mut rng = ChaCha8Rng::seed_from_u64(self.seeds.of("toxicity", &toxic.name));
            let is_hit = rng.random::<f64>() < toxic.toxicity;
            let target = self.stream().map(|stream| stream.target.clone());
            let known = self.stages.iter().position(|stage| stage.name == toxic.name);
            let index = known.unwrap_or(self.stages.len());
            if known.is_none() {
                let seed = self.seeds.of("events", &toxic.name);
                let stage = EventStage::new(&toxic.name, event.clone(), is_hit, seed, &self.findings);
                self.alien.iter().for_each(|why| stage.note_unreadable(why));
                self.stages.push(stage);
            }
            let stage = &mut self.stages[index];
            // A change of another toxic is none of this one.
            if known.is_none() || stage.toxic != *event || stage.is_hit != is_hit {
                (stage.toxic, stage.is_hit) = (event.clone(), is_hit);
                target.iter().for_each(|target| stage.follow_stream(target));
            }
        }
    }

    pub(super) fn stream(&self) -> Option<&EventStream> {
        self.down.body.as_ref()?.events.as_ref()
    }

    /// Removes a stage; what it kept goes through those behind it.
    fn remove(&mut self, now: Duration, index: usize) {
        let mut stage = self.stages.remove(index);
        let Some(unit) = stage.release(None) else { return };
        if let Some(response) = &mut self.down.body
            && let Some(events) = &mut response.events
        {
            let leaving = events.send_on(now, unit, &mut self.stages[index..]);
            self.send_pieces(now, leaving);
        }
    }

    /// Whether it takes more bytes that go in this direction.
    #[must_use]
    pub fn wants_input(&self, direction: Direction) -> bool {
        direction == Direction::Upstream || self.waiting < WAITING_MAX
    }

    /// The next chunk that leaves in this direction now.
    pub fn next(&mut self, direction: Direction, now: Duration) -> Option<Chunk> {
        if direction == Direction::Upstream {
            return self.to_server.pop_front();
        }
        let (_, chunk) = self.to_client.pop_front_if(|(due, _)| *due <= now)?;
        self.waiting -= chunk.size();
        Some(chunk)
    }

    /// When something leaves by itself.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let kept = self.stages.iter().filter_map(EventStage::wake_at);
        self.to_client.front().map(|(due, _)| *due).into_iter().chain(kept).min()
    }

    /// What has been kept long enough may leave.
    pub fn wake(&mut self, now: Duration) {
        if !self.stages.iter().filter_map(EventStage::wake_at).any(|at| at <= now) {
            return;
        }
        if let Some(events) = self.down.body.as_mut().and_then(|response| response.events.as_mut()) {
            let leaving = events.release(now, &mut self.stages);
            self.send_pieces(now, leaving);
        }
    }

    /// Takes in what goes in this direction.
    pub fn take_in(&mut self, direction: Direction, now: Duration, chunk: Chunk) {
        match (chunk, direction) {
            (_, _) if self.is_closed => {}
            (Chunk::Data(bytes), Direction::Upstream) => self.requests(now, bytes),
            (Chunk::Data(bytes), Direction::Downstream) => self.responses(now, bytes),
            (end, Direction::Upstream) => {
                self.pass_unread_head(now, direction);
                self.to_server.push_back(end);
            }
            (end, Direction::Downstream) => {
                self.end_stream(now);
                if self.down.body.as_ref().is_some_and(|body| matches!(body.framing, Framing::UntilClose)) {
                    self.end_response(now);
                }
                self.pass_unread_head(now, direction);
                self.send(now, end);
            }
        }
    }

    /// Everything passes from here on, since it is not HTTP/1.
    pub(super) fn give_up(&mut self, now: Duration, why: &str) {
        self.stages.iter().for_each(|stage| stage.note_unreadable(why));
        self.alien = Some(why.to_owned());
        self.pass_unread_head(now, Direction::Upstream);
        self.pass_unread_head(now, Direction::Downstream);
        (self.up.body, self.down.body) = (None, None);
        self.asked.clear();
    }

    pub(super) fn pass_unread_head(&mut self, now: Duration, direction: Direction) {
        let (head, passed) = match direction {
            Direction::Upstream => (std::mem::take(&mut self.up.head), std::mem::take(&mut self.up.passed)),
            Direction::Downstream => {
                (std::mem::take(&mut self.down.head), std::mem::take(&mut self.down.passed))
            }
        };
        self.send_bytes(direction, now, head.freeze().slice(passed..));
    }

    pub(super) fn send_bytes(&mut self, direction: Direction, now: Duration, bytes: Bytes) {
        match direction {
            _ if bytes.is_empty() => {}
            Direction::Upstream => self.to_server.push_back(Chunk::Data(bytes)),
            Direction::Downstream => self.send(now, Chunk::Data(bytes)),
        }
    }

    /// To the client, behind everything before it.
    pub(super) fn send(&mut self, due: Duration, chunk: Chunk) {
        let before = self.to_client.back().map_or(Duration::ZERO, |(due, _)| *due);
        self.waiting += chunk.size();
        self.to_client.push_back((due.max(before), chunk));
    }

    pub(super) fn close(&mut self, now: Duration) {
        self.send(now, Chunk::Close);
        self.is_closed = true;
    }

    /// Sends what leaves a stream, in chunks where it has any; what leaves at one time is one chunk unless it was cut.
    pub(super) fn send_pieces(&mut self, now: Duration, leaving: Leaving) {
        let is_chunked = self.down.body.as_ref().is_some_and(|response| response.is_chunked);
        let mut pieces = leaving.pieces.into_iter().peekable();
        while let Some(Piece { bytes, due, is_cut }) = pieces.next() {
            let mut more = Vec::new();
            while let Some(next) = pieces.next_if(|next| !is_cut && !next.is_cut && next.due == due) {
                more.push(next.bytes);
            }
            if !is_chunked && more.is_empty() {
                self.send(due, Chunk::Data(bytes));
                continue;
            }
            let length = bytes.len() + more.iter().map(Bytes::len).sum::<usize>();
            let mut chunk = BytesMut::with_capacity(length + 24);
            if is_chunked {
                chunk.extend_from_slice(format!("{length:x}\r\n").as_bytes());
            }
            [bytes].iter().chain(&more).for_each(|bytes| chunk.extend_from_slice(bytes));
            if is_chunked {
                chunk.extend_from_slice(b"\r\n");
            }
            self.send(due, Chunk::Data(chunk.freeze()));
        }
        if leaving.closes {
            self.close(now);
        }
    }
}
