//! What time it is, in milliseconds since 1970: the only place of the embedded log that reads a clock. Read
//! [`Clock::now_ms`] first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::runtime::clock::{millis, unix_ms};

/// A clock that was set by more than this is told.
const TOLD: Duration = Duration::from_secs(60);

/// Where a log gets its time from. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    source: Source,
    last: Arc<Mutex<Last>>,
}

#[derive(Debug, Clone)]
enum Source {
    /// The system's clock, which may be set at any time, and one that only goes on.
    System(Instant),
    /// Set by a test.
    #[cfg(test)]
    Manual { wall: Arc<std::sync::atomic::AtomicU64>, steady: Arc<std::sync::atomic::AtomicU64> },
}

/// The last time that the clock told, or that was known, and what the steady clock said then.
#[derive(Debug, Clone, Copy)]
struct Last {
    ms: u64,
    steady_ms: u64,
    /// The steady clock has run since; it does not while the process is not there.
    is_own: bool,
    is_behind_told: bool,
}

impl Clock {
    pub(super) fn system() -> Self {
        Self::new(Source::System(Instant::now()))
    }

    #[cfg(test)]
    pub(super) fn manual(
        wall: Arc<std::sync::atomic::AtomicU64>,
        steady: Arc<std::sync::atomic::AtomicU64>,
    ) -> Self {
        Self::new(Source::Manual { wall, steady })
    }

    fn new(source: Source) -> Self {
        let last = Last { ms: 0, steady_ms: 0, is_own: false, is_behind_told: false };
        Self { source, last: Arc::new(Mutex::new(last)) }
    }

    /// Goes on from the newest position of a log.
    pub(super) fn begin_at(&self, ms: u64) {
        let (_, steady_ms) = self.read();
        *self.last() = Last { ms, steady_ms, is_own: false, is_behind_told: false };
    }

    /// Milliseconds since 1970 by the system's clock, which is 0 before that. While the clock stands behind a time that
    /// it told, time goes on from there at half the speed: things age, at most half as fast, and the clock catches up.
    pub(super) fn now_ms(&self) -> u64 {
        let (wall, steady_ms) = self.read();
        let mut last = self.last();
        let passed = steady_ms.saturating_sub(last.steady_ms);
        let slow = last.ms.saturating_add(passed / 2);
        if wall < slow {
            return slow;
        }
        let ahead = Duration::from_millis(wall.saturating_sub(last.ms.saturating_add(passed)));
        if last.is_own && ahead > TOLD {
            tracing::warn!(?ahead, "the clock was set ahead: what the log keeps is so much older at once");
        }
        *last = Last { ms: wall, steady_ms, is_own: true, is_behind_told: false };
        wall
    }

    /// How far the time of the log is ahead of the clock. Said in the log once for each time that the clock is set back.
    pub(super) fn ahead(&self) -> Duration {
        let now = self.now_ms();
        let (wall, _) = self.read();
        let ahead = Duration::from_millis(now.saturating_sub(wall));
        if ahead > TOLD && !std::mem::replace(&mut self.last().is_behind_told, true) {
            tracing::warn!(
                ?ahead,
                "the clock is behind the log: until it has caught up, events, ids and mail age at half the speed"
            );
        }
        ahead
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The system's clock, and the steady one.
    fn read(&self) -> (u64, u64) {
        match &self.source {
            Source::System(begin) => (unix_ms(), millis(begin.elapsed())),
            #[cfg(test)]
            Source::Manual { wall, steady } => {
                use std::sync::atomic::Ordering::SeqCst;
                (wall.load(SeqCst), steady.load(SeqCst))
            }
        }
    }
}
