//! Prepares a directory before a log is opened in it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::{journal, known};
use crate::broker::OpenError;

/// fjall writes this file when a database is complete, and looks for it to know that there is one.
const COMPLETE: &str = "version";
/// What stands in it.
const VERSION: &[u8] = b"FJL\x03";
/// fjall holds this file locked while it has a database open.
const LOCK: &str = "lock";
/// The tables, each in a directory of its own.
const TABLES: &str = "keyspaces";
/// Files that are left behind if the process dies while a database is being created.
const BEGINNINGS: [&str; 3] = [LOCK, "0.jnl", TABLES];

/// Makes the directory if it is missing, refuses one that holds other files, and removes a database whose creation was
/// interrupted: it is empty, and fjall refuses to create one over it. A database that holds something and lacks only its
/// mark is marked again.
pub(super) fn prepare(path: &Path) -> Result<(), OpenError> {
    let unusable = |cause| OpenError::Directory { path: path.to_owned(), cause };
    fs::create_dir_all(path).map_err(unusable)?;
    if let Some(file) = incomplete_table(path) {
        let why =
            format!("{file} is missing; nothing was changed, and sse-node check-log says what is there");
        return Err(unusable(io::Error::new(io::ErrorKind::NotFound, why)));
    }
    if path.join(COMPLETE).try_exists().map_err(unusable)? {
        return Ok(());
    }
    if holds_something(path).map_err(unusable)? {
        tracing::error!(path = %path.display(), "the log lacks its file {COMPLETE}; it is written again");
        return mark(path).map_err(unusable);
    }
    let mut begun = false;
    for file in fs::read_dir(path).map_err(unusable)? {
        let name = file.map_err(unusable)?.file_name();
        if !BEGINNINGS.iter().any(|known| name == *known) {
            let foreign = format!("it holds {}, which is not a file of a log", name.to_string_lossy());
            return Err(unusable(io::Error::new(io::ErrorKind::DirectoryNotEmpty, foreign)));
        }
        begun = true;
    }
    if begun { clear(path) } else { Ok(()) }
}

/// The file that a table with events lacks: fjall takes such a table for one that was never finished, and deletes it.
/// Without its first table, which names the others, it would delete them all. Events may stand in the journals only;
/// nothing is written there before every table is finished.
pub(super) fn incomplete_table(path: &Path) -> Option<String> {
    const CURRENT: &str = "current";
    let tables = path.join(TABLES);
    let mut names: Vec<_> =
        fs::read_dir(&tables).ok()?.filter_map(|table| Some(table.ok()?.file_name())).collect();
    names.sort();
    let holds_files =
        |table: &Path| fs::read_dir(table.join("tables")).is_ok_and(|mut files| files.next().is_some());
    let first = tables.join("0").join(CURRENT);
    let has_others = names.iter().any(|name| name != "0");
    if has_others && !first.exists() {
        return Some(first.display().to_string());
    }
    let lacks = |table: &PathBuf| table.is_dir() && !table.join(CURRENT).exists();
    let lacking: Vec<_> = names.iter().map(|name| tables.join(name)).filter(lacks).collect();
    let is_begun =
        lacking.iter().any(|table| holds_files(table)) || !lacking.is_empty() && holds_batches(path);
    lacking.first().filter(|_| is_begun).map(|table| table.join(CURRENT).display().to_string())
}

/// A creation that was interrupted has neither tables nor a batch in a journal.
fn holds_something(path: &Path) -> io::Result<bool> {
    let tables = path.join(TABLES);
    let has_tables = tables.try_exists()? && fs::read_dir(tables)?.next().is_some();
    Ok(has_tables || known::read(path).is_some() || holds_batches(path))
}

fn holds_batches(path: &Path) -> bool {
    journal::scan_all(path).is_ok_and(|all| all.iter().any(|(_, journal)| !journal.is_empty()))
}

/// Whether the mark of a database is there, and whole.
pub(super) fn is_marked(path: &Path) -> bool {
    fs::read(path.join(COMPLETE)).is_ok_and(|text| text == VERSION)
}

/// Marks a database as complete.
pub(super) fn mark(path: &Path) -> io::Result<()> {
    fs::write(path.join(COMPLETE), VERSION)
}

/// The lock of a directory, released when dropped: closing the file is not enough, since a child that another thread starts
/// has it open too until it executes its program.
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "cannot unlock the directory of the log");
        }
    }
}

/// Locks a directory.
///
/// # Errors
/// Somebody has it open, or it cannot be written.
pub(super) fn lock(path: &Path) -> Result<Lock, OpenError> {
    let unusable = |cause| OpenError::Directory { path: path.to_owned(), cause };
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK));
    let lock = lock.map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(Lock(lock)),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(fs::TryLockError::Error(cause)) => Err(unusable(cause)),
    }
}

fn clear(path: &Path) -> Result<(), OpenError> {
    let unusable = |cause| OpenError::Directory { path: path.to_owned(), cause };
    // A process that is creating a database here holds the lock.
    let _lock = lock(path)?;
    if path.join(COMPLETE).try_exists().map_err(unusable)? {
        return Ok(());
    }
    let [_, journal, tables] = BEGINNINGS.map(|name| path.join(name));
    if journal.try_exists().map_err(unusable)? {
        fs::remove_file(journal).map_err(unusable)?;
    }
    if tables.try_exists().map_err(unusable)? {
        fs::remove_dir_all(tables).map_err(unusable)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a child has between fork and exec.
    #[test]
    fn a_lock_ends_with_its_owner_although_somebody_has_the_file_open() {
        let directory = tempfile::tempdir().unwrap();
        let first = lock(directory.path()).unwrap();
        assert!(matches!(lock(directory.path()), Err(OpenError::InUse { .. })));
        let inherited = first.0.try_clone().unwrap();
        drop(first);
        drop(lock(directory.path()).unwrap());
        drop(inherited);
    }
}
