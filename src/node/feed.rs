//! Decides what a connection gets next that is not level with its loop: the cursor of one connection moves through the
//! window, or through the log where the window does not reach. A reconnect, a slow reader and an outage are this one
//! loop. A feed must never do I/O or await: its caller reads the log for it. Read [`Feed::step`] first.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::window::{FrameMeta, Place, Reader, Taken, WindowFrame};
use crate::broker::{Entry, Missing, Page, PageLimit, Synced};
use crate::protocol::event::Skimmed;
use crate::protocol::{Cursor, EncodedEvent};

/// Limits of one feed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FeedLimits {
    /// Frames in one step.
    pub(crate) batch_frames: usize,
    /// Bytes in one step, about.
    pub(crate) batch_bytes: usize,
    /// Entries of a page of the log. A page also has at most `batch_bytes`, since a stream holds it until the client
    /// has taken it.
    pub(crate) page: usize,
    /// A feed that was live once and falls more than this many events of the log behind is too slow.
    pub(crate) lag: u64,
}

/// The cursor of one connection.
#[derive(Debug)]
pub(crate) struct Feed {
    reader: Reader,
    limits: FeedLimits,
    mode: Mode,
    /// The feed has reached the newest event once. Until then a long backlog is a replay, not slowness.
    was_live: bool,
    /// Events of the log that a feed is behind which was live and now replays.
    replay_lag: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The cursor is in the window.
    Live,
    /// The cursor is before the window, or only the log knows whether it is valid.
    Replay { after: Cursor },
}

/// What the stream does next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Write these frames, in order.
    Frames(Vec<Arc<WindowFrame>>),
    /// Send a `GAP`: events are missing.
    Gap(Missing),
    /// Send a `SYNC`: the log lost events that the client has had, and has them again.
    Sync(Synced),
    /// Read a page of the log after a cursor, and give it to [`Feed::accept`].
    ReadLog { after: Cursor, limit: PageLimit },
    /// Nothing is left to write before the place that was asked for.
    Idle,
    /// The stream is too far behind: end it; the client reconnects and is served from the log.
    TooSlow,
}

/// The part of a page of the log that concerns one connection, to be written in the order of the fields.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    /// The log lost events that the client has had.
    pub(crate) sync: Option<Synced>,
    /// Events are missing before the frames.
    pub(crate) gap: Option<Missing>,
    /// The frames that concern this connection.
    pub(crate) frames: Vec<Arc<WindowFrame>>,
}

impl Feed {
    /// Starts where the reader stands. The connection has everything before.
    pub(crate) fn live(reader: Reader, limits: FeedLimits) -> Self {
        Self { reader, limits, mode: Mode::Live, was_live: true, replay_lag: 0 }
    }

    /// Starts after the cursor of a client.
    pub(crate) fn resume(mut reader: Reader, limits: FeedLimits, after: Cursor) -> Self {
        let mode = if reader.seek(after) { Mode::Live } else { Mode::Replay { after } };
        Self { reader, limits, mode, was_live: false, replay_lag: 0 }
    }

    /// Starts again after the position that the log gave in place of a cursor that is not valid.
    pub(crate) fn restart(self, after: Cursor) -> Self {
        Self::resume(self.reader, self.limits, after)
    }

    /// Starts again where the log has translated a cursor of an older history to.
    pub(crate) fn translated(mut self, sync: &Synced) -> Self {
        self.reader.record_sync(sync);
        self.restart(sync.to)
    }

    /// The position up to which the connection has every event for it.
    pub(crate) fn cursor(&self) -> Cursor {
        match self.mode {
            Mode::Live => self.reader.place().cursor,
            Mode::Replay { after } => after,
        }
    }

    /// The place in the window; `None` while the feed reads the log.
    pub(crate) fn place(&self) -> Option<Place> {
        (!self.is_replaying()).then(|| self.reader.place())
    }

    /// Goes back behind a frame that [`Feed::step`] has just returned: the frames after it were not written.
    pub(crate) fn return_to(&mut self, frame: &WindowFrame) {
        if !self.reader.seek(frame.cursor) {
            self.mode = Mode::Replay { after: frame.cursor };
        }
    }

    /// What the connection has had of older histories, for its next feed.
    pub(crate) fn into_had(self) -> Vec<Cursor> {
        self.reader.into_had()
    }

    /// Whether the feed reads the log instead of the window.
    pub(crate) fn is_replaying(&self) -> bool {
        matches!(self.mode, Mode::Replay { .. })
    }

    /// Events of the log that this feed has not examined, as far as the window knows.
    pub(crate) fn lag(&self) -> u64 {
        match self.mode {
            Mode::Live => self.reader.lag(),
            Mode::Replay { .. } => self.replay_lag,
        }
    }

    /// The next step of the stream, through the slots of the window before the ordinal `until`.
    pub(crate) fn step(&mut self, until: u64) -> Step {
        if self.was_live && self.lag() > self.limits.lag {
            return Step::TooSlow;
        }
        if let Mode::Replay { after } = self.mode {
            let limit = PageLimit { entries: self.limits.page, bytes: self.limits.batch_bytes as u64 };
            return Step::ReadLog { after, limit };
        }
        match self.reader.take(until, self.limits.batch_frames, self.limits.batch_bytes) {
            Taken::Frames(frames) => Step::Frames(frames),
            Taken::Gap(missing) => Step::Gap(missing),
            Taken::Sync(sync) => Step::Sync(sync),
            Taken::Idle => {
                self.was_live = true;
                Step::Idle
            }
            Taken::Behind => {
                let after = self.reader.place().cursor;
                self.replay_lag = self.reader.lag();
                self.mode = Mode::Replay { after };
                // Again from the start, to check the lag limit before the log is read.
                self.step(until)
            }
        }
    }

    /// Takes the page of the log that [`Step::ReadLog`] asked for, and returns the frames to write.
    pub(crate) fn accept(&mut self, page: &Page, now: Instant) -> Accepted {
        let Mode::Replay { mut after } = self.mode else { return Accepted::default() };
        if let Some(sync) = &page.sync {
            self.reader.record_sync(sync);
            after = sync.to;
        }
        if let Some(missing) = page.gap {
            after = missing.resumed_after;
        }
        let concerned = page
            .entries
            .iter()
            .filter(|entry| self.reader.concerns(&entry.address) && !self.reader.has_had(&entry.origins));
        let frames = concerned.map(|entry| Arc::new(encode(entry, now, None))).collect();
        if let Some(last) = page.entries.last() {
            after = last.cursor;
        }
        self.replay_lag = self.replay_lag.saturating_sub(page.entries.len() as u64);
        self.mode = if self.reader.join(after) { Mode::Live } else { Mode::Replay { after } };
        Accepted { sync: page.sync.clone().filter(Synced::is_lost), gap: page.gap, frames }
    }
}

/// Encodes an entry of the log once for all connections that it concerns. `clock` is the time by which its age is
/// measured; `None` where latency is not.
pub(crate) fn encode(entry: &Entry, now: Instant, clock: Option<SystemTime>) -> WindowFrame {
    let parts = Skimmed::of(&entry.envelope);
    let age_at_tail_us =
        clock.zip(parts.as_ref()).map_or(0, |(clock, parts)| age_us(&parts.timestamp, clock));
    let encoded = EncodedEvent::of(entry.cursor, entry.event_type.as_str(), &entry.envelope, parts.as_ref());
    let meta = FrameMeta {
        cursor: entry.cursor,
        address: entry.address.clone(),
        event_type: entry.event_type.clone(),
        origins: entry.origins.clone(),
        tailed_at: now,
        age_at_tail_us,
    };
    WindowFrame::new(meta, &encoded)
}

/// Microseconds since the publishing node accepted the message, by the `timestamp` of the envelope. Positions cannot
/// be used: after a restart they may be ahead of the clock. Zero if this node's clock is behind the publisher's.
fn age_us(timestamp: &str, now: SystemTime) -> u64 {
    let taken = humantime::parse_rfc3339(timestamp).ok();
    let age = taken.and_then(|taken| now.duration_since(taken).ok()).unwrap_or_default();
    u64::try_from(age.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(timestamp: &str, expected: u64) {
        let now = humantime::parse_rfc3339("2026-01-01T00:00:01.500Z").unwrap();
        assert_eq!(age_us(timestamp, now), expected);
    }

    #[test]
    fn age_counts_from_the_publishing_nodes_clock_and_is_never_negative() {
        check("2026-01-01T00:00:01.250Z", 250_000);
        check("2026-01-01T00:00:02.000Z", 0);
        check("", 0);
        check("no time at all", 0);
    }
}
