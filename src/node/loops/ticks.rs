//! The time of a loop, in ticks. Deadlines of streams are numbers of ticks, so a stream needs no timer. Read [`Ticks`]
//! first.

use std::time::Duration;

use tokio::time::Instant;

use crate::node::limits::READER_TIME;

/// A loop looks at each of its streams once in this many ticks.
pub(super) const SWEEP_TICKS: usize = 4;
/// The longest tick, and so the precision of deadlines: [`SWEEP_TICKS`] times this.
const LONGEST: Duration = Duration::from_millis(250);
const SHORTEST: Duration = Duration::from_millis(5);

/// The clock of a loop, and its intervals in ticks.
#[derive(Debug)]
pub(super) struct Ticks {
    begun: Instant,
    period: Duration,
    /// Ticks since the loop began.
    pub(super) now: u32,
    /// Time without events after which a stream gets a heartbeat.
    pub(super) heartbeat: u32,
    /// Time without events after which a stream is told its position.
    pub(super) cursor: u32,
    /// Longest time in which a socket takes no byte.
    pub(super) stall: u32,
    /// The time over which the speed of a reader is judged.
    pub(super) reader: u32,
}

impl Ticks {
    pub(super) fn new(begun: Instant, heartbeat: Duration, cursor: Duration, stall: Duration) -> Self {
        let shortest = heartbeat.min(cursor).min(stall);
        let period = (shortest / 32).clamp(SHORTEST, LONGEST);
        let ticks = |time: Duration| {
            u32::try_from(time.as_millis().div_ceil(period.as_millis())).unwrap_or(u32::MAX / 2)
        };
        Self {
            begun,
            period,
            now: 0,
            heartbeat: ticks(heartbeat),
            cursor: ticks(cursor),
            stall: ticks(stall),
            reader: ticks(READER_TIME),
        }
    }

    /// Moves on to `now`; returns whether a tick has passed.
    pub(super) fn advance(&mut self, now: Instant) -> bool {
        let passed = (now - self.begun).as_millis() / self.period.as_millis();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        std::mem::replace(&mut self.now, passed) != passed
    }

    /// When the next tick begins.
    pub(super) fn next(&self) -> Instant {
        self.begun + self.period * (self.now + 1)
    }
}
