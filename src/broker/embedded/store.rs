//! The tables in RAM or on disk; the rest of the log does not know which. Reads never wait for the writer's queue.

use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use super::disk::{Allowed, Disk};
use super::memory::Memory;
use super::tables::Reads;
use super::writer::{Command, Reply, perform, refuse};
use super::writing::Rules;
use crate::broker::{AppendError, BrokerUrl, Condition, Durability, LogLimits, OpenError, StoreError};
use crate::protocol::{Epoch, Position};

/// The tables of one log.
#[derive(Debug)]
pub(super) enum Store {
    /// In RAM. The lock is held for one page or one batch, never across an await.
    Memory(Box<RwLock<Memory>>),
    /// On the disk. Every call goes to the threads for blocking work.
    File(Arc<Disk>),
}

/// Result of a batch.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) replies: Vec<Reply>,
    /// The newest position, or why nothing of the batch can be relied on.
    pub(super) result: Result<Position, StoreError>,
}

impl Store {
    pub(super) async fn open(
        url: &BrokerUrl,
        limits: &LogLimits,
        durability: Durability,
    ) -> Result<Self, OpenError> {
        match url {
            BrokerUrl::Memory => {
                let memory = Memory::new(Epoch::from_random(rand::random()));
                Ok(Self::Memory(Box::new(RwLock::new(memory))))
            }
            BrokerUrl::File(path) => {
                let (path, limits) = (path.clone(), limits.clone());
                let place = path.display().to_string();
                let opened =
                    tokio::task::spawn_blocking(move || Disk::open(&path, &limits, durability)).await;
                let disk =
                    opened.map_err(|error| OpenError::Store(died("open the database", place, &error)))??;
                Ok(Self::File(Arc::new(disk)))
            }
            BrokerUrl::Redis(url) => Err(OpenError::Unfit {
                place: url.to_string(),
                why: "is not an embedded log; allowed are memory: and file:DIR".to_owned(),
            }),
        }
    }

    /// Reads in one consistent view of the tables.
    pub(super) async fn read<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Reads) -> Result<T, StoreError> + Send + 'static,
    {
        match self {
            Self::Memory(memory) => question(&*memory.read().unwrap_or_else(PoisonError::into_inner)),
            Self::File(disk) => blocking("read the log", disk, |disk| disk.read(question)).await?,
        }
    }

    /// The tables of a log in RAM, for one change.
    pub(super) fn in_memory(&self) -> Option<RwLockWriteGuard<'_, Memory>> {
        match self {
            Self::Memory(memory) => Some(memory.write().unwrap_or_else(PoisonError::into_inner)),
            Self::File(_) => None,
        }
    }

    /// Carries out commands as one batch.
    pub(super) async fn commit(&self, rules: &Rules, commands: Vec<Command>, now_ms: u64) -> Committed {
        match self {
            Self::Memory(memory) => {
                let mut tables = memory.write().unwrap_or_else(PoisonError::into_inner);
                let (replies, result) = perform(rules, &mut *tables, commands, now_ms);
                Committed { replies, result: result.map(|()| tables.meta().newest) }
            }
            Self::File(disk) => {
                let rules = rules.clone();
                let committed =
                    blocking("write events", disk, move |disk| write(disk, &rules, commands, now_ms));
                committed.await.unwrap_or_else(|error| Committed { replies: Vec::new(), result: Err(error) })
            }
        }
    }

    /// Removes old entries, ids and messages in one bounded step; returns whether more is left.
    pub(super) async fn sweep(&self, rules: &Rules, now_ms: u64) -> Result<bool, StoreError> {
        match self {
            Self::Memory(memory) => {
                rules.sweep(&mut *memory.write().unwrap_or_else(PoisonError::into_inner), now_ms)
            }
            Self::File(disk) => {
                let rules = rules.clone();
                blocking("remove expired events", disk, move |disk| match disk.allowed()? {
                    Allowed::Everything | Allowed::NoEvents(_) => {
                        disk.write(|tables| rules.sweep(tables, now_ms))
                    }
                    Allowed::Nothing(_) => Ok(false),
                })
                .await?
            }
        }
    }

    /// Syncs writes that the operating system may still hold to the disk.
    pub(super) async fn sync(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::File(disk) => blocking("sync the log to the disk", disk, Disk::sync).await?,
        }
    }

    /// The orderly end, after the last change.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::File(disk) => blocking("close the log", disk, Disk::close).await?,
        }
    }

    /// Why nothing can be written any more; only another process, or this one started again, can.
    pub(super) fn failure(&self) -> Option<StoreError> {
        match self {
            Self::Memory(_) => None,
            Self::File(disk) => disk.failure().cloned(),
        }
    }

    pub(super) fn condition(&self) -> Condition {
        match self {
            Self::Memory(_) => Condition::default(),
            Self::File(disk) => {
                let (is_full, free) = disk.room_left();
                Condition { is_full, free_bytes: free, lost: disk.lost(), ..Condition::default() }
            }
        }
    }

    /// From now on nothing is written.
    pub(super) fn fail(&self, error: StoreError) {
        match self {
            Self::Memory(_) => {}
            Self::File(disk) => drop(disk.fail(error)),
        }
    }

    pub(super) fn error(&self, operation: &'static str, cause: &dyn std::fmt::Display) -> StoreError {
        let place = match self {
            Self::Memory(_) => "memory".to_owned(),
            Self::File(disk) => disk.directory().display().to_string(),
        };
        StoreError { operation, place, cause: cause.to_string() }
    }
}

/// Writes commands to the disk as one batch, or says for each why not.
fn write(disk: &Disk, rules: &Rules, mut commands: Vec<Command>, now_ms: u64) -> Committed {
    let full = |why: &String| disk.error("append events", why);
    let mut replies = match disk.allowed() {
        Ok(Allowed::Everything) => Vec::new(),
        Ok(Allowed::NoEvents(why)) => {
            refuse(&mut commands, Command::needs_room, (AppendError::DiskFull, &full(&why)))
        }
        Ok(Allowed::Nothing(why)) => refuse(&mut commands, |_| true, (AppendError::DiskFull, &full(&why))),
        Err(error) => refuse(&mut commands, |_| true, (AppendError::Away, &error)),
    };
    if commands.is_empty() {
        let newest = disk.read(|tables| Ok(tables.meta().newest));
        return Committed { replies, result: newest };
    }
    let reserved = disk.reserve(now_ms);
    let written = disk.write(|tables| {
        let (performed, result) = perform(rules, tables, commands, now_ms);
        replies.extend(performed);
        // Performed in any case, for the replies; with an error nothing is kept.
        result.and(reserved).map(|()| tables.meta().newest)
    });
    Committed { replies, result: written }
}

/// Runs disk work on a thread for blocking work.
async fn blocking<T, F>(operation: &'static str, disk: &Arc<Disk>, work: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce(&Disk) -> T + Send + 'static,
{
    let own = Arc::clone(disk);
    let done = tokio::task::spawn_blocking(move || work(&own)).await;
    // A panic inside the database: what it holds now is not known.
    done.map_err(|error| disk.fail(died(operation, disk.directory().display().to_string(), &error)))
}

/// The work panicked, or the runtime is going down.
fn died(operation: &'static str, place: String, error: &tokio::task::JoinError) -> StoreError {
    StoreError { operation, place, cause: error.to_string() }
}
