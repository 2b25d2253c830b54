//! One loop: an epoll and a share of the streams. Must never wait: its thread waits for the epoll in between. Read
//! [`EventLoop::work`] first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::handle::{LoopHandle, Message};
use super::lists::Lists;
use super::log_request::Offload;
use super::pass::{Batch, Pass};
use super::portion::{StreamEnd, close_portion};
use super::progress::FEW;
use super::stream::{Arrival, Counts, End, Stream, Work};
use super::ticks::Ticks;
use crate::net::{Key, Poll, Ready, Slab};
use crate::node::close::CloseCode;
use crate::node::feed::FeedLimits;
use crate::node::limits::STREAM_INPUT_BYTES;
use crate::node::stream_context::StreamContext;
use crate::node::window::{Place, Slot};
use crate::protocol::NodeId;

/// How much of each kind of work a loop does in one turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Arrivals, orders to close and answers of the log.
    pub(crate) messages: usize,
    /// Streams with work.
    pub(crate) served: usize,
    /// Streams of a pass.
    pub(crate) slice: usize,
    /// Bytes of a batch, about.
    pub(crate) batch_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { messages: 64, served: 32, slice: 64, batch_bytes: 256 * 1024 }
    }
}

/// What is the same for all loops of a node.
#[derive(Debug, Clone)]
pub(crate) struct LoopSettings {
    pub(crate) node: NodeId,
    pub(crate) limits: FeedLimits,
    pub(crate) end: StreamEnd,
    /// A stream ends when its socket takes no byte for this long.
    pub(crate) stall: Duration,
    pub(crate) budget: Budget,
}

/// One loop with its streams.
pub(crate) struct EventLoop {
    pub(super) settings: LoopSettings,
    pub(super) context: Arc<StreamContext>,
    pub(super) handle: Arc<LoopHandle>,
    pub(super) offload: Box<dyn Fn(Offload) + Send>,
    pub(super) poll: Arc<Poll>,
    pub(super) ready: Vec<Ready>,
    pub(super) streams: Slab<Stream>,
    pub(super) lists: Lists,
    /// Where the loop is. During a pass this is where the pass began.
    pub(super) place: Place,
    pub(super) pass: Option<Pass>,
    pub(super) passes: usize,
    pub(super) batch: Batch,
    /// Whether a newer event overtakes the pass under way was decided for all before this ordinal.
    pub(super) looked: u64,
    pub(super) slots: Vec<Slot>,
    /// Streams with work that can go on.
    pub(super) again: VecDeque<Key>,
    /// Streams with work that can go on when the loop has moved on.
    pub(super) ahead: Vec<Key>,
    /// Moments at which a stream ends.
    pub(super) deadlines: BinaryHeap<Reverse<(Instant, Key)>>,
    pub(super) now: Instant,
    pub(super) ticks: Ticks,
    pub(super) sweep: usize,
    pub(super) counts: Counts,
    pub(super) scratch: Vec<u8>,
}

impl EventLoop {
    /// A loop without streams, at the end of the window. `offload` runs what the loop must not wait for.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub(crate) fn new(
        settings: LoopSettings,
        context: Arc<StreamContext>,
        handle: Arc<LoopHandle>,
        offload: Box<dyn Fn(Offload) + Send>,
    ) -> std::io::Result<Self> {
        let poll = Arc::new(Poll::new()?);
        poll.add(&handle.inbox, Key::NONE)?;
        let (now, place) = (Instant::now(), context.window.place());
        handle.set_position(place.cursor);
        Ok(Self {
            ticks: Ticks::new(now, context.timing.heartbeat, context.timing.cursor, settings.stall),
            lists: Lists::new(settings.node.clone()),
            settings,
            context,
            handle,
            offload,
            poll,
            ready: Vec::new(),
            streams: Slab::default(),
            place,
            pass: None,
            passes: 0,
            batch: Batch::default(),
            looked: 0,
            slots: Vec::new(),
            again: VecDeque::new(),
            ahead: Vec::new(),
            deadlines: BinaryHeap::new(),
            now,
            sweep: 0,
            counts: Counts::default(),
            scratch: Vec::new(),
        })
    }

    /// Says that the thread is about to wait. Returns for how long it may, at most `longest`; `None` is without a limit.
    pub(super) fn rest(&self, longest: Duration) -> Option<Duration> {
        let mut busy = self.is_busy();
        if !busy {
            // Whoever adds something after the next look wakes the loop.
            self.handle.inbox.sleeps(true);
            busy = self.is_busy();
        }
        let until = |moment: Instant| moment.saturating_duration_since(Instant::now());
        let tick = (self.streams.len() > 0).then(|| until(self.ticks.next()));
        let moment = self.deadlines.peek().map(|Reverse((at, _))| until(*at));
        let longest = (longest < Duration::MAX).then_some(longest);
        let idle = [tick, moment, longest].into_iter().flatten().min();
        if busy { Some(Duration::ZERO) } else { idle }
    }

    /// A bounded part of each kind of work, after the wait. Returns whether the loop goes on.
    pub(super) fn work(&mut self) -> bool {
        self.handle.inbox.sleeps(false);
        self.now = Instant::now();
        while let Some(ready) = self.ready.pop() {
            self.on_ready(ready);
        }
        for _ in 0..self.settings.budget.messages {
            match self.handle.inbox.take() {
                None => break,
                Some(Message::Arrival(arrival)) => self.arrive(*arrival),
                Some(Message::Order(key)) => self.check_order(key),
                Some(Message::Answer(key, feed, outcome)) => self.on_answer(key, feed, outcome),
                Some(Message::Stop) => return false,
            }
        }
        for _ in 0..self.settings.budget.served.min(self.again.len()) {
            if let Some(key) = self.again.pop_front() {
                self.serve(key);
            }
        }
        self.on_deadlines();
        if self.ticks.advance(self.now) {
            self.sweep_streams();
        }
        match self.pass {
            None => self.begin(),
            Some(_) => self.overtake(),
        }
        self.continue_pass();
        self.hand_on_counts();
        true
    }

    /// Writes what is new in the window, if the loop has nothing else to do and few streams get it. Returns whether nothing
    /// is left to do.
    pub(super) fn work_in_place(&mut self) -> bool {
        if self.has_other_work() {
            return false;
        }
        self.begin();
        if self.pass.as_ref().is_some_and(|pass| pass.streams() > FEW) {
            return false;
        }
        self.continue_pass();
        self.hand_on_counts();
        !self.is_busy()
    }

    /// Whether there is something to do now.
    pub(super) fn is_busy(&self) -> bool {
        let is_behind = self.streams.len() > 0 && self.place.ordinal < self.context.window.end();
        is_behind || self.has_other_work()
    }

    /// Whether there is something to do beside new slots of the window.
    fn has_other_work(&self) -> bool {
        !self.again.is_empty() || self.pass.is_some() || !self.handle.inbox.is_empty()
    }

    fn on_ready(&mut self, ready: Ready) {
        let Some(stream) = self.streams.get_mut(ready.key) else { return };
        // What clients send means nothing on a stream; that they stop does.
        if ready.readable {
            let allowed = STREAM_INPUT_BYTES - usize::from(stream.received);
            match stream.transport.discard(allowed) {
                None => return self.close(ready.key, CloseCode::ClientGone),
                Some(more) if more > allowed => {
                    stream.transport.reset_on_close();
                    return self.close(ready.key, CloseCode::Flooding);
                }
                Some(more) => stream.received += u16::try_from(more).unwrap_or(u16::MAX),
            }
        }
        if ready.writable && stream.transport.flush().is_err() {
            return self.close(ready.key, CloseCode::ClientGone);
        }
        if ready.writable && stream.work.as_ref().is_some_and(|work| work.blocked) {
            self.enqueue(ready.key);
        }
    }

    pub(super) fn enqueue(&mut self, key: Key) {
        let work = self.streams.get_mut(key).and_then(|stream| stream.work.as_mut());
        if let Some(work) = work.filter(|work| !work.queued) {
            work.queued = true;
            self.again.push_back(key);
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        let Arrival { transport, stream, place } = arrival;
        if self.streams.len() == 0 && self.pass.is_none() {
            // Nobody has woken the loop for what has come since its last stream.
            let end = self.context.window.place();
            self.move_to(end);
        }
        let (feed, subscription) = match stream.following {
            Some(following) => (Some(Box::new(following.feed)), Some(following.subscription)),
            None => (None, None),
        };
        let mut work = Work::new(feed, stream.queue);
        work.backlog = stream.backlog;
        if subscription.is_none() {
            work.end = End::Announced(CloseCode::ClientGone);
        }
        let connection = subscription.as_ref().map(|subscription| Arc::clone(subscription.connection()));
        let key = self.streams.insert(Stream {
            transport,
            form: stream.form,
            subscription,
            told: connection.as_ref().map_or(self.place.cursor, |connection| connection.cursor()),
            heartbeat_at: self.ticks.now + self.ticks.heartbeat,
            cursor_at: self.ticks.now + self.ticks.cursor,
            served: 0,
            received: 0,
            had: Box::default(),
            work: Some(Box::new(work)),
            _loop_permit: stream.loop_permit,
            _place: place,
        });
        let Some(stream) = self.streams.get_mut(key) else { return };
        if let Err(error) = self.poll.add(&stream.transport, key) {
            tracing::warn!(%error, "a stream cannot be watched");
            return self.close(key, CloseCode::ClientGone);
        }
        if let Some(connection) = connection {
            self.lists.add(&connection, index(key));
            connection.set_key(key);
            self.check_order(key);
        }
        self.enqueue(key);
    }

    /// Takes a stream out of everything.
    pub(super) fn close(&mut self, key: Key, code: CloseCode) {
        let Some(stream) = self.streams.remove(key) else { return };
        let end = stream.work.as_ref().map_or(End::Open, |work| work.end);
        let code = match end {
            End::Open => code,
            End::Announced(known) | End::Pause(known) => known,
        };
        let Some(connection) = stream.connection() else { return };
        self.lists.remove(index(key));
        self.context.metrics.count_closed(code);
        tracing::debug!(connection = %connection.identity.id, reason = code.label(), "stream ended");
    }

    pub(super) fn check_order(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(order) = stream.connection().and_then(|connection| connection.close_order()) else { return };
        if order.at > self.now {
            return self.deadlines.push(Reverse((order.at, key)));
        }
        self.announce(key, order.code, &order.reason);
    }

    /// Ends a stream behind what already waits to be written.
    pub(super) fn announce(&mut self, key: Key, code: CloseCode, reason: &str) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let retry = self.context.timing.retry.jittered(&mut rand::rng());
        let close = close_portion(code, reason, retry, (stream.form.framing, self.settings.end));
        let work = stream.work.get_or_insert_with(|| Box::new(Work::new(None, VecDeque::new())));
        if work.end == End::Open {
            (work.end, work.feed) = (End::Announced(code), None);
            work.queue.push_back(close);
            self.enqueue(key);
        }
    }

    fn on_deadlines(&mut self) {
        while let Some(Reverse((_, key))) =
            self.deadlines.peek().copied().filter(|Reverse((at, _))| *at <= self.now)
        {
            self.deadlines.pop();
            let Some(stream) = self.streams.get_mut(key) else { continue };
            match stream.work.as_ref().map(|work| work.end) {
                Some(End::Pause(code)) => {
                    stream.transport.close_write();
                    self.close(key, code);
                }
                Some(End::Announced(_)) => {}
                Some(End::Open) | None => self.check_order(key),
            }
        }
    }

    /// Hands on what the turn has counted.
    fn hand_on_counts(&mut self) {
        let metrics = &self.context.metrics;
        let counts = &mut self.counts;
        if counts.bytes > 0 {
            metrics.sent.fetch_add(std::mem::take(&mut counts.sent), Ordering::Relaxed);
            metrics.sent_bytes.fetch_add(std::mem::take(&mut counts.bytes), Ordering::Relaxed);
        }
        if !counts.timed.is_empty() {
            let now = Instant::now();
            let latencies = counts.timed.drain(..).map(|(frame, clients)| (frame.age_us(now), clients));
            // The low bits of the address differ from loop to loop and cost nothing.
            metrics.record_latency(Arc::as_ptr(&self.handle) as u64 >> 6, latencies);
        }
        if !counts.confirms.is_empty() {
            (self.offload)(Offload::Confirm(std::mem::take(&mut counts.confirms)));
        }
    }
}

/// The index of a stream in the lists.
fn index(key: Key) -> u32 {
    u32::try_from(key.index()).unwrap_or(u32::MAX)
}
