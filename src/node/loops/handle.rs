//! Handles of the loops: how the rest of the node reaches a stream. Read [`LoopHandle`] first.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::log_request::{Delivery, Failure};
use super::stream::Arrival;
use crate::net::{Inbox, Key};
use crate::node::feed::Feed;
use crate::protocol::Cursor;

/// What a loop is told. No more can be under way than a few for each stream.
#[derive(Debug)]
pub(crate) enum Message {
    /// A stream comes.
    Arrival(Box<Arrival>),
    /// Somebody has ordered this stream to close.
    Order(Key),
    /// The log was asked for a stream, and has answered, or not.
    Answer(Key, Box<Feed>, Result<Delivery, Failure>),
    /// The process ends.
    Stop,
}

/// What the rest of the node holds of one loop.
#[derive(Debug)]
pub(crate) struct LoopHandle {
    pub(super) inbox: Inbox<Message>,
    /// Streams of the loop, those on their way to it included.
    pub(super) streams: AtomicUsize,
    /// The position of the loop, and of its level streams.
    position: Mutex<Cursor>,
}

impl LoopHandle {
    /// The handle of a loop that begins at a position.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub(crate) fn new(position: Cursor) -> io::Result<Self> {
        Ok(Self { inbox: Inbox::new()?, streams: AtomicUsize::new(0), position: Mutex::new(position) })
    }

    /// Tells the loop something.
    pub(crate) fn send(&self, message: Message) {
        self.inbox.send(message);
    }

    /// The position up to which the level streams of the loop have everything.
    pub(crate) fn position(&self) -> Cursor {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_position(&self, position: Cursor) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }
}

/// The handles of all loops of a node. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Loops {
    handles: Arc<[Arc<LoopHandle>]>,
}

impl Loops {
    /// The handles of `count` loops that begin at a position.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub(crate) fn new(count: usize, position: Cursor) -> io::Result<Self> {
        let handles: io::Result<Vec<_>> =
            (0..count).map(|_| LoopHandle::new(position).map(Arc::new)).collect();
        Ok(Self { handles: handles?.into() })
    }

    /// The handles, one for each loop.
    pub(crate) fn handles(&self) -> &[Arc<LoopHandle>] {
        &self.handles
    }

    /// The loop that has the fewest streams.
    pub(crate) fn emptiest(&self) -> Arc<LoopHandle> {
        let fewest = self.handles.iter().min_by_key(|handle| handle.streams.load(Ordering::Relaxed));
        Arc::clone(fewest.expect("a node has at least one loop"))
    }
}
