//! Files of a run's directory, written and read with their checksums. Knows nothing of their content.
//! Read [`Entry`] first.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How much of a run is stored as evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum History {
    /// No evidence: the run cannot be judged again.
    Off,
    /// Ledgers, measurements and anomalies.
    #[default]
    Anomalies,
    /// Also every arrival and every publish, as [`super::Op`]s.
    All,
}

/// Why the directory of a run could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file does not exist.
    #[error(
        "{0:?} is missing: the run stored no evidence (--history off), did not end, or this is not a run directory"
    )]
    Missing(PathBuf),
    /// A file cannot be read or written.
    #[error("{path:?}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// A file has not the content that was written.
    #[error("{path:?} is damaged: {why}")]
    Damaged { path: PathBuf, why: String },
    /// A file is intact, but of a version that cannot be read.
    #[error("{path:?} is of another version: {why}")]
    Version { path: PathBuf, why: String },
}

impl ArchiveError {
    /// Whether the directory holds nothing that this version can judge. Otherwise something is broken.
    #[must_use]
    pub fn is_unsuitable(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Version { .. })
    }
}

/// A file of the directory, as it was at the end of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Name within the directory.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// CRC-32 of the content.
    pub crc32: u32,
}

/// Writes a file and returns its entry.
pub(super) fn write(
    dir: &Path,
    name: &str,
    content: impl FnOnce(&mut Checksummed<BufWriter<File>>) -> io::Result<()>,
) -> Result<Entry, ArchiveError> {
    let path = dir.join(name);
    let written = (|| {
        let mut out = Checksummed::new(BufWriter::new(File::create(&path)?));
        content(&mut out)?;
        out.flush()?;
        Ok((out.bytes, out.sum.finalize()))
    })();
    let (bytes, crc32) = written.map_err(|source| ArchiveError::Io { path, source })?;
    Ok(Entry { name: name.to_owned(), bytes, crc32 })
}

/// A reader or writer that counts the bytes that pass and sums their CRC-32.
#[derive(Debug)]
pub(super) struct Checksummed<T> {
    inner: T,
    pub(super) sum: crc32fast::Hasher,
    pub(super) bytes: u64,
}

impl<T> Checksummed<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, sum: crc32fast::Hasher::new(), bytes: 0 }
    }
}

impl<T: Write> Write for Checksummed<T> {
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

impl<T: Read> Read for Checksummed<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.sum.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

impl Entry {
    /// The path of the file. Only the last part of the name counts, so that it never leads out of the directory.
    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(Path::new(&self.name).file_name().unwrap_or_default())
    }

    pub(super) fn verify(&self, dir: &Path) -> Result<(), ArchiveError> {
        let path = self.path(dir);
        let mut file = Checksummed::new(open(&path)?);
        io::copy(&mut file, &mut io::sink())
            .map_err(|source| ArchiveError::Io { path: path.clone(), source })?;
        if file.bytes != self.bytes {
            let why = format!("it has {} bytes instead of {}", file.bytes, self.bytes);
            return Err(ArchiveError::Damaged { path, why });
        }
        if file.sum.finalize() != self.crc32 {
            return Err(ArchiveError::Damaged { path, why: "its checksum is wrong".to_owned() });
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

/// The name of the full history of a worker.
#[must_use]
pub fn worker_history(worker: &str) -> String {
    format!("history-{worker}.jsonl.gz")
}
