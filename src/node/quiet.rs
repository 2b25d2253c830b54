//! What a quiet stream is sent, and when: heartbeats, and its cursor where that has moved. Pure. Read [`Quiet`] first.

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::stream::{HeartbeatForm, StreamTiming};
use crate::protocol::encode::HEARTBEAT;
use crate::protocol::event::control;
use crate::protocol::{Cursor, Frame};
use crate::runtime::mutant::{self, Mutant};

/// What a quiet stream is sent, and when.
#[derive(Debug)]
pub(super) struct Quiet {
    timing: StreamTiming,
    heartbeat_at: Instant,
    cursor_at: Instant,
    /// The position that the client knows.
    told: Cursor,
}

impl Quiet {
    pub(super) fn new(now: Instant, told: Cursor, timing: StreamTiming) -> Self {
        Self { timing, heartbeat_at: now + timing.heartbeat, cursor_at: now + timing.cursor, told }
    }

    /// When something will be due.
    pub(super) fn next(&self) -> Instant {
        self.heartbeat_at.min(self.cursor_at)
    }

    /// Something was written, the last of it at this position. What a stream has looked at and what it was told are
    /// two things: a page of a replay may hold nothing for it.
    pub(super) fn wrote(&mut self, now: Instant, told: Option<Cursor>) {
        let Some(told) = told else { return };
        self.heartbeat_at = now + self.timing.heartbeat;
        self.cursor_at = now + self.timing.cursor;
        self.told = told;
    }

    /// What is due now, if anything.
    pub(super) fn due(&mut self, now: Instant, cursor: Cursor, form: HeartbeatForm) -> Option<Bytes> {
        let mut out = BytesMut::new();
        if now >= self.cursor_at {
            self.cursor_at = now + self.timing.cursor;
            if cursor != self.told {
                self.told = cursor;
                Frame { retry: None, id: Some(cursor), event: control::CURSOR, data: "" }
                    .encode_into(&mut out);
            }
        }
        if now >= self.heartbeat_at {
            self.heartbeat_at = now + self.timing.heartbeat;
            match form {
                HeartbeatForm::Comment if mutant::is_on(Mutant::HeartbeatMissing) => {}
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
