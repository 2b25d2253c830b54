//! Readiness of sockets, by edges: each socket is registered once, for both directions. Whoever is told that a socket
//! is ready must read or write until it would block. Read [`Poll::wait`] first.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use super::slab::Key;

/// Events that one call takes from the kernel at most; the others come with the next call.
const EVENTS: usize = 256;

/// An instance of epoll.
#[derive(Debug)]
pub(crate) struct Poll {
    epoll: OwnedFd,
}

/// What a socket is ready for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    /// The key that the socket was registered with.
    pub(crate) key: Key,
    /// Bytes or the end of the peer's bytes can be read, or the socket has failed.
    pub(crate) readable: bool,
    /// The socket takes bytes again.
    pub(crate) writable: bool,
    /// The peer sends nothing more, or the socket has failed. Without it, a read that did not fill its buffer has read
    /// all there was.
    pub(crate) ends: bool,
}

impl Poll {
    /// # Errors
    /// The process has no file descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Registers a socket until it is closed.
    ///
    /// # Errors
    /// The system has no room for another one.
    pub(crate) fn add(&self, source: impl AsFd, key: Key) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(key.bits()), flags)?)
    }

    /// Waits until a socket is ready, at most this long; without a limit if `longest` is `None`. A signal ends the
    /// wait early.
    ///
    /// # Errors
    /// The instance itself is broken.
    pub(crate) fn wait(&self, longest: Option<Duration>, into: &mut Vec<Ready>) -> io::Result<()> {
        let limit = longest.map(|limit| Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        let mut events = [const { MaybeUninit::uninit() }; EVENTS];
        let ready = match epoll::wait(&self.epoll, &mut events[..], limit.as_ref()) {
            Ok((ready, _)) => ready,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        into.extend(ready.iter().map(|event| {
            let (flags, data) = (event.flags, event.data);
            let ends = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
            Ready {
                key: Key::from_bits(data.u64()),
                readable: flags.intersects(EventFlags::IN | ends),
                writable: flags.contains(EventFlags::OUT),
                ends: flags.intersects(ends),
            }
        }));
        Ok(())
    }
}
