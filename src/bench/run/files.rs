//! The files of a run's directory. Read [`read`] first.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::de::DeserializeOwned;

use super::live;
use crate::bench::load::clients::share::Share;
use crate::bench::load::workers::partition::WORKERS_MAX;
use crate::bench::report::{
    self, LOG_FILE, LogError, REPORT_FILE, Report, ReportFiles, SERIES_FILE, TimeSeries,
};
use crate::bench::scenario::OutputFormat;
use crate::bench::verdict::history;

/// The default directory of a run: `runs/<name>-<time>`.
#[must_use]
pub fn default_dir(name: &str, now: SystemTime) -> PathBuf {
    let time = humantime::format_rfc3339_millis(now).to_string();
    let time: String = time.chars().filter(|c| !matches!(c, ':' | '-')).collect();
    Path::new("runs").join(format!("{name}-{time}"))
}

/// Which parts of a stored run to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// The report alone.
    Report,
    /// The report and the data over time.
    Series,
}

/// Why a stored run cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// A file is missing or not readable.
    #[error("cannot read {path:?}: is {:?} the directory of a finished run?", path.parent().unwrap_or(path))]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file has another content.
    #[error("{path:?} does not have the content that a run writes")]
    Json {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    /// The histogram log has another content.
    #[error("{path:?} does not have the content that a run writes")]
    Log {
        path: PathBuf,
        #[source]
        source: LogError,
    },
    /// A later version wrote the file.
    #[error("{path:?} has schema {found}; this version reads up to {known}")]
    Version { path: PathBuf, found: u32, known: u32 },
}

/// Reads a stored run.
///
/// # Errors
/// [`StoredError`] where the directory does not hold a run.
pub fn read(dir: &Path, needs: Needs) -> Result<ReportFiles, StoredError> {
    let path = dir.join(REPORT_FILE);
    let report: Report = read_json(&path)?;
    check_version(path, report.schema, report::SCHEMA_VERSION)?;
    if needs == Needs::Report {
        return Ok(ReportFiles { report, time_series: TimeSeries::default(), is_full: false });
    }
    let path = dir.join(SERIES_FILE);
    let mut time_series: TimeSeries = read_json(&path)?;
    check_version(path, time_series.schema, report::TIME_SERIES_VERSION)?;
    let path = dir.join(LOG_FILE);
    let log = report::read_log(&read_text(&path)?, time_series.slot_seconds);
    time_series.columns = log.map_err(|source| StoredError::Log { path, source })?;
    Ok(ReportFiles { report, time_series, is_full: false })
}

fn check_version(path: PathBuf, found: u32, known: u32) -> Result<(), StoredError> {
    if found == known { Ok(()) } else { Err(StoredError::Version { path, found, known }) }
}

fn read_text(path: &Path) -> Result<String, StoredError> {
    std::fs::read_to_string(path).map_err(|source| StoredError::Read { path: path.to_owned(), source })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, StoredError> {
    serde_json::from_str(&read_text(path)?)
        .map_err(|source| StoredError::Json { path: path.to_owned(), source })
}

/// Deletes an earlier run's files, so that they cannot be mistaken for this run's result if it ends early. Other files
/// stay.
///
/// # Errors
/// The file that could not be deleted, and why.
pub fn forget(dir: &Path) -> Result<(), (PathBuf, io::Error)> {
    let evidence = history::EVIDENCE.into_iter().chain([live::FILE]).map(str::to_owned);
    let shares = (0..WORKERS_MAX).map(|index| Share { index, of: WORKERS_MAX });
    let parts = shares.map(|share| history::worker_history(&share.worker()));
    for name in evidence.chain(parts).chain(report::file_names()) {
        let path = dir.join(name);
        match take_away(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err((path, error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// A symbolic link stays in place, and its target is removed.
fn take_away(path: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(path)?.is_symlink() {
        return File::options().write(true).truncate(true).open(path).map(drop);
    }
    std::fs::remove_file(path)
}

/// Writes the files of every run and the report in each format. Returns what could not be written.
#[must_use]
pub fn write(dir: &Path, told: &ReportFiles, formats: &[OutputFormat]) -> Vec<String> {
    let stored = told.stored().into_iter();
    let unwritten = stored.filter_map(|(name, text)| write_file(&dir.join(name), &text).err());
    unwritten.chain(write_formats(dir, told, formats)).collect()
}

/// Writes the report in each format. Returns what could not be written.
#[must_use]
pub fn write_formats(dir: &Path, told: &ReportFiles, formats: &[OutputFormat]) -> Vec<String> {
    let files = formats.iter().flat_map(|format| told.files(*format));
    files.filter_map(|(name, text)| write_file(&dir.join(name), &text).err()).collect()
}

fn write_file(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn nothing_that_a_run_writes_is_left_of_an_earlier_one() {
        let dir = tempfile::tempdir().unwrap();
        let parts = ["worker-1", "worker-64"].map(history::worker_history);
        let evidence = history::EVIDENCE.map(str::to_owned).into_iter().chain(parts);
        let names: Vec<String> = report::file_names().chain(evidence).collect();
        names.iter().for_each(|name| std::fs::write(dir.path().join(name), "old").unwrap());
        for kept in ["notes.md", "n1.stderr.log"] {
            std::fs::write(dir.path().join(kept), "mine").unwrap();
        }
        forget(dir.path()).unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["n1.stderr.log", "notes.md"]);
        forget(&dir.path().join("nowhere")).unwrap();
        std::os::unix::fs::symlink("notes.md", dir.path().join("report.json")).unwrap();
        forget(dir.path()).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("report.json")).unwrap(), "");
    }

    #[test]
    fn a_directory_names_scenario_and_time() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_303_903_002);
        assert_eq!(default_dir("smoke", time), Path::new("runs/smoke-20261121T233143.002Z"));
    }
}
