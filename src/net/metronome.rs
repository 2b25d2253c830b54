//! A source of readiness at even times: among the sockets of a loop it waits for its turn as they do, and so tells how late
//! they are served. Read [`Metronome::new`] first.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// Becomes ready again and again, as long as each beat is taken.
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

    /// Takes the beats since the last call, and returns how many there were. Linux starts the timer again only then.
    pub(crate) fn take(&self) -> u64 {
        let mut beats = [0; 8];
        match rustix::io::read(&self.0, &mut beats) {
            Ok(_) => u64::from_ne_bytes(beats),
            // It has not beaten since.
            Err(_) => 0,
        }
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
    fn each_beat_that_is_taken_is_followed_by_another() {
        let (poll, metronome) = (Poll::new().unwrap(), Metronome::new(Duration::from_millis(1)).unwrap());
        poll.add(&metronome, Key::BEAT).unwrap();
        for _ in 0..3 {
            let mut ready = Vec::new();
            poll.wait(Some(Duration::from_secs(60)), &mut ready).unwrap();
            assert!(ready.iter().map(|ready| (ready.key, ready.readable)).eq([(Key::BEAT, true)]));
            assert!(metronome.take() > 0);
        }
    }
}
