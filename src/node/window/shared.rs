//! The window: its slots, and how the tail, the loops and the readers share them. Read [`Window::publish`] first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::frame::WindowFrame;
use super::reader::Reader;
use super::slots::{Place, Slot, Slots, WindowLimits};
use crate::protocol::{Address, Cursor};

/// The newest part of the log in memory. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    slots: RwLock<Slots>,
    /// Ordinal after the last slot, for those that only look whether there is something new.
    end: AtomicU64,
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
        let slots = RwLock::new(Slots::new(tip));
        Self { shared: Arc::new(Shared { slots, end: AtomicU64::new(0), limits }) }
    }

    // A lock is poisoned only if a holder panicked between two statements that cannot panic. `runtime::Tasks` then logs
    // the panic and ends the process, so readers may finish with the present value.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Slots> {
        self.shared.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds slots at the end, in log order. Only the tail may call it, and must wake the loops then.
    pub(crate) fn publish(&self, slots: Vec<Slot>) {
        let mut inner = self.shared.slots.write().unwrap_or_else(PoisonError::into_inner);
        for slot in slots {
            inner.push(slot);
        }
        inner.trim(self.shared.limits);
        self.shared.end.store(inner.end(), Ordering::SeqCst);
    }

    /// Ordinal after the last slot.
    pub(crate) fn end(&self) -> u64 {
        self.shared.end.load(Ordering::SeqCst)
    }

    /// The end of the window.
    pub(crate) fn place(&self) -> Place {
        let inner = self.read();
        Place { ordinal: inner.end(), cursor: inner.tip }
    }

    /// A reader of these addresses and of [`Address::All`] at a place, which may have left the window.
    pub(crate) fn reader(&self, addresses: Vec<Address>, at: Place) -> Reader {
        Reader::new(self.clone(), addresses, at)
    }

    /// Takes the slots from an ordinal on, about `bytes` of them. `false` if the first has left the window.
    pub(crate) fn slots(&self, from: u64, bytes: usize, into: &mut Vec<Slot>) -> bool {
        let inner = self.read();
        let mut taken = 0;
        for ordinal in from..inner.end() {
            if ordinal < inner.first || taken >= bytes {
                break;
            }
            let slot = inner.slot(ordinal).clone();
            taken += slot.bytes();
            into.push(slot);
        }
        from >= inner.first
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
