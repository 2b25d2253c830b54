//! One stream of a loop: its socket, what waits to be written to it, and what is known of its client. Read [`Stream`]
//! first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::handle::LoopHandle;
use super::log_request::Backlog;
use super::portion::{Portion, confirmed};
use super::ticks::Ticks;
use crate::net::Transport;
use crate::node::admission::Admitted;
use crate::node::close::CloseCode;
use crate::node::connections::{AckMode, Connection, Registered};
use crate::node::feed::Feed;
use crate::node::limits::READER_BYTES;
use crate::node::sockets::Place;
use crate::node::stream_context::HeartbeatForm;
use crate::node::window::{Form, WindowFrame};
use crate::protocol::{Address, Cursor};

/// A stream that is ready to go to its loop.
#[derive(Debug)]
pub(crate) struct NewStream {
    pub(crate) form: Form,
    /// What is written before anything of the log.
    pub(crate) queue: VecDeque<Portion>,
    /// Mail that follows the queue, before anything of the log.
    pub(crate) backlog: Option<Box<Backlog>>,
    /// What follows; `None` if nothing does, because the client was refused.
    pub(crate) following: Option<Box<Following>>,
    /// The loop that it goes to.
    pub(crate) loop_permit: LoopPermit,
}

/// The part of a stream that follows the log.
#[derive(Debug)]
pub(crate) struct Following {
    pub(crate) feed: Feed,
    pub(crate) subscription: Subscription,
}

/// What a client holds while its stream is open.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// The stream's entry in the list of connections.
    pub(crate) registered: Registered,
    /// The stream's permission; frees its place when dropped.
    pub(crate) _admitted: Admitted,
    pub(crate) heartbeat: HeartbeatForm,
    /// When mailbox messages count as confirmed.
    pub(crate) ack: AckMode,
    /// Seconds since 1970 at which the node ends the stream, because its token ends; `u32::MAX`: never.
    pub(crate) expires_at: u32,
}

impl Subscription {
    pub(super) fn connection(&self) -> &Arc<Connection> {
        self.registered.connection()
    }
}

/// A place in a loop; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct LoopPermit(Arc<LoopHandle>);

impl LoopPermit {
    pub(crate) fn new(handle: Arc<LoopHandle>) -> Self {
        handle.streams.fetch_add(1, Ordering::Relaxed);
        Self(handle)
    }

    pub(crate) fn handle(&self) -> &Arc<LoopHandle> {
        &self.0
    }
}

impl Drop for LoopPermit {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream on its way to its loop, with the connection that has left the HTTP server.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) transport: Transport,
    pub(crate) stream: NewStream,
    /// Counts the socket among those of the node.
    pub(crate) place: Place,
}

/// A stream. `work` is empty while it is level with its loop.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) transport: Transport,
    pub(super) form: Form,
    /// Bytes that the client has sent into its stream; at most [`crate::node::limits::STREAM_INPUT_BYTES`].
    pub(super) received: u16,
    /// `None` for a client that is refused.
    pub(super) subscription: Option<Subscription>,
    /// The last `id:` that was written.
    pub(super) told: Cursor,
    /// The tick of its next heartbeat.
    pub(super) heartbeat_at: u32,
    /// The tick at which it is told its position, if that has moved.
    pub(super) cursor_at: u32,
    /// A level stream that has been served by a pass, or needs nothing of it: the ordinal at which that pass ends.
    pub(super) served: u64,
    /// See [`Feed::into_had`]; nearly always empty.
    pub(super) had: Box<[Cursor]>,
    pub(super) work: Option<Box<Work>>,
    pub(super) _loop_permit: LoopPermit,
    pub(super) _place: Place,
}

/// How far the end of a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The stream goes on.
    Open,
    /// It ends when everything that waits is written.
    Announced(CloseCode),
    /// Everything is written; the client has a moment to read it.
    Pause(CloseCode),
}

/// What a stream has that is not level with its loop.
#[derive(Debug)]
pub(super) struct Work {
    /// `None` while a request has it, and at the end.
    pub(super) feed: Option<Box<Feed>>,
    /// What must be written before anything else.
    pub(super) queue: VecDeque<Portion>,
    /// What must be read and written then, before the feed goes on.
    pub(super) backlog: Option<Box<Backlog>>,
    /// Bytes of the first portion that are written.
    pub(super) done: usize,
    /// The feed may go on up to this ordinal, also beyond the pass under way.
    pub(super) until: u64,
    /// The tick at which a socket that takes nothing is closed.
    pub(super) stall_at: u32,
    /// The tick at which the socket took no more, if it is blocked.
    blocked_at: u32,
    /// How far the judgement of its speed is.
    speed: Speed,
    /// The socket takes no more bytes for now.
    pub(super) blocked: bool,
    /// It waits for its turn.
    pub(super) queued: bool,
    pub(super) end: End,
}

impl Work {
    pub(super) fn new(feed: Option<Box<Feed>>, queue: VecDeque<Portion>) -> Self {
        Self {
            feed,
            queue,
            backlog: None,
            done: 0,
            until: 0,
            stall_at: 0,
            blocked_at: 0,
            speed: Speed::default(),
            blocked: false,
            queued: false,
            end: End::Open,
        }
    }

    /// The socket took only a part of a portion.
    pub(super) fn block(&mut self, portion: Portion, done: usize, ticks: &Ticks) {
        self.queue.push_back(portion);
        (self.done, self.stall_at) = (done, ticks.now + ticks.stall);
        self.set_blocked(true, ticks);
    }

    fn set_blocked(&mut self, blocked: bool, ticks: &Ticks) {
        if self.blocked && !blocked {
            self.speed.ticks += ticks.now - self.blocked_at;
        } else if blocked && !self.blocked {
            self.blocked_at = ticks.now;
        }
        self.blocked = blocked;
    }

    /// Notes bytes that the socket took.
    pub(super) fn note_taken(&mut self, count: usize) {
        self.speed.taken += count as u64;
    }

    /// Whether the socket took less than it must while it was blocked. A reader that takes a byte now and then is never
    /// stalled, and would hold its buffers for ever.
    pub(super) fn is_too_slow(&mut self, ticks: &Ticks) -> bool {
        let blocked_now = if self.blocked { ticks.now - self.blocked_at } else { 0 };
        if self.speed.ticks + blocked_now < ticks.reader {
            return false;
        }
        self.blocked_at = ticks.now;
        std::mem::take(&mut self.speed).taken < READER_BYTES
    }
}

/// What a socket took of what waited for it.
#[derive(Debug, Default)]
struct Speed {
    taken: u64,
    /// The time that it was blocked for, up to when it was blocked last.
    ticks: u32,
}

/// What a loop counts until the end of its turn.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) bytes: u64,
    /// Frames whose latency is recorded at the end of the turn, and how many clients got them.
    pub(super) timed: Vec<(Arc<WindowFrame>, u64)>,
    pub(super) confirms: Vec<(Address, Cursor)>,
}

impl Stream {
    /// Writes what waits. Returns whether all of it is with the socket.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn flush(&mut self, counts: &mut Counts, ticks: &Ticks) -> std::io::Result<bool> {
        while let Some(work) = &mut self.work
            && let Some(portion) = work.queue.front()
        {
            let bytes = &portion.wire[work.done..];
            let count = self.transport.push(bytes)?;
            work.done += count;
            let blocked = count < bytes.len();
            work.set_blocked(blocked, ticks);
            work.note_taken(count);
            if count > 0 || !blocked {
                work.stall_at = ticks.now + ticks.stall;
            }
            let portion = if blocked { None } else { work.queue.pop_front() };
            if portion.is_some() {
                work.done = 0;
            }
            self.note_bytes(count, counts);
            if let Some(connection) = self.connection() {
                connection.blocked.store(blocked, Ordering::Relaxed);
            }
            match portion {
                None => return Ok(false),
                Some(portion) => self.note_portion(portion, counts, ticks),
            }
        }
        let is_whole = self.transport.flush()?;
        if let Some(work) = &mut self.work {
            if !is_whole && !work.blocked {
                work.stall_at = ticks.now + ticks.stall;
            }
            work.set_blocked(!is_whole, ticks);
        }
        Ok(is_whole)
    }

    pub(super) fn connection(&self) -> Option<&Arc<Connection>> {
        self.subscription.as_ref().map(Subscription::connection)
    }

    pub(super) fn note_portion(&mut self, portion: Portion, counts: &mut Counts, ticks: &Ticks) {
        counts.confirms.extend(portion.confirms);
        if let Some(frame) = portion.frame {
            frame.written.fetch_add(1, Ordering::Relaxed);
            counts.timed.push((frame, 1));
        }
        self.note(portion.events, portion.told, (counts, ticks));
    }

    /// Notes bytes that the socket took.
    pub(super) fn note_bytes(&self, count: usize, counts: &mut Counts) {
        counts.bytes += count as u64;
        if let Some(connection) = self.connection() {
            connection.bytes.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// Notes events that the socket took, and the last `id:` among them. A write without an `id:` postpones nothing: the
    /// stream may have examined more than it was sent.
    pub(super) fn note(&mut self, events: u64, told: Option<Cursor>, (counts, ticks): (&mut Counts, &Ticks)) {
        if events > 0
            && let Some(connection) = self.connection()
        {
            connection.sent.fetch_add(events, Ordering::Relaxed);
            counts.sent += events;
        }
        if let Some(told) = told {
            self.told = told;
            self.heartbeat_at = ticks.now + ticks.heartbeat;
            self.cursor_at = ticks.now + ticks.cursor;
        }
    }

    /// Notes what the socket took of these frames. Returns the index of the first that it did not take whole, and what
    /// is left of it.
    pub(super) fn note_frames<'a>(
        &mut self,
        frames: impl Iterator<Item = (usize, &'a Arc<WindowFrame>)>,
        count: usize,
        (counts, ticks): (&mut Counts, &Ticks),
    ) -> Option<(usize, Portion)> {
        self.note_bytes(count, counts);
        let mut left = count;
        let mut cut = None;
        for (index, frame) in frames {
            let length = frame.bytes(self.form).len();
            let mut portion = Portion::rest_of(frame, self.form, left.min(length));
            if let Some(subscription) = &self.subscription {
                let written = std::iter::once((&frame.address, frame.cursor));
                portion.confirms = confirmed(subscription.ack, &subscription.connection().identity, &written);
            }
            if left < length {
                cut = Some((index, portion));
                break;
            }
            left -= length;
            self.note_portion(portion, counts, ticks);
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    /// The tick at which a reader is too slow that takes so many bytes in each tick that its socket is blocked, which is
    /// in each of so many ticks one; `None` if it is not in ten minutes.
    fn too_slow_at(bytes: usize, one_in: u32) -> Option<u32> {
        let long = Duration::from_secs(15);
        let mut ticks = Ticks::new(Instant::now(), long, long, long);
        let mut work = Work::new(None, VecDeque::new());
        for now in 0..2_400 {
            ticks.now = now;
            let is_blocked = now % one_in == 0;
            work.set_blocked(is_blocked, &ticks);
            if is_blocked && now > 0 {
                work.note_taken(bytes);
            }
            if work.is_too_slow(&ticks) {
                return Some(now);
            }
        }
        None
    }

    #[test]
    fn a_reader_must_take_1_kib_a_second_while_its_socket_is_blocked() {
        // Four ticks a second.
        assert_eq!(too_slow_at(0, 1), Some(120));
        assert_eq!(too_slow_at(255, 1), Some(120));
        assert_eq!(too_slow_at(256, 1), None);
        // Half of the time it waits for the log or for events.
        assert_eq!(too_slow_at(255, 2), Some(239));
        assert_eq!(too_slow_at(260, 2), None);
    }
}
