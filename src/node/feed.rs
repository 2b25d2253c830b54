//! What a connection gets next: the cursor of one connection, moving through the window, or through the log where
//! the window does not reach. Live delivery, replay and a slow reader are this one loop. Decides; does no I/O and
//! never awaits: whoever holds a feed reads the log for it. Read [`Feed::step`] first.

use std::sync::Arc;

use tokio::time::Instant;

use super::window::{FrameOrigin, Reader, Taken, WindowFrame};
use crate::broker::{Entry, Missing, Page, PageLimit, Synced};
use crate::protocol::{Address, Cursor, Frame};

/// Bounds of one feed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FeedLimits {
    /// Frames handed out at once.
    pub(crate) batch_frames: usize,
    /// About how many bytes are handed out at once.
    pub(crate) batch_bytes: usize,
    /// Entries read from the log at once, and together no more than `batch_bytes`: a stream holds its page until the
    /// client has taken it.
    pub(crate) page: usize,
    /// A feed that was live once and is further behind than this many events of the log is too slow.
    pub(crate) lag: u64,
}

/// The cursor of one connection.
#[derive(Debug)]
pub(crate) struct Feed {
    reader: Reader,
    limits: FeedLimits,
    mode: Mode,
    /// It had everything once. Before that, being far behind is a replay, not slowness.
    was_live: bool,
    /// Events of the log that a feed in replay, having been live, is behind.
    replay_lag: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// In the window.
    Live,
    /// Before the window, or at a place that only the log can judge.
    Replay { after: Cursor },
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Write these, in order.
    Frames(Vec<Arc<WindowFrame>>),
    /// Tell the client that something is missing.
    Gap(Missing),
    /// Tell the client that the log lost what it has had, and has it again.
    Sync(Synced),
    /// Read at most this much of the log after a cursor, and give them to [`Feed::accept`].
    ReadLog {
        /// The cursor.
        after: Cursor,
        /// How much.
        limit: PageLimit,
    },
    /// Nothing: sleep until woken.
    Idle,
    /// Too far behind: end the stream; the client comes back and is served from the log.
    TooSlow,
}

/// What a page of the log brings to one connection, in this order.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    /// The log lost what the client has had.
    pub(crate) sync: Option<Synced>,
    /// A hole in front of the frames.
    pub(crate) gap: Option<Missing>,
    /// The frames that concern this connection.
    pub(crate) frames: Vec<Arc<WindowFrame>>,
}

impl Feed {
    /// Starts at the end of the window: from now on.
    pub(crate) fn live(reader: Reader, limits: FeedLimits) -> Self {
        Self { reader, limits, mode: Mode::Live, was_live: true, replay_lag: 0 }
    }

    /// Starts after a cursor that a client gave.
    pub(crate) fn resume(mut reader: Reader, limits: FeedLimits, after: Cursor) -> Self {
        let mode = if reader.seek(after) { Mode::Live } else { Mode::Replay { after } };
        Self { reader, limits, mode, was_live: false, replay_lag: 0 }
    }

    /// Starts elsewhere: the log found the cursor unsound and goes on from here.
    pub(crate) fn restart(self, after: Cursor) -> Self {
        Self::resume(self.reader, self.limits, after)
    }

    /// Starts where the log says that a cursor of an older history stands now.
    pub(crate) fn translated(mut self, sync: &Synced) -> Self {
        self.reader.come_from(sync);
        self.restart(sync.to)
    }

    /// Up to where the connection has everything that concerns it.
    pub(crate) fn cursor(&self) -> Cursor {
        match self.mode {
            Mode::Live => self.reader.cursor(),
            Mode::Replay { after } => after,
        }
    }

    /// Whether it reads the log instead of the window.
    pub(crate) fn is_replaying(&self) -> bool {
        matches!(self.mode, Mode::Replay { .. })
    }

    /// Events of the log that this feed has not looked at, as far as the window knows.
    pub(crate) fn lag(&self) -> u64 {
        match self.mode {
            Mode::Live => self.reader.lag(),
            Mode::Replay { .. } => self.replay_lag,
        }
    }

    /// What to do next.
    pub(crate) fn step(&mut self) -> Step {
        if self.was_live && self.lag() > self.limits.lag {
            return Step::TooSlow;
        }
        if let Mode::Replay { after } = self.mode {
            let limit = PageLimit { entries: self.limits.page, bytes: self.limits.batch_bytes as u64 };
            return Step::ReadLog { after, limit };
        }
        match self.reader.take(self.limits.batch_frames, self.limits.batch_bytes) {
            Taken::Frames(frames) => Step::Frames(frames),
            Taken::Gap(missing) => Step::Gap(missing),
            Taken::Sync(sync) => Step::Sync(sync),
            Taken::Idle => {
                self.was_live = true;
                Step::Idle
            }
            Taken::Behind => {
                let after = self.reader.cursor();
                self.replay_lag = self.reader.lag();
                self.mode = Mode::Replay { after };
                // Through the limits again: this may be where a reader turns out to be too slow.
                self.step()
            }
        }
    }

    /// Takes a page of the log that [`Step::ReadLog`] asked for. Returns what is to be written.
    pub(crate) fn accept(&mut self, page: &Page, now: Instant) -> Accepted {
        let Mode::Replay { mut after } = self.mode else { return Accepted::default() };
        if let Some(sync) = &page.sync {
            self.reader.come_from(sync);
            after = sync.to;
        }
        if let Some(missing) = page.gap {
            after = missing.resumed_after;
        }
        let concerned = page
            .entries
            .iter()
            .filter(|entry| self.concerns(&entry.address) && !self.reader.has_had(&entry.origins));
        let frames = concerned.map(|entry| Arc::new(encode(entry, now, 0))).collect();
        if let Some(last) = page.entries.last() {
            after = last.cursor;
        }
        self.replay_lag = self.replay_lag.saturating_sub(page.entries.len() as u64);
        self.mode = if self.reader.join(after) { Mode::Live } else { Mode::Replay { after } };
        Accepted { sync: page.sync.clone().filter(Synced::is_lost), gap: page.gap, frames }
    }

    fn concerns(&self, address: &Address) -> bool {
        *address == Address::All || self.reader.addresses().contains(address)
    }
}

/// Encodes an entry of the log as it goes to every connection that it concerns. `age_us` is how long it had been in
/// the log when it was read.
pub(crate) fn encode(entry: &Entry, now: Instant, age_us: u64) -> WindowFrame {
    let frame = Frame {
        retry: None,
        id: Some(entry.cursor),
        event: entry.event_type.as_str(),
        data: &entry.envelope,
    };
    let origin = FrameOrigin {
        cursor: entry.cursor,
        address: entry.address.clone(),
        origins: entry.origins.clone(),
        tailed_at: now,
        age_at_tail_us: age_us,
    };
    WindowFrame::new(origin, &frame.encode())
}
