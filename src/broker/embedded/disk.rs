//! The tables of `file:DIR`, in a fjall database: a journal that each batch is appended to, and sorted files behind
//! it. One process may have it open. Never called on a thread of the async runtime: everything here may wait for the
//! disk. Read [`Disk`] first.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fjall::{KeyspaceCreateOptions, PersistMode, Readable, SingleWriterTxDatabase, SingleWriterTxKeyspace};

use super::record::{self, InvalidRecord};
use super::tables::{Meta, Reads};
use crate::broker::{Durability, OpenError, StoreError};
use crate::protocol::{Epoch, Position};

mod directory;
mod view;

use view::{Hints, View, WriteView};

/// The one record of its table.
const META_KEY: &str = "numbers";

/// Blocks of sorted files kept in RAM.
const CACHE_BYTES: u64 = 32 << 20;
/// Journals are given back to the file system from here on; fjall allows no less than 64 MiB.
const JOURNALS_MAX_BYTES: u64 = 128 << 20;
/// What a table may hold in RAM before it becomes a sorted file.
const TABLE_BUFFER_BYTES: u64 = 16 << 20;
/// Threads that turn journals into sorted files.
const WORKERS: usize = 2;

/// A log in a directory.
pub(super) struct Disk {
    directory: PathBuf,
    database: SingleWriterTxDatabase,
    spaces: Spaces,
    /// What a commit waits for.
    commit: PersistMode,
    /// Only the writer takes this lock, once a batch.
    writer: Mutex<WriterState>,
}

#[derive(Default)]
struct WriterState {
    hints: Hints,
    /// No position up to here is given out again, also if the batch that gave it out failed.
    fence: Position,
    /// Something was written and not yet put onto the disk.
    is_dirty: bool,
}

/// One for each table.
struct Spaces {
    meta: SingleWriterTxKeyspace,
    /// Position → entry.
    log: SingleWriterTxKeyspace,
    /// Message id → position.
    seen: SingleWriterTxKeyspace,
    /// Position → message id.
    seen_by_age: SingleWriterTxKeyspace,
    /// Owner, position → entry: messages outlive the log's trim.
    mail: SingleWriterTxKeyspace,
    /// Position → owner.
    mail_by_age: SingleWriterTxKeyspace,
    /// Owner → state of the mailbox.
    states: SingleWriterTxKeyspace,
    /// Time, owner → nothing.
    marks: SingleWriterTxKeyspace,
}

impl Disk {
    /// Opens the log in a directory, and makes an empty one with a new epoch where there is none.
    pub(super) fn open(path: &Path, durability: Durability) -> Result<Self, OpenError> {
        directory::prepare(path)?;
        let builder = SingleWriterTxDatabase::builder(path)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNALS_MAX_BYTES)
            .worker_threads(WORKERS);
        let database = builder.open().map_err(|error| open_error(path, error))?;
        let failed = |error| OpenError::Store(store_error(path, "open", &error));
        let commit = match durability {
            // As far as the operating system, in one write per batch.
            Durability::Accepted => PersistMode::Buffer,
            Durability::Fsync => PersistMode::SyncData,
        };
        let disk = Self {
            directory: path.to_owned(),
            spaces: Spaces::open(&database).map_err(failed)?,
            database,
            commit,
            writer: Mutex::default(),
        };
        disk.begin_history().map_err(OpenError::Store)?;
        Ok(disk)
    }

    /// A database without numbers has no entries: this is the first time that it is opened, or it was emptied.
    fn begin_history(&self) -> Result<(), StoreError> {
        const BEGIN: &str = "begin a history";
        let snapshot = self.database.read_tx();
        if snapshot.get(&self.spaces.meta, META_KEY).map_err(|error| self.error(BEGIN, &error))?.is_some() {
            // Also says if the numbers cannot be read.
            return self.view(snapshot).map(drop);
        }
        let meta = Meta::new(Epoch::from_random(rand::random()));
        let mut change = self.database.write_tx().durability(Some(PersistMode::SyncAll));
        change.insert(&self.spaces.meta, META_KEY, record::meta_record(&meta));
        change.commit().map_err(|error| self.error(BEGIN, &error))
    }

    /// Asks for something in one consistent view.
    pub(super) fn read<T>(
        &self,
        question: impl FnOnce(&dyn Reads) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        question(&self.view(self.database.read_tx())?)
    }

    /// Makes a change, wholly or not at all, as durable as this log is.
    pub(super) fn write<T>(
        &self,
        change: impl FnOnce(&mut WriteView<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut view = self.view(self.database.write_tx().durability(Some(self.commit)))?;
        view.hints = std::mem::take(&mut writer.hints);
        view.meta.fence = view.meta.fence.max(writer.fence);
        let before = view.meta;
        let changed = change(&mut view);
        writer.fence = view.meta.fence;
        // With an error the hints stay forgotten: they may have passed what was not removed after all.
        let changed = changed?;
        let View { mut source, meta, hints, .. } = view;
        if meta != before {
            source.insert(&self.spaces.meta, META_KEY, record::meta_record(&meta));
        }
        source.commit().map_err(|error| self.error("commit", &error))?;
        writer.hints = hints;
        writer.is_dirty |= self.commit == PersistMode::Buffer;
        Ok(changed)
    }

    /// Puts onto the disk what was only written.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.is_dirty {
            self.database.persist(PersistMode::SyncData).map_err(|error| self.error("sync", &error))?;
            writer.is_dirty = false;
        }
        Ok(())
    }

    /// Where the log is.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    fn view<S: Readable>(&self, source: S) -> Result<View<'_, S>, StoreError> {
        const READ: &str = "read the numbers of the log";
        let record = source.get(&self.spaces.meta, META_KEY).map_err(|error| self.error(READ, &error))?;
        let record = record.ok_or_else(|| self.error(READ, &InvalidRecord::Damaged("they are not there")))?;
        let meta = record::read_meta(&record).map_err(|error| self.error(READ, &error))?;
        Ok(View { disk: self, source, meta, hints: Hints::default() })
    }

    fn error(&self, operation: &'static str, cause: &dyn fmt::Display) -> StoreError {
        store_error(&self.directory, operation, cause)
    }
}

impl Spaces {
    fn open(database: &SingleWriterTxDatabase) -> fjall::Result<Self> {
        let space = |name| {
            database.keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(TABLE_BUFFER_BYTES))
        };
        Ok(Self {
            meta: space("meta")?,
            log: space("log")?,
            seen: space("seen")?,
            seen_by_age: space("seen-by-age")?,
            mail: space("mail")?,
            mail_by_age: space("mail-by-age")?,
            states: space("mailboxes")?,
            marks: space("marks")?,
        })
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("directory", &self.directory).finish_non_exhaustive()
    }
}

fn store_error(directory: &Path, operation: &'static str, cause: &dyn fmt::Display) -> StoreError {
    StoreError { operation, place: directory.display().to_string(), cause: cause.to_string() }
}

fn open_error(path: &Path, error: fjall::Error) -> OpenError {
    match error {
        fjall::Error::Locked => OpenError::InUse { path: path.to_owned() },
        fjall::Error::Io(cause) => OpenError::Directory { path: path.to_owned(), cause },
        // Not our own enum: whatever else fjall may say is told in its words.
        error => OpenError::Store(store_error(path, "open", &error)),
    }
}
