//! Where the tables are: the one place that tells RAM from disk. Reads never wait for the writer's queue.

use std::sync::{PoisonError, RwLock};

use super::memory::Memory;
use super::tables::Reads;
use super::writer::{Command, Reply, perform};
use super::writing::Rules;
use crate::broker::{BrokerUrl, Durability, OpenError, StoreError};
use crate::protocol::{Epoch, Position};

/// The tables of one log.
#[derive(Debug)]
pub(super) enum Store {
    /// In RAM. The lock is held for one page or one batch, never across an await.
    Memory(RwLock<Memory>),
}

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) replies: Vec<Reply>,
    /// The newest position, or why nothing of the batch can be relied on.
    pub(super) result: Result<Position, StoreError>,
}

impl Store {
    pub(super) async fn open(url: &BrokerUrl, durability: Durability) -> Result<Self, OpenError> {
        match url {
            BrokerUrl::Memory => {
                Ok(Self::Memory(RwLock::new(Memory::new(Epoch::from_random(rand::random())))))
            }
            BrokerUrl::File(dir) => Err(OpenError::Store(StoreError {
                operation: "open",
                place: dir.display().to_string(),
                cause: format!("file: with {durability:?} is not there yet"),
            })),
        }
    }

    /// Asks for something in one consistent view of the tables.
    pub(super) async fn read<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Reads) -> Result<T, StoreError> + Send + 'static,
    {
        match self {
            Self::Memory(memory) => question(&*memory.read().unwrap_or_else(PoisonError::into_inner)),
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
        }
    }

    /// Does what time makes necessary; says whether more of it is left.
    pub(super) async fn sweep(&self, rules: &Rules, now_ms: u64) -> Result<bool, StoreError> {
        match self {
            Self::Memory(memory) => {
                rules.sweep(&mut *memory.write().unwrap_or_else(PoisonError::into_inner), now_ms)
            }
        }
    }

    /// An error of this store.
    pub(super) fn error(&self, operation: &'static str, cause: &str) -> StoreError {
        let place = match self {
            Self::Memory(_) => "memory".to_owned(),
        };
        StoreError { operation, place, cause: cause.to_owned() }
    }
}
