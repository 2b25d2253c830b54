//! A source of readiness at even times: among the sockets of a loop it waits for its turn as they do, and so tells how late
//! they are served. Read [`Metronome::new`] first.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// Becomes ready again and again. Nobody reads it: by edges, each beat is told.
#[derive(Debug)]
pub(crate) struct Metronome(OwnedFd);

impl Metronome {
    /// Beats in these intervals from now on.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub(crate) fn new(interval: Duration) -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let interval = Timespec {
            tv_sec: i64::try_from(interval.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: interval.subsec_nanos().into(),
        };
        let beats = Itimerspec { it_interval: interval, it_value: interval };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &beats)?;
        Ok(Self(timer))
    }
}

impl AsFd for Metronome {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Key, Poll};

    #[test]
    fn every_beat_is_told_and_nobody_reads_it() {
        let (poll, metronome) = (Poll::new().unwrap(), Metronome::new(Duration::from_millis(1)).unwrap());
        poll.add(&metronome, Key::BEAT).unwrap();
        let mut ready = Vec::new();
        while ready.len() < 3 {
            poll.wait(None, &mut ready).unwrap();
        }
        assert!(ready.iter().all(|ready| ready.key == Key::BEAT && ready.readable));
    }
}
