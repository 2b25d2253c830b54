//! Limits of a log, the meaning of an acknowledgement, and the size of one read. Read [`LogLimits`] first.

use std::time::Duration;

/// What an acknowledged publish survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Durability {
    /// In the log. `memory:`: the life of the process; `file:`: written to the operating system, so the death of the
    /// process loses nothing and a power failure at most the last second.
    #[default]
    Accepted,
    /// On a replica too (`redis…` only): Redis' WAIT for one replica.
    Replicated,
    /// On the disk: one fsync for all publishes that wait at that moment (with Redis: WAITAOF, from version 7.2 on).
    Fsync,
}

/// Bytes of message ids that are remembered, for each of [`LogLimits::idempotency_max_ids`]: half of the longest
/// id.
pub const ID_BYTES: u64 = 64;

/// How much a log keeps, and for how long.
#[derive(Debug, Clone)]
pub struct LogLimits {
    /// Entries that are kept; the oldest are trimmed first.
    pub max_events: u64,
    /// Bytes kept, counted as [`super::Bounds::bytes`].
    pub max_bytes: u64,
    /// Entries older than this are trimmed.
    pub max_age: Duration,
    /// How long a message id is remembered.
    pub idempotency_window: Duration,
    /// Messages in one mailbox.
    pub mailbox_max_messages: u64,
    /// Messages in all mailboxes together; the oldest are dropped first, and count as overflow.
    pub mailboxes_max_messages: u64,
    /// Bytes of the messages in all mailboxes together.
    pub mailboxes_max_bytes: u64,
    /// Messages in a mailbox older than this are dropped, and counted as overflow.
    pub mailbox_max_age: Duration,
    /// Message ids that are remembered; the oldest are forgotten first. Their bytes are bounded by
    /// [`ID_BYTES`] for each.
    pub idempotency_max_ids: u64,
    /// Free bytes of the disk below which a log in a directory takes no events; 0: it does not look.
    pub min_free_disk: u64,
    /// Publishes that may wait for the writer; the next one is refused with [`super::AppendError::Busy`]. None
    /// waits for a log in RAM.
    pub append_queue: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            max_events: 1_000_000,
            max_bytes: 1 << 30,
            max_age: DAY,
            idempotency_window: Duration::from_secs(10 * 60),
            mailbox_max_messages: 1_000,
            mailboxes_max_messages: 1_000_000,
            mailboxes_max_bytes: 256 << 20,
            mailbox_max_age: 7 * DAY,
            idempotency_max_ids: 1_000_000,
            min_free_disk: 256 << 20,
            append_queue: 4_096,
        }
    }
}

/// How much one read may bring. The first entry always comes, however large it is: a reader must get on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit {
    /// Most entries of one read.
    pub entries: usize,
    /// Bytes, counted as [`super::Bounds::bytes`].
    pub bytes: u64,
}

impl PageLimit {
    /// Limited by the number of entries alone.
    #[must_use]
    pub fn entries(entries: usize) -> Self {
        Self { entries, bytes: u64::MAX }
    }
}
