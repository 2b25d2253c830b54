//! The log. This page is the contract that every broker keeps; one suite (`contract.rs`) checks them all.
//!
//! - **Append** is one atomic step: de-duplicate by message id, number the entry, keep it, put it into the mailbox if
//!   it asks for that. When [`Broker::append`] returns, the log has the event: kept in memory by `memory:`, written to
//!   the operating system by `file:` (survives the death of the process), or on the disk with `--durability fsync`.
//! - **Positions** strictly increase, also when the clock goes backwards, and none is given out twice, not even after a
//!   loss of power that took the newest ones away. So a log that did not end in order may go on a few seconds ahead of
//!   the clock: order by positions, tell the time by envelopes.
//! - **Idempotency**: the same message id within the window gives the first position again and adds nothing, whatever
//!   else the repeat says, and also after the first entry was trimmed.
//! - **Read after a cursor** is the only way to read: live, replay, and a follower that was away. An answer that
//!   cannot be complete says so ([`Page::gap`]), and why: *trimmed* (what came next is no longer kept), *epoch* (the
//!   cursor belongs to another history), *rollback* (the cursor's own entry is not in the log although its
//!   neighbours are, or lies beyond the newest: the log lost its tail). A cursor is sound when it is the start of the
//!   history, the last trimmed entry, or an entry that is kept. Reading resumes, so that nothing kept is left out,
//!   from the start of what is kept; after a rollback from the newest kept entry before the cursor.
//! - **Trim** by count, bytes and age, oldest first, by age also without an append. What a cursor then misses is
//!   *trimmed*, never silence. Ages go by the log's time: the clock's, but never before the newest position.
//! - **Epoch**: `memory:` has a new one in every process; `file:` keeps it in the directory.
//! - **Mailbox** of a user or client: the undelivered `qos: 1` messages, oldest first, in log order, bounded by count
//!   and age; the trim of the log does not touch them. Overflow drops the oldest and counts them until a confirmation
//!   reaches the newest dropped one; whoever does not come to hear of it for the age of a message is not told.
//!
//! - **Roster**: which nodes share the log and are alive ([`roster`]). It is no part of the log.
//!
//! A broker knows nothing of connections. Read [`Broker`] first.

pub mod embedded;
pub mod history;
pub mod limits;
pub mod publisher;
pub mod redis;
pub mod roster;
pub mod url;

#[cfg(test)]
mod contract;

use std::sync::Arc;

use crate::protocol::api::{GapReason, LogServer};
use crate::protocol::{Address, Cursor, Epoch, EventType, MessageId, Position};

pub use embedded::Embedded;
pub use history::{Origins, Synced};
pub use limits::{Durability, LogLimits, PageLimit};
pub use publisher::Publisher;
pub use redis::Redis;
pub use roster::Alive;
pub use url::{BrokerUrl, InvalidBrokerUrl};

/// An event on its way into the log.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Identity of the message; a repeated one is answered with the first position.
    pub message_id: MessageId,
    /// Whom it is for.
    pub address: Address,
    /// The `event:` on the wire.
    pub event_type: EventType,
    /// The envelope as JSON: what stands in `data:`.
    pub envelope: Arc<str>,
    /// Keep it in the mailbox of its address too, until confirmed (`qos: 1`). Only for addresses that have one.
    pub mailbox: bool,
}

/// An event in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub cursor: Cursor,
    /// Identity of the message.
    pub message_id: MessageId,
    /// Whom it is for.
    pub address: Address,
    /// The `event:` on the wire.
    pub event_type: EventType,
    /// The envelope as JSON.
    pub envelope: Arc<str>,
    /// Where the message stood before it was lost and appended again.
    pub origins: Origins,
}

/// The log has the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Where it stands.
    pub cursor: Cursor,
    /// It was there already, under the same message id.
    pub duplicate: bool,
}

/// What a reader is told instead of silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Why the answer is not complete.
    pub reason: GapReason,
    /// Reading went on after this position.
    pub resumed_after: Cursor,
    /// How many events are missing, where that is known: to a reader that asks from the start of the history.
    pub missed: Option<u64>,
}

/// Entries after a cursor, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Set when entries after the cursor are missing; they would come before `entries`.
    pub gap: Option<Missing>,
    /// Set when the cursor's history has ended and another one goes on. Comes before `gap`.
    pub sync: Option<Synced>,
    /// At most as many as were asked for. Empty at the end of the log, and nowhere else.
    pub entries: Vec<Entry>,
    /// More entries are known to follow.
    pub more: bool,
}

/// What the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The history.
    pub epoch: Epoch,
    /// Everything after this position is kept: the last trimmed entry, or [`Position::ZERO`].
    pub start: Position,
    /// Position of the newest entry ever appended in this history, or [`Position::ZERO`].
    pub newest: Position,
    /// Entries kept.
    pub length: u64,
    /// Bytes kept: envelopes, message ids, addresses and types, without the store's own overhead.
    pub bytes: u64,
    /// Mailboxes that hold at least one message.
    pub mailboxes: u64,
    /// Messages in all mailboxes.
    pub mailbox_messages: u64,
}

impl Bounds {
    /// The cursor after which everything is kept.
    #[must_use]
    pub fn start_cursor(&self) -> Cursor {
        Cursor::new(self.epoch, self.start)
    }

    /// The cursor of the newest entry: nothing comes after it yet.
    #[must_use]
    pub fn newest_cursor(&self) -> Cursor {
        Cursor::new(self.epoch, self.newest)
    }
}

/// What happened to a log that others keep, as far as one process had to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repairs {
    /// Histories that ended: the store was started again, or another server took over.
    pub histories: u64,
    /// Events that the log had lost and this process appended again.
    pub appended_again: u64,
    /// Of these, its own acknowledged publishes that nobody had read.
    pub published_again: u64,
}

/// A mailbox's content.
#[derive(Debug, Clone, Default)]
pub struct Mailbox {
    /// Unconfirmed messages in log order.
    pub entries: Vec<Entry>,
    /// Messages dropped because the mailbox was full or they were too old, not yet confirmed as told. Still counts
    /// all of them when a confirmation reached only some.
    pub overflowed: u64,
}

/// Why an event is not in the log, or may not be.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Too many publishes wait already; nothing was written.
    #[error("the log is busy: {waiting} publishes wait already")]
    Busy {
        /// The limit that was reached.
        waiting: usize,
    },
    /// The broker is closing; nothing was written.
    #[error("the log is closed")]
    Closed,
    /// The store cannot be reached, or refuses to be written; nothing was written.
    #[error("the log cannot be used now")]
    Away(#[source] StoreError),
    /// The store failed; the event may or may not be in the log. Publish again with the same message id.
    #[error("the log could not be written")]
    Store(#[source] StoreError),
}

/// The store behind a log failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} failed in {place}: {cause}")]
pub struct StoreError {
    /// What was tried.
    pub operation: &'static str,
    /// Where: a directory or an address.
    pub place: String,
    /// What the store said.
    pub cause: String,
}

/// Why a broker cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made or is not one.
    #[error("cannot use {path} as the directory of a log")]
    Directory {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Another process has the log open.
    #[error("the log in {path} is in use by another process")]
    InUse {
        /// The directory.
        path: std::path::PathBuf,
    },
    /// The store failed.
    #[error("cannot open the log")]
    Store(#[source] StoreError),
    /// What was asked for cannot be had there.
    #[error("{place} {why}")]
    Unfit {
        /// The address.
        place: String,
        /// What it lacks, and what is allowed.
        why: String,
    },
}

/// The log, whoever keeps it. Cheap to clone; clones share the log.
#[derive(Debug, Clone)]
pub enum Broker {
    /// In this process: `memory:` and `file:DIR`.
    Embedded(Embedded),
    /// In a Redis that several nodes share.
    Redis(Redis),
}

/// Follows a log: every entry after a cursor, as it comes.
#[derive(Debug)]
pub enum Follower {
    /// Of an embedded log.
    Embedded(embedded::Follower),
    /// Of a log in Redis.
    Redis(redis::Follower),
}

impl Broker {
    /// Opens the log that a URL names, and starts its tasks on `tasks`. They end with the group's token, after
    /// everything that was accepted has been written.
    ///
    /// # Errors
    /// [`OpenError`] names the directory or address.
    pub async fn open(
        url: &BrokerUrl,
        limits: LogLimits,
        durability: Durability,
        tasks: &crate::runtime::Tasks,
    ) -> Result<Self, OpenError> {
        Ok(match url {
            BrokerUrl::Memory | BrokerUrl::File(_) => {
                Self::Embedded(Embedded::open(url, limits, durability, tasks).await?)
            }
            BrokerUrl::Redis(url) => Self::Redis(Redis::open(url, limits, durability, tasks).await?),
        })
    }

    /// `memory`, `file`, …: for people and metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Embedded(log) => log.kind(),
            Self::Redis(log) => log.kind(),
        }
    }

    /// Whether several nodes share this log.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Embedded(_) => false,
            Self::Redis(_) => true,
        }
    }

    /// Puts an event into the log. Cancelling the future does not take the event back.
    ///
    /// # Errors
    /// See [`AppendError`]; only `Store` leaves open whether the event is in the log.
    pub async fn append(&self, event: NewEvent) -> Result<Appended, AppendError> {
        match self {
            Self::Embedded(log) => log.append(event).await,
            Self::Redis(log) => log.append(event).await,
        }
    }

    /// The entries after a cursor, as far as the limit reaches.
    ///
    /// # Errors
    /// The store failed.
    pub async fn read_after(&self, after: Cursor, limit: PageLimit) -> Result<Page, StoreError> {
        match self {
            Self::Embedded(log) => log.read_after(after, limit).await,
            Self::Redis(log) => log.read_after(after, limit).await,
        }
    }

    /// The newest entries, oldest of them first: at most `limit` of them, and at most `max_bytes` as [`Bounds::bytes`]
    /// counts.
    ///
    /// # Errors
    /// The store failed.
    pub async fn read_newest(&self, limit: usize, max_bytes: u64) -> Result<Vec<Entry>, StoreError> {
        match self {
            Self::Embedded(log) => log.read_newest(limit, max_bytes).await,
            Self::Redis(log) => log.read_newest(limit, max_bytes).await,
        }
    }

    /// The entry at exactly this position, if it is kept.
    ///
    /// # Errors
    /// The store failed.
    pub async fn get(&self, at: Cursor) -> Result<Option<Entry>, StoreError> {
        match self {
            Self::Embedded(log) => log.get(at).await,
            Self::Redis(log) => log.get(at).await,
        }
    }

    /// Follows the log from a cursor on.
    #[must_use]
    pub fn follow(&self, after: Cursor) -> Follower {
        match self {
            Self::Embedded(log) => Follower::Embedded(log.follow(after)),
            Self::Redis(log) => Follower::Redis(log.follow(after)),
        }
    }

    /// What the log holds.
    ///
    /// # Errors
    /// The store failed.
    pub async fn bounds(&self) -> Result<Bounds, StoreError> {
        match self {
            Self::Embedded(log) => log.bounds().await,
            Self::Redis(log) => log.bounds().await,
        }
    }

    /// The mailbox of a user or client. Empty for other addresses.
    ///
    /// # Errors
    /// The store failed.
    pub async fn mailbox(&self, owner: &Address) -> Result<Mailbox, StoreError> {
        match self {
            Self::Embedded(log) => log.mailbox(owner).await,
            Self::Redis(log) => log.mailbox(owner).await,
        }
    }

    /// This node is alive. `incarnation` is one life of it (a ULID), `record` what it says of itself.
    ///
    /// # Errors
    /// The store failed.
    pub async fn beat(&self, incarnation: &Arc<str>, record: &Arc<str>) -> Result<(), StoreError> {
        match self {
            Self::Embedded(log) => {
                log.beat(incarnation, record);
                Ok(())
            }
            Self::Redis(log) => log.beat(incarnation, record).await,
        }
    }

    /// This node leaves: it is gone from the roster at once.
    ///
    /// # Errors
    /// The store failed; the node is gone after [`roster::ALIVE_FOR`].
    pub async fn leave(&self, incarnation: &str) -> Result<(), StoreError> {
        match self {
            Self::Embedded(log) => {
                log.leave(incarnation);
                Ok(())
            }
            Self::Redis(log) => log.leave(incarnation).await,
        }
    }

    /// Proves that the log can be written and followed: for a log that others keep, a mark goes through it and comes
    /// back by the follower, if there is one.
    ///
    /// # Errors
    /// The store failed, or nothing came back in time.
    pub async fn probe(&self) -> Result<(), StoreError> {
        match self {
            // What can be read here can be followed; the writer is a task of this process.
            Self::Embedded(log) => log.bounds().await.map(drop),
            Self::Redis(log) => log.probe().await,
        }
    }

    /// What happened to the log since this process opened it.
    #[must_use]
    pub fn repairs(&self) -> Repairs {
        match self {
            Self::Embedded(_) => Repairs::default(),
            Self::Redis(log) => log.repairs(),
        }
    }

    /// What the server that keeps the log says of itself; nothing where there is none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn server(&self) -> Result<Option<LogServer>, StoreError> {
        match self {
            Self::Embedded(_) => Ok(None),
            Self::Redis(log) => log.server().await.map(Some),
        }
    }

    /// The nodes that are alive, oldest life first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn alive(&self) -> Result<Vec<Alive>, StoreError> {
        match self {
            Self::Embedded(log) => Ok(log.alive()),
            Self::Redis(log) => log.alive().await,
        }
    }

    /// Takes everything up to a position out of a mailbox; returns how many messages that were. An overflow whose
    /// newest message stood up to there counts as told. Waits for room where an append would be refused as busy.
    ///
    /// # Errors
    /// The store failed.
    pub async fn confirm(&self, owner: &Address, up_to: Position) -> Result<u64, StoreError> {
        match self {
            Self::Embedded(log) => log.confirm(owner, up_to).await,
            Self::Redis(log) => log.confirm(owner, up_to).await,
        }
    }
}

impl Follower {
    /// Waits for the next entries: at least one entry, a gap or a new history, at most `limit` entries; nothing of all
    /// that only to say that a store that had failed can be read again. Cancel-safe: a cancelled
    /// call loses nothing. In a log that was closed nothing comes any more, and it waits until it is cancelled.
    ///
    /// # Errors
    /// The store failed; the next call tries again from the same cursor.
    pub async fn next(&mut self, limit: usize) -> Result<Page, StoreError> {
        match self {
            Self::Embedded(follower) => follower.next(limit).await,
            Self::Redis(follower) => follower.next(limit).await,
        }
    }
}
