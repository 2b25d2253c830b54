//! files

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What is stored of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum History {
    /// Nothing.
    Off,
    /// The books, the measurements, and everything that went wrong.
    #[default]
    Anomalies,
    /// Also every arrival and every publish.
    All,
}

/// Why a directory could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It was not stored, or is gone.
    #[error(
        "{0:?} is missing: the run stored nothing (--history off), was cut off, or this is no run's directory"
    )]
    Missing(PathBuf),
    /// It cannot be read or written.
    #[error("{path:?}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what was written.
    #[error("{path:?} is damaged: {why}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// In what way.
        why: String,
    },
    /// It is whole, and this version cannot read it.
    #[error("{path:?} is of another version: {why}")]
    Version {
        /// Which.
        path: PathBuf,
        /// In what way.
        why: String,
    },
}

impl ArchiveError {
    /// Whether there is nothing to be judged here, for this version at least; else something is broken.
    #[must_use]
    pub fn is_unsuitable(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Version { .. })
    }
}

/// A file of the directory as it was when the run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// CRC-32 of its content.
    pub crc32: u32,
}

/// Writes a file, and tells what it was when it was whole.
pub(super) fn write(
    dir: &Path,
    name: &str,
    content: impl FnOnce(&mut Summing<BufWriter<File>>) -> io::Result<()>,
) -> Result<Entry, ArchiveError> {
    let path = dir.join(name);
    let written = (|| {
        let mut out = Summing::new(BufWriter::new(File::create(&path)?));
        content(&mut out)?;
        out.flush()?;
        Ok((out.bytes, out.sum.finalize()))
    })();
    let (bytes, crc32) = written.map_err(|source| ArchiveError::Io { path, source })?;
    Ok(Entry { name: name.to_owned(), bytes, crc32 })
}

/// Sums up what goes through it.
#[derive(Debug)]
pub(super) struct Summing<T> {
    inner: T,
    pub(super) sum: crc32fast::Hasher,
    pub(super) bytes: u64,
}

impl<T> Summing<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, sum: crc32fast::Hasher::new(), bytes: 0 }
    }
}

impl<T: Write> Write for Summing<T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.sum.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Summing<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.sum.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

impl Entry {
    /// Where it is. A name from a file does not lead out of the directory.
    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(Path::new(&self.name).file_name().unwrap_or_default())
    }

    pub(super) fn verify(&self, dir: &Path) -> Result<(), ArchiveError> {
        let path = self.path(dir);
        let mut file = Summing::new(open(&path)?);
        io::copy(&mut file, &mut io::sink())
            .map_err(|source| ArchiveError::Io { path: path.clone(), source })?;
        if file.bytes != self.bytes {
            let why = format!("it has {} bytes, and {} were written", file.bytes, self.bytes);
            return Err(ArchiveError::Damaged { path, why });
        }
        if file.sum.finalize() != self.crc32 {
            return Err(ArchiveError::Damaged { path, why: "its checksum does not fit".to_owned() });
        }
        Ok(())
    }
}

pub(super) fn open(path: &Path) -> Result<BufReader<File>, ArchiveError> {
    let opened = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ArchiveError::Missing(path.to_owned()),
        _ => ArchiveError::Io { path: path.to_owned(), source },
    });
    Ok(BufReader::new(opened?))
}

/// The file of a worker, beside that.
#[must_use]
pub fn part(worker: &str) -> String {
    format!("history-{worker}.jsonl.gz")
}
