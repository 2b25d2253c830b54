//! What a stream without events gets, and who has taken nothing for too long: a look at a part of the streams each tick,
//! and no timer. Read [`EventLoop::sweep_streams`] first.

use bytes::{Bytes, BytesMut};

use super::event_loop::EventLoop;
use super::portion::Portion;
use super::stream::{End, Stream};
use super::ticks::{SWEEP_TICKS, Ticks};
use crate::net::Key;
use crate::node::close::CloseCode;
use crate::node::stream_context::HeartbeatForm;
use crate::protocol::encode::HEARTBEAT;
use crate::protocol::event::control;
use crate::protocol::{Cursor, Frame};
use crate::runtime::clock::unix_ms;

impl EventLoop {
    /// Looks at a part of the streams: who gets a heartbeat or its position, and who has taken nothing for too long.
    pub(super) fn sweep_streams(&mut self) {
        let seconds = u32::try_from(unix_ms() / 1_000).unwrap_or(u32::MAX - 1);
        for _ in 0..self.streams.places().div_ceil(SWEEP_TICKS) {
            self.sweep = if self.sweep + 1 >= self.streams.places() { 0 } else { self.sweep + 1 };
            let Some((key, stream)) = self.streams.at(self.sweep) else { continue };
            if stream.subscription.as_ref().is_some_and(|subscription| subscription.expires_at <= seconds) {
                self.announce(key, CloseCode::Expired, "the token has ended; come back with a new one");
            }
            let Some((key, stream)) = self.streams.at(self.sweep) else { continue };
            match &stream.work {
                Some(work) if work.blocked => self.check_stall(key),
                Some(work) if work.end != End::Open || !work.queue.is_empty() => {}
                Some(_) | None => self.keep_alive(key),
            }
        }
    }

    pub(super) fn check_stall(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let now = self.ticks.now;
        let is_late =
            |stream: &Stream| stream.work.as_ref().is_some_and(|work| work.blocked && work.stall_at <= now);
        let too_slow = stream.work.as_mut().is_some_and(|work| work.is_too_slow(&self.ticks));
        if too_slow {
            stream.transport.reset_on_close();
            return self.close(key, CloseCode::Slow);
        }
        if !is_late(stream) {
            return;
        }
        // A socket says that it is writable only when a third of its buffer is free: it is asked before it is judged.
        match stream.flush(&mut self.counts, &self.ticks) {
            Err(_) => self.close(key, CloseCode::ClientGone),
            Ok(true) => self.enqueue(key),
            Ok(false) if is_late(stream) => {
                stream.transport.reset_on_close();
                self.close(key, CloseCode::Stalled);
            }
            Ok(false) => {}
        }
    }

    pub(super) fn keep_alive(&mut self, key: Key) {
        let now = self.ticks.now;
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.heartbeat_at > now && stream.cursor_at > now {
            return;
        }
        let served = stream.served;
        let level = stream.work.is_none().then(|| self.level_place(served).cursor);
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(subscription) = &stream.subscription else { return };
        let cursor = level.unwrap_or_else(|| subscription.connection().cursor());
        let heartbeat = subscription.heartbeat;
        let Some(frames) = stream.due(cursor, heartbeat, &self.ticks) else { return };
        let wire = stream.form.framing.wrap(frames);
        let Ok(count) = stream.transport.push(&wire) else { return self.close(key, CloseCode::ClientGone) };
        stream.note_bytes(count, &mut self.counts);
        if count == wire.len() {
            return;
        }
        self.fall_behind(key, None);
        if let Some(work) = self.streams.get_mut(key).and_then(|stream| stream.work.as_mut()) {
            work.block(Portion::new(wire, None), count, &self.ticks);
        }
    }
}

impl Stream {
    /// The frames that are due to a stream that got none; `None` if none is.
    fn due(&mut self, cursor: Cursor, form: HeartbeatForm, ticks: &Ticks) -> Option<Bytes> {
        let mut out = BytesMut::new();
        let mut put = |id, event, data| Frame { retry: None, id, event, data }.encode_into(&mut out);
        if self.cursor_at <= ticks.now {
            self.cursor_at = ticks.now + ticks.cursor;
            if cursor != self.told {
                self.told = cursor;
                put(Some(cursor.spelled(self.form.format)), control::CURSOR, "");
            }
        }
        if self.heartbeat_at <= ticks.now {
            self.heartbeat_at = ticks.now + ticks.heartbeat;
            match form {
                HeartbeatForm::Comment => out.extend_from_slice(HEARTBEAT),
                HeartbeatForm::Event => put(None, control::HEARTBEAT, "{}"),
            }
        }
        (!out.is_empty()).then(|| out.freeze())
    }
}
