//! One log for the rest of the program, whichever broker keeps it. Read [`Broker`] first.

use std::sync::Arc;

use super::{
    Alive, AppendError, Appended, Bounds, BrokerUrl, Condition, Durability, Embedded, Entry, LogLimits,
    MailCursor, Mailbox, NewEvent, OpenError, Page, PageLimit, Redis, Repairs, StoreError, embedded, redis,
};
use crate::protocol::api::LogServer;
use crate::protocol::{Address, Cursor, Position};

/// A log, kept by any of the brokers. Cheap to clone; clones share the log.
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

    /// `memory`, `file` or `redis`, for messages and metrics.
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

    /// Numbers about the log.
    ///
    /// # Errors
    /// The store failed.
    pub async fn bounds(&self) -> Result<Bounds, StoreError> {
        match self {
            Self::Embedded(log) => log.bounds().await,
            Self::Redis(log) => log.bounds().await,
        }
    }

    /// The whole mailbox of a user or client. Empty for other addresses.
    ///
    /// # Errors
    /// The store failed.
    pub async fn mailbox(&self, owner: &Address) -> Result<Mailbox, StoreError> {
        self.mail_after(owner, MailCursor::default(), PageLimit::entries(usize::MAX)).await
    }

    /// Messages of a mailbox behind a cursor: at least one if there is one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn mail_after(
        &self,
        owner: &Address,
        from: MailCursor,
        limit: PageLimit,
    ) -> Result<Mailbox, StoreError> {
        match self {
            Self::Embedded(log) => log.mail_after(owner, from.after, limit).await,
            Self::Redis(log) => log.mail_after(owner, from, limit).await,
        }
    }

    /// Reports that this node is alive. `incarnation` is one life of it (a ULID), `record` its description as JSON.
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

    /// Takes this node off the roster at once.
    ///
    /// # Errors
    /// The store failed; the node is gone after [`super::roster::ALIVE_FOR`].
    pub async fn leave(&self, incarnation: &str) -> Result<(), StoreError> {
        match self {
            Self::Embedded(log) => {
                log.leave(incarnation);
                Ok(())
            }
            Self::Redis(log) => log.leave(incarnation).await,
        }
    }

    /// Proves that the log can be written: for a directory, a write that changes nothing. For a log that others keep, a
    /// mark goes through it and comes back by the follower, if there is one.
    ///
    /// # Errors
    /// The store failed, or nothing came back in time.
    pub async fn probe(&self) -> Result<(), StoreError> {
        match self {
            Self::Embedded(log) => log.probe().await,
            Self::Redis(log) => log.probe().await,
        }
    }

    /// Why this process can no longer write the log; another one may be able to.
    #[must_use]
    pub fn failure(&self) -> Option<StoreError> {
        match self {
            Self::Embedded(log) => log.failure(),
            Self::Redis(_) => None,
        }
    }

    /// The state of a log that this process keeps.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self {
            Self::Embedded(log) => log.condition(),
            Self::Redis(_) => Condition::default(),
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

    /// The state of the server that keeps the log, as it reports it; `None` for an embedded log.
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

    /// Takes everything up to a position out of a mailbox; returns how many messages that were. An overflow counts as
    /// reported if its newest message stood at or before that position. Waits for room where an append would be refused
    /// as busy.
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
    /// Waits for the next entries: at least one entry, a gap or a new history, at most `limit` entries; a page without
    /// any of these says that a store that had failed can be read again. Cancel-safe: a cancelled call loses nothing.
    /// After the log was closed the call waits until it is cancelled.
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
