//! Frames for a stream without events: heartbeats, and `CURSOR` events when its position has moved. Reads no clock and
//! does no I/O. Read [`Keepalive`] first.

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::stream_context::{HeartbeatForm, StreamTiming};
use crate::protocol::encode::HEARTBEAT;
use crate::protocol::event::control;
use crate::protocol::{Cursor, Frame};

/// The times at which a stream without events gets its next heartbeat and its next `CURSOR`.
#[derive(Debug)]
pub(super) struct Keepalive {
    timing: StreamTiming,
    heartbeat_at: Instant,
    cursor_at: Instant,
    /// The position that the client knows: the last `id:` that was written.
    sent: Cursor,
}

impl Keepalive {
    pub(super) fn new(now: Instant, sent: Cursor, timing: StreamTiming) -> Self {
        Self { timing, heartbeat_at: now + timing.heartbeat, cursor_at: now + timing.cursor, sent }
    }

    /// When the next frame is due.
    pub(super) fn next(&self) -> Instant {
        self.heartbeat_at.min(self.cursor_at)
    }

    /// Records a write whose last `id:` was `sent`; `None` if it had none, which postpones nothing. A stream may have
    /// examined more than it was sent: a page of a replay may hold no event for it.
    pub(super) fn wrote(&mut self, now: Instant, sent: Option<Cursor>) {
        let Some(sent) = sent else { return };
        self.heartbeat_at = now + self.timing.heartbeat;
        self.cursor_at = now + self.timing.cursor;
        self.sent = sent;
    }

    /// The frames that are due now; `None` if none is. `cursor` is the position of the stream.
    pub(super) fn due(&mut self, now: Instant, cursor: Cursor, form: HeartbeatForm) -> Option<Bytes> {
        let mut out = BytesMut::new();
        if now >= self.cursor_at {
            self.cursor_at = now + self.timing.cursor;
            if cursor != self.sent {
                self.sent = cursor;
                Frame { retry: None, id: Some(cursor), event: control::CURSOR, data: "" }
                    .encode_into(&mut out);
            }
        }
        if now >= self.heartbeat_at {
            self.heartbeat_at = now + self.timing.heartbeat;
            match form {
                HeartbeatForm::Comment => out.extend_from_slice(HEARTBEAT),
                HeartbeatForm::Event => {
                    Frame { retry: None, id: None, event: control::HEARTBEAT, data: "{}" }
                        .encode_into(&mut out);
                }
            }
        }
        (!out.is_empty()).then(|| out.freeze())
    }
}
