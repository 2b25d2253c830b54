//! The window: its slots, its readers, and the order in which the two are accessed. Read [`Window::publish`] and
//! [`Window::attach`] first: a frame would be lost if either did its steps in another order.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::frame::WindowFrame;
use super::reader::Reader;
use super::slots::{Slot, Slots, WindowLimits};
use super::wake::{Pending, Readers, Wake, lock};
use crate::protocol::{Address, Cursor};

/// The newest part of the log in memory. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    slots: RwLock<Slots>,
    // A separate lock, so that waking ten thousand readers does not block reads. Must never be held together with the
    // lock of the slots.
    pub(super) readers: Mutex<Readers>,
    /// Slots before this ordinal have been published *and* their readers woken. Between the two steps a sleeping
    /// reader must not conclude that a new slot concerns other readers.
    pub(super) settled: Mutex<Pending>,
    limits: WindowLimits,
}

/// The size of a window, for metrics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowSize {
    /// Number of slots.
    pub(crate) frames: u64,
    /// Bytes of all frames.
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

    /// Adds slots at the end, in log order, and wakes the readers that they concern. Only the tail may call it.
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

    /// Adds a reader of these addresses and of [`Address::All`]. It starts at the end of the window.
    pub(crate) fn attach(&self, addresses: Vec<Address>) -> Reader {
        let wake = Arc::new(Wake::default());
        // First the list of readers, then the position: a frame that is published in between is before the position or
        // wakes the reader. The other order would lose that frame.
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

    /// Frames and bytes that the window holds now.
    pub(crate) fn size(&self) -> WindowSize {
        let inner = self.read();
        WindowSize { frames: inner.slots.len() as u64, bytes: inner.bytes as u64 }
    }

    /// The frame at this position, if it is in the window.
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
