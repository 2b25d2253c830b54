//! Messages from other threads to a loop. A loop that is at work is not woken: it looks again before it sleeps.
//! Whoever sends must limit how many messages can be under way. Read [`Inbox::sleeps`] first.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

/// Messages, and the waker that wakes the loop.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    messages: Mutex<VecDeque<T>>,
    asleep: AtomicBool,
    waker: OwnedFd,
}

impl<T> Inbox<T> {
    /// # Errors
    /// The process has no file descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        let waker = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { messages: Mutex::default(), asleep: AtomicBool::new(false), waker })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<T>> {
        // A holder only moves messages in and out, so a panic leaves them whole.
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message, and wakes the loop if it sleeps.
    pub(crate) fn send(&self, message: T) {
        self.lock().push_back(message);
        self.wake();
    }

    /// Wakes the loop if it sleeps: there is something new for it outside the inbox.
    pub(crate) fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Err(error) = rustix::io::write(&self.waker, &1_u64.to_ne_bytes())
        {
            // Only a counter that is full refuses, and then the waker has rung.
            tracing::debug!(%error, "a loop was woken often and has not looked");
        }
    }

    /// The oldest message.
    pub(crate) fn take(&self) -> Option<T> {
        self.lock().pop_front()
    }

    /// Whether a message waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Says that the loop is about to sleep, or that it is awake. After saying that it sleeps it must look once more for
    /// what may have come before.
    pub(crate) fn sleeps(&self, asleep: bool) {
        self.asleep.store(asleep, Ordering::SeqCst);
    }
}

impl<T> AsFd for Inbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Key, Poll};
    use std::time::Duration;

    #[test]
    fn a_message_wakes_who_said_that_it_sleeps_and_nobody_else() {
        let inbox = Inbox::new().unwrap();
        let poll = Poll::new().unwrap();
        poll.add(&inbox, Key::NONE).unwrap();
        let rung = || {
            let mut ready = Vec::new();
            poll.wait(Some(Duration::ZERO), &mut ready).unwrap();
            ready.iter().filter(|ready| ready.readable).map(|ready| ready.key).collect::<Vec<_>>()
        };
        inbox.send(1);
        assert_eq!(rung(), []);
        for message in 2..4 {
            inbox.sleeps(true);
            inbox.send(message);
            assert_eq!(rung(), [Key::NONE]);
        }
        assert_eq!(std::iter::from_fn(|| inbox.take()).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
