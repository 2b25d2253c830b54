//! Wakes sleeping readers: only those that a slot concerns, each with the ordinal to continue from. Read [`Wake`]
//! first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::slots::Slot;
use crate::protocol::{Address, Cursor};

/// The wake-up of one reader, and the slot that it was woken for.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    pending: Mutex<Option<Pending>>,
    notify: Notify,
}

/// The first slot that concerns a reader since it fell asleep, and the position before that slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) ordinal: u64,
    pub(super) before: Cursor,
}

impl Wake {
    /// Wakes the reader for a reason outside the window.
    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }

    /// Waits until the reader is woken. Cancel-safe: an unused permit stays.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }

    fn offer(&self, pending: Pending) {
        lock(&self.pending).get_or_insert(pending);
        self.notify.notify_one();
    }

    pub(super) fn take(&self) -> Option<Pending> {
        lock(&self.pending).take()
    }
}

#[derive(Debug, Default)]
pub(super) struct Readers {
    next_id: u64,
    all: HashMap<u64, Arc<Wake>>,
    by_address: HashMap<Address, HashMap<u64, Arc<Wake>>>,
}

impl Readers {
    pub(super) fn add(&mut self, addresses: &[Address], wake: &Arc<Wake>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.all.insert(id, Arc::clone(wake));
        for address in addresses {
            self.by_address.entry(address.clone()).or_default().insert(id, Arc::clone(wake));
        }
        id
    }

    pub(super) fn remove(&mut self, id: u64, addresses: &[Address]) {
        self.all.remove(&id);
        for address in addresses {
            let Some(readers) = self.by_address.get_mut(address) else { continue };
            readers.remove(&id);
            if readers.is_empty() {
                self.by_address.remove(address);
            }
        }
    }

    pub(super) fn wake(&self, slot: &Slot, pending: Pending) {
        let concerned = match slot {
            Slot::Frame(frame) if frame.address != Address::All => self.by_address.get(&frame.address),
            Slot::Frame(_) | Slot::Gap(_) | Slot::Sync(_) => Some(&self.all),
        };
        for wake in concerned.into_iter().flat_map(HashMap::values) {
            wake.offer(pending);
        }
    }
}

// A lock is poisoned only if a holder panicked between two statements that cannot panic. `runtime::Tasks` then logs
// the panic and ends the process, so readers may finish with the present value.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
