//! A loop as its thread and the tail share it. Read [`SharedLoop::advance`] first.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::event_loop::EventLoop;
use super::handle::LoopHandle;
use crate::net::Poll;

/// A loop, which its thread has while it works, and the tail for a moment while the thread waits. Clones share it.
#[derive(Clone)]
pub(crate) struct SharedLoop {
    handle: Arc<LoopHandle>,
    poll: Arc<Poll>,
    event_loop: Arc<Mutex<EventLoop>>,
}

impl SharedLoop {
    pub(crate) fn new(event_loop: EventLoop) -> Self {
        let (handle, poll) = (Arc::clone(&event_loop.handle), Arc::clone(&event_loop.poll));
        Self { handle, poll, event_loop: Arc::new(Mutex::new(event_loop)) }
    }

    /// Whoever panics with the loop ends the process; until then the other may go on.
    fn lock(&self) -> MutexGuard<'_, EventLoop> {
        self.event_loop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the streams until the loop is told to stop. For a thread of its own.
    pub(crate) fn run(&self) {
        while self.turn(Duration::MAX) {}
    }

    /// One turn: waits for something to do, at most this long, then does a bounded part of each kind of work. Returns
    /// whether the loop goes on.
    pub(crate) fn turn(&self, longest: Duration) -> bool {
        let (limit, mut ready) = {
            let mut event_loop = self.lock();
            (event_loop.rest(longest), std::mem::take(&mut event_loop.ready))
        };
        let waited = self.poll.wait(limit, &mut ready);
        waited.expect("an epoll instance waits, whatever happens to its sockets");
        let mut event_loop = self.lock();
        event_loop.ready = ready;
        event_loop.work()
    }

    /// The window has new slots. If few streams get them, the caller writes to them: that costs less than to wake the
    /// thread, and is sooner. A loop without streams sleeps on: its first one has a feed, and the loop then begins at the
    /// end of the window.
    pub(crate) fn advance(&self) {
        if self.handle.streams.load(Ordering::SeqCst) == 0 {
            return;
        }
        // A thread that has the lock looks once more before it waits, or is woken.
        let is_done = self.event_loop.try_lock().is_ok_and(|mut event_loop| event_loop.work_in_place());
        if !is_done {
            self.handle.inbox.wake();
        }
    }

    /// Whether there is something to do now.
    #[cfg(any(test, feature = "counts"))]
    pub(crate) fn is_busy(&self) -> bool {
        self.lock().is_busy()
    }

    /// Lets the thread wait, then something happen, then [`Self::advance`]. Returns whether that wakes the thread.
    #[cfg(test)]
    pub(crate) fn is_woken_after(&self, happen: impl FnOnce()) -> bool {
        assert_ne!(self.lock().rest(Duration::MAX), Some(Duration::ZERO), "there is nothing to do");
        happen();
        self.advance();
        let mut ready = Vec::new();
        self.poll.wait(Some(Duration::ZERO), &mut ready).unwrap();
        ready.iter().any(|ready| ready.key == crate::net::Key::NONE)
    }
}
