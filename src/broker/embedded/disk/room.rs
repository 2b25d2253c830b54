//! What the directory of a log offers: free space, and that it is still there. The database takes no write after one
//! that failed, so events are refused before a write can fail. Read [`Room::allowed`] first.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The ending of a journal's name; a number stands before it.
pub(super) const JOURNAL: &str = "jnl";
/// File system entries that a log may need at once: journals and sorted files.
const FILES: u64 = 64;
const MIB: u64 = 1 << 20;

/// What may be written now. The texts say why not more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker::embedded) enum Allowed {
    Everything,
    /// What frees space may be written, and what is small: confirmations, trims.
    NoEvents(String),
    Nothing(String),
}

/// The free space of the disk, and the journal that is written.
#[derive(Debug)]
pub(super) struct Room {
    directory: PathBuf,
    /// From here on events are refused; 0: never.
    reserve: u64,
    /// Events are refused until there is a quarter more than the reserve.
    is_full: bool,
    /// What the last look found.
    free: Option<u64>,
    journal: Option<Journal>,
}

/// A journal, and the file that it was: a file of the same name may be another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Journal {
    number: u64,
    file: (u64, u64),
}

impl Room {
    pub(super) fn new(directory: &Path, reserve: u64) -> Self {
        let journal = newest_journal(directory);
        Self { directory: directory.to_owned(), reserve, is_full: false, free: None, journal }
    }

    /// Whether events are refused, and the free bytes that the last look found.
    pub(super) fn state(&self) -> (bool, Option<u64>) {
        (self.is_full, self.free)
    }

    /// Looks at the disk.
    pub(super) fn allowed(&mut self) -> std::io::Result<Allowed> {
        let disk = rustix::fs::statvfs(&self.directory)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        self.free = Some(free);
        // A file system without a fixed number of files says 0 of 0.
        let is_out_of_files = self.reserve > 0 && disk.f_files > 0 && disk.f_favail < FILES;
        Ok(self.judge(free, is_out_of_files))
    }

    fn judge(&mut self, free: u64, is_out_of_files: bool) -> Allowed {
        let reserve = self.reserve;
        let enough = if self.is_full { reserve.saturating_add(reserve / 4) } else { reserve };
        let was_full = std::mem::replace(&mut self.is_full, free < enough || is_out_of_files);
        if was_full != self.is_full {
            let (free, reserve) = (free / MIB, reserve / MIB);
            if self.is_full {
                tracing::warn!(free, reserve, is_out_of_files, "the disk is full: events are refused");
            } else {
                tracing::info!(free, reserve, "the disk has room again: events are taken");
            }
        }
        if !self.is_full {
            return Allowed::Everything;
        }
        let why = if is_out_of_files {
            format!("the file system has no room for {FILES} more files")
        } else {
            format!(
                "the disk has {} MiB left; events are refused below {} MiB (--min-free-disk), and taken again from {} MiB on",
                free / MIB,
                reserve / MIB,
                (reserve + reserve / 4).div_ceil(MIB)
            )
        };
        if free < reserve / 4 { Allowed::Nothing(why) } else { Allowed::NoEvents(why) }
    }

    /// Whether the journal that is written still stands in the directory: what is written to a removed file is lost
    /// with the process.
    pub(super) fn is_there(&mut self) -> bool {
        let Some(journal) = self.journal else { return false };
        if file(&journal_path(&self.directory, journal.number)) == Some(journal.file) {
            return true;
        }
        // A journal whose events are all in sorted files is removed, once there is a newer one.
        let newest = newest_journal(&self.directory).filter(|newest| newest.number > journal.number);
        self.journal = newest.or(self.journal);
        newest.is_some()
    }
}

pub(super) fn journal_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number}.{JOURNAL}"))
}

/// Device and number of a file.
fn file(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn newest_journal(directory: &Path) -> Option<Journal> {
    let number = journals(directory).ok()?.pop()?;
    file(&journal_path(directory, number)).map(|file| Journal { number, file })
}

/// The numbers of the journals in a directory, the oldest first.
pub(super) fn journals(directory: &Path) -> std::io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for file in fs::read_dir(directory)? {
        let name = file?.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_suffix(JOURNAL)?.strip_suffix('.')?.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_refused_below_the_reserve_and_taken_again_with_a_quarter_more() {
        let mut room = Room::new(Path::new("/"), 400 * MIB);
        for (free, expected) in [
            (500, "everything"),
            (400, "everything"),
            (399, "no events"),
            (100, "no events"),
            (99, "nothing"),
            (400, "no events"),
            (499, "no events"),
            (500, "everything"),
            (400, "everything"),
        ] {
            let allowed = match room.judge(free * MIB, false) {
                Allowed::Everything => "everything",
                Allowed::NoEvents(_) => "no events",
                Allowed::Nothing(_) => "nothing",
            };
            assert_eq!(allowed, expected, "{free} MiB are free");
        }
        assert!(
            matches!(room.judge(500 * MIB, true), Allowed::NoEvents(why) if why.contains("64 more files"))
        );
    }

    #[test]
    fn a_journal_is_there_until_its_file_is_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let at = |number| journal_path(directory.path(), number);
        fs::write(at(3), "").unwrap();
        let mut room = Room::new(directory.path(), 0);
        assert!(room.is_there());
        // Its events went into sorted files, and there is a newer one.
        fs::write(at(5), "").unwrap();
        fs::remove_file(at(3)).unwrap();
        assert!(room.is_there());
        // The same name, another file.
        fs::write(at(4), "").unwrap();
        fs::rename(at(4), at(5)).unwrap();
        assert!(!room.is_there());
        fs::remove_dir_all(directory.path()).unwrap();
        assert!(!room.is_there());
    }
}
