//! Looks at the log of a node that does not run, and mends it. Both work on a copy, and must never change the directory
//! itself: sorted files are never written again, so the copy shares them. Read [`check`] first.

use std::fs;
use std::path::{Path, PathBuf};

use super::database::Disk;
use super::journal::{self, Journal};
use super::{directory, known};
use crate::broker::{Bounds, Durability, LogLimits, Lost, OpenError, StoreError};

/// What is in the directory of a log.
#[derive(Debug)]
pub struct Report {
    /// What is damaged, a line each.
    pub damage: Vec<String>,
    /// What is there, and what is missing.
    pub content: Result<(Bounds, Option<Lost>), OpenError>,
    /// Where the directory was moved that was repaired.
    pub kept: Option<PathBuf>,
}

impl Report {
    /// Whether nothing is damaged or missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty() && matches!(self.content, Ok((_, None)))
    }
}

/// Checks a log: every journal and every event.
///
/// # Errors
/// The directory is in use, or cannot be read or copied.
pub fn check(path: &Path) -> Result<Report, OpenError> {
    inspect(path, |_| Ok(None))
}

/// Puts what is whole in a log into its place, and keeps the damaged directory beside it.
///
/// # Errors
/// The directory is in use, or cannot be read, copied or moved.
pub fn repair(path: &Path) -> Result<Report, OpenError> {
    inspect(path, |copy| {
        let kept = free_name(path, "damaged");
        fs::rename(path, &kept)?;
        fs::rename(copy, path)?;
        Ok(Some(kept))
    })
}

fn inspect(
    path: &Path,
    replace: impl FnOnce(&Path) -> std::io::Result<Option<PathBuf>>,
) -> Result<Report, OpenError> {
    let unusable = |cause| OpenError::Directory { path: path.to_owned(), cause };
    let path = &path.components().collect::<PathBuf>();
    // Not made where it is missing, as a node would.
    fs::read_dir(path).map_err(unusable)?;
    let lock = directory::lock(path)?;
    let journals = journal::scan_all(path).map_err(unusable)?;
    let mut damage = damage(path, &journals);
    let copy = free_name(path, "copy");
    copy_log(path, &copy).and_then(|()| directory::mark(&copy)).map_err(unusable)?;
    let content = open(&copy);
    let is_new = |(bounds, lost): &(Bounds, Option<Lost>)| {
        known::read(path).map_or(lost.is_some(), |known| known.epoch != bounds.epoch)
    };
    if content.as_ref().is_ok_and(|content| !damage.is_empty() || is_new(content)) {
        let kept = replace(&copy).map_err(unusable)?;
        drop(lock);
        remove(&copy).map_err(unusable)?;
        return Ok(Report { damage, content, kept });
    }
    if let Err(error) = &content {
        damage.push(format!("the tables cannot be read: {}", causes(error)));
    }
    remove(&copy).map_err(unusable)?;
    Ok(Report { damage, content, kept: None })
}

fn causes(error: &OpenError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn remove(copy: &Path) -> std::io::Result<()> {
    if copy.try_exists()? { fs::remove_dir_all(copy) } else { Ok(()) }
}

/// Opens the copy, which mends its journals and counts everything. A database that is damaged may panic.
fn open(copy: &Path) -> Result<(Bounds, Option<Lost>), OpenError> {
    let path = copy.to_owned();
    let opened = std::thread::spawn(move || {
        let disk = Disk::open_as(&path, &LogLimits::default(), Durability::Accepted, true)?;
        let bounds = disk.read(|tables| Ok(tables.meta().bounds())).map_err(OpenError::Store)?;
        disk.close().map_err(OpenError::Store)?;
        Ok((bounds, disk.lost()))
    });
    opened.join().unwrap_or_else(|_| {
        let (place, cause) =
            (copy.display().to_string(), "the database panicked over what it read".to_owned());
        Err(OpenError::Store(StoreError { operation: "open the database", place, cause }))
    })
}

fn damage(path: &Path, journals: &[(u64, Journal)]) -> Vec<String> {
    let mut damage = Vec::new();
    if !directory::is_marked(path) {
        damage.push("the file version is missing or damaged".to_owned());
    }
    if path.join(known::NAME).exists() && known::read(path).is_none() {
        damage.push(
            "the file numbers is damaged: what is missing at the end of the log is not known".to_owned(),
        );
    }
    if journals.is_empty() {
        damage.push("there is no journal".to_owned());
    }
    damage.extend(directory::incomplete_table(path).map(|table| format!("{table} is missing")));
    for (number, journal) in journals {
        for hole in &journal.holes {
            let (from, to) = (hole.at.start, hole.at.end);
            let ids = if hole.ids.is_empty() { "none".to_owned() } else { hole.ids.join(", ") };
            damage
                .push(format!("{number}.jnl: bytes {from} to {to} are damaged; message ids in them: {ids}"));
        }
    }
    for pair in journals.windows(2) {
        if let [(before, journal), (number, _)] = pair {
            if before + 1 != *number {
                damage.push(format!("journals between {before}.jnl and {number}.jnl are missing"));
            }
            if journal.torn > 0 {
                damage.push(format!("{before}.jnl: the last {} bytes are no whole batch", journal.torn));
            }
        }
    }
    damage
}

/// A name beside a directory that nothing has yet.
fn free_name(path: &Path, what: &str) -> PathBuf {
    let named = |n: u64| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{what}-{n}"));
        PathBuf::from(name)
    };
    (0..).map(named).find(|path| !path.exists()).unwrap_or_else(|| named(0))
}

fn copy_log(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    let is_sorted = from.file_name().is_some_and(|name| name == "tables");
    for file in fs::read_dir(from)? {
        let file = file?;
        let target = to.join(file.file_name());
        if file.file_type()?.is_dir() {
            copy_log(&file.path(), &target)?;
        } else if !is_sorted || fs::hard_link(file.path(), &target).is_err() {
            fs::copy(file.path(), target)?;
        }
    }
    Ok(())
}
