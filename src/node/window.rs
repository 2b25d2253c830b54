//! The newest part of the log in memory, encoded. One writer (the tail), many readers (the feeds). A reader owns no
//! queue: it holds a place in the window and takes from there what is addressed to it.
//!
//! Slots are numbered by an *ordinal* that only grows. An index lists the ordinals of every address, so a reader
//! finds its next frame without looking at those of others, and the writer wakes only those whom a frame concerns.
//! Must never await and never do I/O. Read [`Window`] first, then [`Reader`].

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::broker::Missing;
use crate::protocol::{Address, Cursor};

/// How much the window holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowLimits {
    /// Slots.
    pub(crate) frames: usize,
    /// Bytes of frames.
    pub(crate) bytes: usize,
}

/// One event, encoded once for all connections, with an HTTP/1.1 chunk around it so that most connections can be
/// sent the very same bytes.
#[derive(Debug)]
pub(crate) struct WindowFrame {
    /// Position in the log.
    pub(crate) cursor: Cursor,
    /// Whom it is for.
    pub(crate) address: Address,
    wire: Bytes,
    chunk_head: usize,
    /// When the tail read it.
    pub(crate) tailed_at: Instant,
    /// How long it had been in the log by then, microseconds.
    pub(crate) age_at_tail_us: u64,
    /// Connections that it was written to.
    pub(crate) written: AtomicU64,
    /// Connections that confirmed it.
    pub(crate) confirmed: AtomicU64,
}

/// What the tail knows of an event when it puts it into the window.
#[derive(Debug)]
pub(crate) struct FrameOrigin {
    /// Position in the log.
    pub(crate) cursor: Cursor,
    /// Whom it is for.
    pub(crate) address: Address,
    /// When the tail read it.
    pub(crate) tailed_at: Instant,
    /// How long it had been in the log by then, microseconds.
    pub(crate) age_at_tail_us: u64,
}

/// Wraps bytes in an HTTP/1.1 chunk (RFC 9112, 7.1). Returns the length of the head in front of the bytes too.
pub(crate) fn chunked(body: &[u8]) -> (Bytes, usize) {
    let head = format!("{:x}\r\n", body.len());
    let mut wire = BytesMut::with_capacity(head.len() + body.len() + 2);
    wire.extend_from_slice(head.as_bytes());
    wire.extend_from_slice(body);
    wire.extend_from_slice(b"\r\n");
    (wire.freeze(), head.len())
}

impl WindowFrame {
    /// A frame around encoded bytes.
    pub(crate) fn new(origin: FrameOrigin, encoded: &[u8]) -> Self {
        let (wire, chunk_head) = chunked(encoded);
        let FrameOrigin { cursor, address, tailed_at, age_at_tail_us } = origin;
        Self {
            cursor,
            address,
            wire,
            chunk_head,
            tailed_at,
            age_at_tail_us,
            written: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
        }
    }

    /// The bytes as one HTTP/1.1 chunk.
    pub(crate) fn chunk(&self) -> &[u8] {
        &self.wire
    }

    /// The bytes alone.
    pub(crate) fn body(&self) -> &[u8] {
        &self.wire[self.chunk_head..self.wire.len() - 2]
    }
}

/// A place in the window: an event, or a hole in the log that the tail had to jump over.
#[derive(Debug, Clone)]
pub(crate) enum Slot {
    /// An event.
    Frame(Arc<WindowFrame>),
    /// Events are missing here, for every reader.
    Gap(Missing),
}

impl Slot {
    fn cursor(&self) -> Cursor {
        match self {
            Self::Frame(frame) => frame.cursor,
            Self::Gap(missing) => missing.resumed_after,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.wire.len(),
            Self::Gap(_) => 0,
        }
    }
}

/// The newest part of the log. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    slots: RwLock<Slots>,
    // A lock of its own: waking ten thousand readers must not keep others from reading. Never held together with
    // the lock of the slots.
    readers: Mutex<Readers>,
    /// Everything before this ordinal has been published *and* its readers woken. Between the two a sleeping reader
    /// must not conclude from its silence that a new slot concerns others.
    settled: Mutex<Pending>,
    limits: WindowLimits,
}

#[derive(Debug)]
struct Slots {
    /// Ordinal of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
    bytes: usize,
    by_address: HashMap<Address, VecDeque<u64>>,
    gaps: VecDeque<u64>,
    /// Everything after this cursor is here.
    start: Cursor,
    /// Newest position here.
    tip: Cursor,
}

#[derive(Debug, Default)]
struct Readers {
    next_id: u64,
    all: HashMap<u64, Arc<Wake>>,
    by_address: HashMap<Address, HashMap<u64, Arc<Wake>>>,
}

/// How a reader that sleeps is told that there is something.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    pending: Mutex<Option<Pending>>,
    notify: Notify,
}

/// The first slot for this reader since it fell asleep; nothing before it concerns the reader.
#[derive(Debug, Clone, Copy)]
struct Pending {
    ordinal: u64,
    before: Cursor,
}

impl Wake {
    /// Wakes the reader for a reason outside the window.
    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }

    /// Waits for a reason to look. Cancel-safe: an unused permit stays.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }

    fn offer(&self, pending: Pending) {
        lock(&self.pending).get_or_insert(pending);
        self.notify.notify_one();
    }

    fn take(&self) -> Option<Pending> {
        lock(&self.pending).take()
    }
}

// A poisoned lock means that a holder panicked between two statements that cannot panic; the process is ending
// anyway, and loudly (`runtime::Tasks`), so readers may finish with what is there.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        let slots = Slots {
            first: 0,
            slots: VecDeque::new(),
            bytes: 0,
            by_address: HashMap::new(),
            gaps: VecDeque::new(),
            start: tip,
            tip,
        };
        let shared = Shared {
            slots: RwLock::new(slots),
            readers: Mutex::new(Readers::default()),
            settled: Mutex::new(Pending { ordinal: 0, before: tip }),
            limits,
        };
        Self { shared: Arc::new(shared) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Slots> {
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
        Reader { window: self.clone(), id, wake, addresses, ordinal, cursor, idle: true }
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
        let index = inner.slots.binary_search_by_key(&cursor.position, |slot| slot.cursor().position).ok()?;
        match &inner.slots[index] {
            Slot::Frame(frame) if frame.cursor == cursor => Some(Arc::clone(frame)),
            Slot::Frame(_) | Slot::Gap(_) => None,
        }
    }
}

impl Slots {
    /// Ordinal after the last slot.
    fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn slot(&self, ordinal: u64) -> &Slot {
        let index =
            usize::try_from(ordinal - self.first).expect("a window is smaller than the address space");
        &self.slots[index]
    }

    fn push(&mut self, slot: Slot) -> u64 {
        let ordinal = self.end();
        match &slot {
            Slot::Frame(frame) => {
                self.by_address.entry(frame.address.clone()).or_default().push_back(ordinal);
            }
            Slot::Gap(_) => self.gaps.push_back(ordinal),
        }
        self.bytes += slot.bytes();
        self.tip = slot.cursor();
        self.slots.push_back(slot);
        ordinal
    }

    fn trim(&mut self, limits: WindowLimits) {
        while self.slots.len() > limits.frames || self.bytes > limits.bytes {
            let Some(slot) = self.slots.pop_front() else { return };
            self.first += 1;
            self.bytes -= slot.bytes();
            self.start = slot.cursor();
            match &slot {
                Slot::Frame(frame) => self.forget(&frame.address),
                Slot::Gap(_) => {
                    self.gaps.pop_front();
                }
            }
        }
    }

    /// The oldest ordinal of this address has left the window.
    fn forget(&mut self, address: &Address) {
        let Some(ordinals) = self.by_address.get_mut(address) else { return };
        ordinals.pop_front();
        if ordinals.is_empty() {
            // Addresses come and go with users; an entry for each of them for ever would be a leak.
            self.by_address.remove(address);
        }
    }

    /// The next slot from `ordinal` on that concerns a reader of these addresses.
    fn next_for(&self, addresses: &[Address], ordinal: u64) -> Option<u64> {
        let first_from = |ordinals: &VecDeque<u64>| {
            let index = ordinals.partition_point(|known| *known < ordinal);
            ordinals.get(index).copied()
        };
        let addressed = addresses.iter().filter_map(|address| first_from(self.by_address.get(address)?));
        let to_all = self.by_address.get(&Address::All).and_then(first_from);
        addressed.chain(to_all).chain(first_from(&self.gaps)).min()
    }

    /// The ordinal behind this cursor, if everything after the cursor is here.
    fn after(&self, cursor: Cursor) -> Option<u64> {
        if cursor == self.tip {
            return Some(self.end());
        }
        if cursor == self.start {
            return Some(self.first);
        }
        // A jump of the tail may change the epoch within the window; positions are ordered within one epoch only.
        let same_epoch = |slot: &Slot| slot.cursor().epoch == cursor.epoch;
        if !(self.slots.front().is_some_and(same_epoch) && self.slots.back().is_some_and(same_epoch)) {
            return None;
        }
        let found = self.slots.binary_search_by_key(&cursor.position, |slot| slot.cursor().position);
        found.ok().map(|index| self.first + index as u64 + 1)
    }
}

impl Readers {
    fn add(&mut self, addresses: &[Address], wake: &Arc<Wake>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.all.insert(id, Arc::clone(wake));
        for address in addresses {
            self.by_address.entry(address.clone()).or_default().insert(id, Arc::clone(wake));
        }
        id
    }

    fn remove(&mut self, id: u64, addresses: &[Address]) {
        self.all.remove(&id);
        for address in addresses {
            let Some(readers) = self.by_address.get_mut(address) else { continue };
            readers.remove(&id);
            if readers.is_empty() {
                self.by_address.remove(address);
            }
        }
    }

    fn wake(&self, slot: &Slot, pending: Pending) {
        let concerned = match slot {
            Slot::Frame(frame) if frame.address != Address::All => self.by_address.get(&frame.address),
            Slot::Frame(_) | Slot::Gap(_) => Some(&self.all),
        };
        for wake in concerned.into_iter().flat_map(HashMap::values) {
            wake.offer(pending);
        }
    }
}

/// A place in the window, and the addresses that it reads for.
#[derive(Debug)]
pub(crate) struct Reader {
    window: Window,
    id: u64,
    wake: Arc<Wake>,
    addresses: Vec<Address>,
    /// Everything before this ordinal has been looked at.
    ordinal: u64,
    /// The log's position up to which everything has been looked at.
    cursor: Cursor,
    /// Nothing for this reader stood between its ordinal and the end of the window when it last looked.
    idle: bool,
}

/// What a reader finds.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Frames for this reader, in log order.
    Frames(Vec<Arc<WindowFrame>>),
    /// The log has a hole here.
    Gap(Missing),
    /// Nothing more for now.
    Idle,
    /// What comes next has left the window: read the log after [`Reader::cursor`].
    Behind,
}

impl Reader {
    /// Up to where everything has been looked at. A client that resumes here misses nothing and sees nothing twice.
    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// How the reader is woken.
    pub(crate) fn wake_handle(&self) -> Arc<Wake> {
        Arc::clone(&self.wake)
    }

    /// What it reads for.
    pub(crate) fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Slots between this reader and the end of the window.
    pub(crate) fn lag(&self) -> u64 {
        if self.idle { 0 } else { self.window.read().end().saturating_sub(self.ordinal) }
    }

    /// Goes to the place behind a cursor. Returns whether everything after it is in the window; if not, the reader
    /// stays where it is. Only the log can tell whether a cursor that is not in the window is sound.
    pub(crate) fn seek(&mut self, cursor: Cursor) -> bool {
        let ordinal = self.window.read().after(cursor);
        self.go(ordinal, cursor)
    }

    /// As [`Reader::seek`], for a cursor that the log itself has just given: it may also be ahead of the tail, and
    /// what the tail then publishes up to it is skipped.
    pub(crate) fn join(&mut self, cursor: Cursor) -> bool {
        let ordinal = {
            let inner = self.window.read();
            let ahead = cursor.epoch == inner.tip.epoch && cursor.position > inner.tip.position;
            if ahead { Some(inner.end()) } else { inner.after(cursor) }
        };
        self.go(ordinal, cursor)
    }

    fn go(&mut self, ordinal: Option<u64>, cursor: Cursor) -> bool {
        let Some(ordinal) = ordinal else { return false };
        self.ordinal = ordinal;
        self.cursor = cursor;
        self.idle = false;
        true
    }

    /// Takes the next frames, at most `frames` of them and about `bytes`.
    pub(crate) fn take(&mut self, frames: usize, bytes: usize) -> Taken {
        // `settled` before `pending`, and both before looking: what is published while we look wakes us again.
        let settled = *lock(&self.window.shared.settled);
        let skip_to = self.wake.take().unwrap_or(settled);
        if self.idle && skip_to.ordinal > self.ordinal {
            // Asleep all the while: what was published before that slot concerned others.
            self.ordinal = skip_to.ordinal;
            self.advance_to(skip_to.before);
        }
        let window = self.window.clone();
        let inner = window.read();
        if self.ordinal < inner.first {
            self.idle = false;
            return Taken::Behind;
        }
        self.collect(&inner, frames, bytes)
    }

    fn collect(&mut self, inner: &Slots, frames: usize, bytes: usize) -> Taken {
        let mut taken = Vec::new();
        let mut taken_bytes = 0;
        while taken.len() < frames && taken_bytes < bytes {
            let Some(ordinal) = inner.next_for(&self.addresses, self.ordinal) else {
                self.ordinal = inner.end();
                self.advance_to(inner.tip);
                self.idle = true;
                break;
            };
            match inner.slot(ordinal) {
                // Ahead of the tail by a read of the log: this reader has what the tail missed, or knows already.
                Slot::Gap(missing) if !self.is_new(missing.resumed_after) => {
                    self.ordinal = ordinal + 1;
                    self.idle = false;
                }
                Slot::Gap(_) if !taken.is_empty() => break,
                Slot::Gap(missing) => {
                    self.ordinal = ordinal + 1;
                    self.cursor = missing.resumed_after;
                    self.idle = false;
                    return Taken::Gap(*missing);
                }
                Slot::Frame(frame) => {
                    self.ordinal = ordinal + 1;
                    self.idle = false;
                    if self.is_new(frame.cursor) {
                        self.cursor = frame.cursor;
                        taken_bytes += frame.wire.len();
                        taken.push(Arc::clone(frame));
                    }
                }
            }
        }
        if taken.is_empty() && self.idle { Taken::Idle } else { Taken::Frames(taken) }
    }

    /// A reader that came from a log read may be ahead of the tail: what the tail then publishes it has had already.
    fn is_new(&self, cursor: Cursor) -> bool {
        cursor.epoch != self.cursor.epoch || cursor.position > self.cursor.position
    }

    fn advance_to(&mut self, tip: Cursor) {
        if self.is_new(tip) {
            self.cursor = tip;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        lock(&self.window.shared.readers).remove(self.id, &self.addresses);
    }
}
