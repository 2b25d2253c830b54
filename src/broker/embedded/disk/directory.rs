//! Prepares a directory before a log is opened in it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use crate::broker::OpenError;

/// fjall writes this file when a database is complete, and looks for it to know that there is one.
const COMPLETE: &str = "version";
/// fjall holds this file locked while it has a database open.
const LOCK: &str = "lock";
/// Files that are left behind if the process dies while a database is being created.
const BEGINNINGS: [&str; 3] = [LOCK, "0.jnl", "keyspaces"];

/// Makes the directory if it is missing, refuses one that holds other files, and removes a database whose creation was
/// interrupted: it is empty, and fjall refuses to create one over it.
pub(super) fn prepare(path: &Path) -> Result<(), OpenError> {
    let unusable = |cause| OpenError::Directory { path: path.to_owned(), cause };
    fs::create_dir_all(path).map_err(unusable)?;
    if path.join(COMPLETE).try_exists().map_err(unusable)? {
        return Ok(());
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

fn clear(path: &Path) -> Result<(), OpenError> {
    let unusable = |cause| OpenError::Directory { path: path.to_owned(), cause };
    // A process that is creating a database here holds the lock. Ours is released with the file at the end.
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK));
    let lock: File = lock.map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Err(OpenError::InUse { path: path.to_owned() }),
        Err(fs::TryLockError::Error(cause)) => return Err(unusable(cause)),
    }
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
