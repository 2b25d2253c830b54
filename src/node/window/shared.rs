//! The window itself: the slots, the readers, and the order in which the two are touched. Read [`Window::publish`] and
//! [`Window::attach`] first: a frame is lost if either does its steps the other way round.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::frame::WindowFrame;
use super::reader::Reader;
use super::slots::{Slot, Slots, WindowLimits};
use super::wake::{Pending, Readers, Wake, lock};
use crate::protocol::{Address, Cursor};

/// The newest part of the log. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    slots: RwLock<Slots>,
    // A lock of its own: waking ten thousand readers must not keep others from reading. Never held together with
    // the lock of the slots.
    pub(super) readers: Mutex<Readers>,
    /// Everything before this ordinal has been published *and* its readers woken. Between the two a sleeping reader
    /// must not conclude from its silence that a new slot concerns others.
    pub(super) settled: Mutex<Pending>,
    limits: WindowLimits,
}

/// What a window holds, for metrics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowSize {
    /// Slots.
    pub(crate) frames: u64,
    /// Bytes.
    pub(crate) bytes: u64,
}

impl Window {
    /// An empty window of a log whose newest position is `tip`.
    pub(crate) fn new(limits: WindowLimits, tip: Cursor) -> Self {
        let shared = Shared {
            slots: RwLock::new(Slots::new(tip)),
            readers: Mutex::new(Readers::default()),
            settled: Mutex::new(Pending { ordinal: 0, before: tip }),
            limits,
        };
        Self { shared: Arc::new(shared) }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Slots> {
        self.shared.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Slots> {
        self.shared.slots.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds slots at the end and wakes those whom they concern. Only the tail calls it; order is the log's.
    pub(crate) fn publish(&self, slots: Vec<Slot>) {
        let mut added = Vec::with_capacity(slots.len());
        let settled = {
            let mut inner = self.write();
            for slot in slots {
                let before = inner.tip;
                let ordinal = inner.push(slot.clone());
                added.push((slot, Pending { ordinal, before }));
            }
            inner.trim(self.shared.limits);
            Pending { ordinal: inner.end(), before: inner.tip }
        };
        let readers = lock(&self.shared.readers);
        for (slot, pending) in added {
            readers.wake(&slot, pending);
        }
        drop(readers);
        *lock(&self.shared.settled) = settled;
    }

    /// Adds a reader for these addresses (and for everyone's). It starts at the end of the window.
    pub(crate) fn attach(&self, addresses: Vec<Address>) -> Reader {
        let wake = Arc::new(Wake::default());
        // First to the list of readers, then to its place: what is published in between is either before the place
        // or wakes the reader; the other order would lose a frame.
        let id = lock(&self.shared.readers).add(&addresses, &wake);
        let inner = self.read();
        let (ordinal, cursor) = (inner.end(), inner.tip);
        drop(inner);
        Reader { window: self.clone(), id, wake, addresses, ordinal, cursor, had: Vec::new(), idle: true }
    }

    /// Newest position in the window.
    pub(crate) fn tip(&self) -> Cursor {
        self.read().tip
    }

    /// What the window holds.
    pub(crate) fn size(&self) -> WindowSize {
        let inner = self.read();
        WindowSize { frames: inner.slots.len() as u64, bytes: inner.bytes as u64 }
    }

    /// The frame at this position, if it is here.
    pub(crate) fn find(&self, cursor: Cursor) -> Option<Arc<WindowFrame>> {
        let inner = self.read();
        let behind = inner.after(cursor)?;
        if behind <= inner.first {
            return None;
        }
        match inner.slot(behind - 1) {
            Slot::Frame(frame) if frame.cursor == cursor => Some(Arc::clone(frame)),
            Slot::Frame(_) | Slot::Gap(_) | Slot::Sync(_) => None,
        }
    }
}
