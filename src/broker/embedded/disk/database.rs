//! The database behind `file:DIR`: opened, read in one consistent view, changed in batches. Read [`Disk`] first.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use fjall::{
    Guard, KeyspaceCreateOptions, PersistMode, Readable, SingleWriterTxDatabase, SingleWriterTxKeyspace,
    UserValue,
};

use super::journal::Journal;
use super::room::{Allowed, Room};
use super::view::{Hints, View, WriteView};
use super::{directory, journal, known, room};
use crate::broker::embedded::record::{self, InvalidRecord};
use crate::broker::embedded::tables::{Meta, Reads};
use crate::broker::{Durability, LogLimits, Lost, OpenError, StoreError};
use crate::protocol::{Epoch, Position};

/// Where the numbers about the log stand.
pub(super) const META_KEY: &str = "numbers";
/// What was found missing.
pub(super) const LOST_KEY: &str = "lost";
/// Where the ceiling stands: positions up to that millisecond may have been given out.
const CEILING_KEY: &str = "ceiling";
/// How far ahead the ceiling is raised; as often, an append waits for an fsync of its own.
const CEILING_AHEAD_MS: u64 = 2_000;

/// Blocks of sorted files kept in RAM.
const CACHE_BYTES: u64 = 32 << 20;
/// Journals are given back to the file system from here on; fjall allows no less than 64 MiB.
const JOURNALS_MAX_BYTES: u64 = 128 << 20;
/// Bytes of a table in RAM before it becomes a sorted file.
const TABLE_BUFFER_BYTES: u64 = 16 << 20;
/// Threads that turn journals into sorted files.
const WORKERS: usize = 2;
/// Sorted files that are kept open.
const FILES_OPEN: usize = 256;
/// Where probes write. Nobody reads it.
pub(super) const PROBE_KEY: &str = "probe";

/// A log in a directory.
pub(in crate::broker::embedded) struct Disk {
    directory: PathBuf,
    pub(super) database: SingleWriterTxDatabase,
    pub(super) spaces: Spaces,
    /// How far a commit writes before it returns.
    commit: PersistMode,
    /// Only the writer takes this lock, once a batch.
    writer: Mutex<WriterState>,
    room: Mutex<Room>,
    /// Why nothing can be written any more: the database takes no write after one that failed.
    failure: OnceLock<StoreError>,
    lost: OnceLock<Lost>,
}

#[derive(Default)]
struct WriterState {
    hints: Hints,
    /// No position up to here is given out again, also if the batch that gave it out failed.
    fence: Position,
    /// The ceiling on the disk.
    ceiling_ms: u64,
    /// Something was written and not yet put onto the disk.
    is_dirty: bool,
    /// The numbers in the file beside the database.
    known: Option<Meta>,
}

/// One for each table.
pub(super) struct Spaces {
    pub(super) meta: SingleWriterTxKeyspace,
    /// The entries, with their positions as keys.
    pub(super) log: SingleWriterTxKeyspace,
    /// Message id → position.
    pub(super) seen: SingleWriterTxKeyspace,
    /// Position → message id.
    pub(super) seen_by_age: SingleWriterTxKeyspace,
    /// Owner, position → entry: messages outlive the log's trim.
    pub(super) mail: SingleWriterTxKeyspace,
    /// The owner of each mailbox message, with its position as key: the oldest first.
    pub(super) mail_by_age: SingleWriterTxKeyspace,
    /// Owner → state of the mailbox.
    pub(super) states: SingleWriterTxKeyspace,
    /// Time, owner → nothing.
    pub(super) marks: SingleWriterTxKeyspace,
}

impl Disk {
    /// Opens the log in a directory, and makes an empty one with a new epoch where there is none.
    pub(in crate::broker::embedded) fn open(
        path: &Path,
        limits: &LogLimits,
        durability: Durability,
    ) -> Result<Self, OpenError> {
        Self::open_as(path, limits, durability, false)
    }

    /// With `is_thorough` everything is counted, whether there is a reason or not.
    pub(super) fn open_as(
        path: &Path,
        limits: &LogLimits,
        durability: Durability,
        is_thorough: bool,
    ) -> Result<Self, OpenError> {
        directory::prepare(path)?;
        let known = known::read(path);
        let found = mended(path)?;
        let builder = SingleWriterTxDatabase::builder(path)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNALS_MAX_BYTES)
            .max_cached_files(Some(FILES_OPEN))
            .worker_threads(WORKERS);
        let database = builder.open().map_err(|error| open_error(path, error))?;
        let failed = |error| OpenError::Store(store_error(path, "open the database", &error));
        let commit = match durability {
            // As far as the operating system, in one write per batch.
            Durability::Accepted => PersistMode::Buffer,
            Durability::Fsync => PersistMode::SyncData,
            Durability::Replicated => {
                return Err(OpenError::Unfit {
                    place: format!("file:{}", path.display()),
                    why: "has no replica; allowed for --durability are accepted and fsync".to_owned(),
                });
            }
        };
        let disk = Self {
            directory: path.to_owned(),
            spaces: Spaces::open(&database).map_err(failed)?,
            database,
            commit,
            writer: Mutex::default(),
            room: Mutex::new(Room::new(path, limits.min_free_disk)),
            failure: OnceLock::new(),
            lost: OnceLock::new(),
        };
        disk.begin_history(known, &found, is_thorough)
            .and_then(|()| disk.raise_fence_to_ceiling())
            .map_err(OpenError::Store)?;
        Ok(disk)
    }

    /// A database without numbers has no entries: this is the first time that it is opened, or it was emptied. Where
    /// something hints that events went missing, they are counted.
    fn begin_history(
        &self,
        known: Option<Meta>,
        found: &[(u64, Journal)],
        is_thorough: bool,
    ) -> Result<(), StoreError> {
        const BEGIN: &str = "begin a history";
        let snapshot = self.database.read_tx();
        let stored = self.stored_meta(&snapshot)?;
        let last = snapshot.last_key_value(&self.spaces.log).map(Guard::key).transpose();
        let last = last.map_err(|error| self.error(BEGIN, &error))?;
        if stored.is_none() && known.is_none() && last.is_none() {
            let meta = Meta::new(Epoch::from_random(rand::random()));
            return self.put_record(META_KEY, &record::meta_record(&meta), BEGIN);
        }
        let is_whole = stored.is_some_and(|stored| {
            let has_all = known.is_none_or(|known| stored.appended() >= known.appended());
            let newest = record::position_key(stored.newest);
            has_all && (stored.length == 0 || last.as_deref() == Some(newest.as_slice()))
        });
        let mut lost =
            self.record(&snapshot, LOST_KEY, BEGIN)?.and_then(|lost| record::read_lost(&lost).ok());
        let is_old = self.record(&snapshot, META_KEY, BEGIN)?.is_some_and(|meta| record::is_old_meta(&meta));
        if is_thorough || is_old || !is_whole || journal::hints_at_a_loss(found) {
            let behind: Vec<_> =
                found.iter().flat_map(|(_, journal)| &journal.holes).map(|hole| hole.next).collect();
            lost = self.recount(known, &behind, lost)?;
        }
        let start = self.view(self.database.read_tx())?.meta.start;
        if let Some(lost) = lost.filter(|lost| lost.up_to.position > start) {
            let Lost { events, after, up_to } = lost;
            tracing::error!(events, %after, %up_to, "acknowledged events are missing in the log");
            self.lost.get_or_init(|| lost);
        }
        Ok(())
    }

    /// The numbers, if there are some.
    pub(super) fn stored_meta(&self, source: &impl Readable) -> Result<Option<Meta>, StoreError> {
        const READ: &str = "read the counters of the log";
        let record = self.record(source, META_KEY, READ)?;
        record.map(|record| record::read_meta(&record)).transpose().map_err(|error| self.error(READ, &error))
    }

    /// What was found missing.
    pub(in crate::broker::embedded) fn lost(&self) -> Option<Lost> {
        self.lost.get().copied()
    }

    /// Writes the numbers into their file, if they have changed.
    fn note(&self, writer: &mut WriterState) -> Result<(), StoreError> {
        const NOTE: &str = "write the counters of the log into their file";
        let meta = self.view(self.database.read_tx())?.meta;
        self.check_directory()?;
        if writer.known.replace(meta) != Some(meta) {
            known::write(&self.directory, &meta).map_err(|error| self.error(NOTE, &error))?;
        }
        Ok(())
    }

    /// A loss of power takes writes that are not on the disk, and with them positions that readers have seen. The
    /// ceiling is on the disk before any position below it is given out, so none is given out twice, even if the clock
    /// is set back.
    fn raise_fence_to_ceiling(&self) -> Result<(), StoreError> {
        const READ: &str = "read the highest reserved position";
        let Some(ceiling) = self.record(&self.database.read_tx(), CEILING_KEY, READ)? else { return Ok(()) };
        let ceiling_ms = record::read_number(&ceiling).map_err(|error| self.error(READ, &error))?;
        let mut writer = self.writer();
        writer.ceiling_ms = ceiling_ms;
        writer.fence = Position { ms: ceiling_ms, seq: u64::MAX };
        Ok(())
    }

    /// Called before positions are given out at this time.
    pub(in crate::broker::embedded) fn reserve(&self, now_ms: u64) -> Result<(), StoreError> {
        if self.commit != PersistMode::Buffer {
            // A position is on the disk before anybody sees it.
            return Ok(());
        }
        let mut writer = self.writer();
        let now_ms = self.view(self.database.read_tx())?.meta.log_time(now_ms).max(writer.fence.ms);
        if now_ms < writer.ceiling_ms {
            return Ok(());
        }
        let ceiling_ms = now_ms.saturating_add(CEILING_AHEAD_MS);
        self.put_record(CEILING_KEY, &ceiling_ms.to_be_bytes(), "raise the ceiling")?;
        writer.ceiling_ms = ceiling_ms;
        Ok(())
    }

    /// The orderly end: everything is on the disk, and the next start need not leave positions out.
    pub(in crate::broker::embedded) fn close(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let fence = self.view(self.database.read_tx())?.meta.fence.max(writer.fence);
        self.note(&mut writer)?;
        self.put_record(CEILING_KEY, &fence.ms.to_be_bytes(), "lower the ceiling")
    }

    fn writer(&self) -> MutexGuard<'_, WriterState> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(
        &self,
        source: &impl Readable,
        key: &str,
        operation: &'static str,
    ) -> Result<Option<UserValue>, StoreError> {
        source.get(&self.spaces.meta, key).map_err(|error| self.error(operation, &error))
    }

    /// Puts a record, and everything before it, onto the disk.
    fn put_record(&self, key: &str, record: &[u8], operation: &'static str) -> Result<(), StoreError> {
        let mut change = self.database.write_tx().durability(Some(PersistMode::SyncAll));
        change.insert(&self.spaces.meta, key, record);
        self.check()?;
        change.commit().map_err(|error| self.fail(self.error(operation, &error)))
    }

    /// Looks what may be written now, before a batch.
    pub(in crate::broker::embedded) fn allowed(&self) -> Result<Allowed, StoreError> {
        self.check()?;
        let allowed = self.room().allowed();
        allowed.map_err(|error| self.fail(self.error("look at the disk", &error)))
    }

    /// Whether events are refused because the disk is full, and the free bytes of the disk.
    pub(in crate::broker::embedded) fn room_left(&self) -> (bool, Option<u64>) {
        self.room().state()
    }

    /// Called when a batch was written, before anybody hears of it.
    fn check_directory(&self) -> Result<(), StoreError> {
        const LOST: &str = "the directory, or the journal in it, was removed or replaced";
        if self.room().is_there() { Ok(()) } else { Err(self.fail(self.error("write events", &LOST))) }
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing can be written any more.
    pub(in crate::broker::embedded) fn failure(&self) -> Option<&StoreError> {
        self.failure.get()
    }

    fn check(&self) -> Result<(), StoreError> {
        self.failure().cloned().map_or(Ok(()), Err)
    }

    /// From now on nothing is written.
    pub(in crate::broker::embedded) fn fail(&self, error: StoreError) -> StoreError {
        self.failure.get_or_init(|| error.clone());
        error
    }

    /// Reads in one consistent view.
    pub(in crate::broker::embedded) fn read<T>(
        &self,
        question: impl FnOnce(&dyn Reads) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        question(&self.view(self.database.read_tx())?)
    }

    /// Makes a change, wholly or not at all, as durable as this log is.
    pub(in crate::broker::embedded) fn write<'a, T>(
        &'a self,
        change: impl FnOnce(&mut WriteView<'a>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.check()?;
        let mut writer = self.writer();
        let mut view = self.view(self.database.write_tx().durability(Some(self.commit)))?;
        view.hints = std::mem::take(&mut writer.hints);
        view.meta.fence = view.meta.fence.max(writer.fence);
        let before = view.meta;
        let changed = change(&mut view);
        writer.fence = view.meta.fence;
        // After an error the hints stay forgotten: they may point past records that were not removed after all.
        let changed = changed?;
        let View { mut source, meta, hints, .. } = view;
        if meta != before {
            source.insert(&self.spaces.meta, META_KEY, record::meta_record(&meta));
        }
        source.commit().map_err(|error| self.fail(self.error("write events", &error)))?;
        self.check_directory()?;
        writer.hints = hints;
        writer.is_dirty |= self.commit == PersistMode::Buffer;
        Ok(changed)
    }

    /// Syncs to the disk everything that was only written.
    pub(in crate::broker::embedded) fn sync(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        if writer.is_dirty {
            self.database
                .persist(PersistMode::SyncData)
                .map_err(|error| self.fail(self.error("sync the log to the disk", &error)))?;
            writer.is_dirty = false;
        }
        self.note(&mut writer)
    }

    /// Where the log is.
    pub(in crate::broker::embedded) fn directory(&self) -> &Path {
        &self.directory
    }

    fn view<S: Readable>(&self, source: S) -> Result<View<'_, S>, StoreError> {
        const READ: &str = "read the counters of the log";
        let meta = self.stored_meta(&source)?;
        let meta = meta.ok_or_else(|| self.error(READ, &InvalidRecord::Damaged("it is missing")))?;
        Ok(View { disk: self, source, meta, hints: Hints::default() })
    }

    pub(in crate::broker::embedded) fn error(
        &self,
        operation: &'static str,
        cause: &dyn fmt::Display,
    ) -> StoreError {
        store_error(&self.directory, operation, cause)
    }
}

/// Reads the journals before the database does, which would cut them off at the first damage; damaged ones are
/// replaced by what is whole in them.
fn mended(path: &Path) -> Result<Vec<(u64, Journal)>, OpenError> {
    let unusable = |cause| OpenError::Directory { path: path.to_owned(), cause };
    // Not while another process writes them.
    let _lock = directory::lock(path)?;
    let found = journal::scan_all(path).map_err(unusable)?;
    for (number, journal) in found.iter().filter(|(_, journal)| !journal.holes.is_empty()) {
        for hole in &journal.holes {
            let (from, to, ids) = (hole.at.start, hole.at.end, hole.ids.join(", "));
            tracing::error!(
                number,
                from,
                to,
                ids,
                "a journal of the log is damaged; the damaged file is kept"
            );
        }
        journal::mend(path, *number, journal).map_err(unusable)?;
    }
    if found.is_empty() && directory::is_marked(path) {
        // Over a journal that it makes itself, fjall begins to number writes anew: old records would hide new ones.
        std::fs::write(room::journal_path(path, 0), []).map_err(unusable)?;
    }
    Ok(found)
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
        // The enum is fjall's: its other errors keep their own words.
        error => {
            let dir = path.display();
            let advice =
                format!("{error}; sse-node check-log {dir} says what is damaged, and nothing was changed");
            OpenError::Store(store_error(path, "open the database", &advice))
        }
    }
}

#[cfg(test)]
impl Disk {
    /// Turns what is in the journals into sorted files.
    pub(in crate::broker::embedded) fn sort(&self) {
        let Spaces { meta, log, seen, seen_by_age, mail, mail_by_age, states, marks } = &self.spaces;
        for space in [meta, log, seen, seen_by_age, mail, mail_by_age, states, marks] {
            space.inner().rotate_memtable_and_wait().unwrap();
        }
    }

    /// Whether no table holds anything but the numbers.
    pub(in crate::broker::embedded) fn is_empty(&self) -> bool {
        let Spaces { meta: _, log, seen, seen_by_age, mail, mail_by_age, states, marks } = &self.spaces;
        let snapshot = self.database.read_tx();
        [log, seen, seen_by_age, mail, mail_by_age, states, marks]
            .iter()
            .all(|space| snapshot.first_key_value(space).is_none())
    }
}
