//! A run's directory: what is written there at its end, and how it is read again. `verdict.json` is written last and names
//! the others with their checksums, so that a run that was cut off is not taken for a whole one.
//! Read [`store`] first, then [`Archive::open`].

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::block::{Block, BlockError, CLIENTS_A_BLOCK};
use super::case::{Books, Case, Facts, Judgement, Unplanned};
use super::seal::FORMAT;
use crate::bench::ledger::{Account, Anomaly, Example};
use crate::bench::recorder::Recorder;
use crate::bench::verdict::Verdict;

/// What was run and what is known of it.
pub(super) const CASE: &str = "case.json";
/// The books and the measurements.
pub(super) const BOOKS: &str = "books.bin";
/// What went wrong, a line each.
pub(super) const ANOMALIES: &str = "anomalies.jsonl";
/// What the run came to.
pub(super) const VERDICT: &str = "verdict.json";

/// Files of a run's evidence, the verdict first: without it a directory is no whole run.
pub const EVIDENCE: [&str; 5] = [VERDICT, CASE, BOOKS, ANOMALIES, super::scribe::HISTORY];

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

/// `case.json`.
#[derive(Debug, Serialize, Deserialize)]
struct CaseFile {
    format: u16,
    /// Version of the sse-bench that wrote it.
    version: String,
    #[serde(flatten)]
    facts: Facts,
}

/// `verdict.json`: what the run came to, and from what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// [`FORMAT`].
    pub format: u16,
    /// Exit code of the run.
    pub exit_code: u8,
    /// Its verdict.
    pub verdict: Verdict,
    /// Its account.
    pub account: Account,
    /// What it was made from.
    pub files: Vec<Entry>,
}

/// Stores a run: the case first, then what it came to. `others` are files of the directory that were written before.
///
/// # Errors
/// [`ArchiveError`]: then the directory holds no verdict, and is never taken for a whole run.
pub fn store(dir: &Path, case: &Case, judgement: &Judgement, others: Vec<Entry>) -> Result<(), ArchiveError> {
    let mut files = others;
    let file =
        CaseFile { format: FORMAT, version: env!("CARGO_PKG_VERSION").to_owned(), facts: case.facts.clone() };
    files.push(write(dir, CASE, |out| write_json(out, &file))?);
    files.push(write(dir, BOOKS, |out| write_books(out, case))?);
    files.push(write(dir, ANOMALIES, |out| write_anomalies(out, &judgement.anomalies))?);
    let verdict = judgement.report.verdict.clone();
    let decision = Decision {
        format: FORMAT,
        exit_code: verdict.exit.code(),
        verdict,
        account: judgement.account.clone(),
        files,
    };
    write(dir, VERDICT, |out| write_json(out, &decision)).map(|_| ())
}

fn write_json<T: Serialize>(out: &mut impl Write, value: &T) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    out.write_all(b"\n")
}

fn write_books(out: &mut impl Write, case: &Case) -> io::Result<()> {
    let books = &case.books;
    for book in &books.publishes {
        Block::write_publishes(out, book)?;
    }
    if let Some(book) = &books.sentinels {
        Block::write_sentinels(out, book)?;
    }
    for slice in books.subscribers.chunks(CLIENTS_A_BLOCK) {
        Block::write_clients(out, slice)?;
    }
    if let Some(book) = &books.audit {
        Block::write_audit(out, book)?;
    }
    Block::write_measurements(out, &case.recorder)?;
    Block::End.write(out)
}

/// A kind's count comes before its examples.
fn write_anomalies(out: &mut impl Write, anomalies: &[Anomaly]) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        kind: crate::bench::ledger::AnomalyKind,
        #[serde(flatten)]
        example: &'a Example,
    }
    for anomaly in anomalies {
        let count = serde_json::json!({
            "kind": anomaly.kind, "count": anomaly.count, "by_fault": anomaly.by_fault,
            "examples": anomaly.examples.len(),
        });
        writeln!(out, "{count}")?;
        for example in &anomaly.examples {
            serde_json::to_writer(&mut *out, &Line { kind: anomaly.kind, example })?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
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

/// A run's directory, read again.
#[derive(Debug)]
pub struct Archive {
    /// What is judged.
    pub case: Case,
    /// What the run came to.
    pub decision: Decision,
}

impl Archive {
    /// Reads a directory. Every file that the run stored is looked at, from its first byte to its last.
    ///
    /// # Errors
    /// [`ArchiveError`] with the file and what is wrong with it.
    pub fn open(dir: &Path) -> Result<Self, ArchiveError> {
        let decision: Decision = read_json(&dir.join(VERDICT))?;
        for entry in &decision.files {
            entry.verify(dir)?;
        }
        for name in [CASE, BOOKS] {
            if !decision.files.iter().any(|entry| entry.name == name) {
                let why = format!("it does not name {name}");
                return Err(ArchiveError::Damaged { path: dir.join(VERDICT), why });
            }
        }
        let path = dir.join(CASE);
        let file: CaseFile = read_json(&path)?;
        let plan = file.facts.plan().map_err(|error| match error {
            Unplanned::Scenario(_) | Unplanned::Another => {
                let why = format!("{error}; it was written by sse-bench {}", file.version);
                ArchiveError::Version { path, why }
            }
        })?;
        let (books, recorder) = read_books(&dir.join(BOOKS), &plan)?;
        let added = (!file.facts.merged.is_empty()).then(|| decision.account.clone());
        Ok(Self { case: Case { plan, books, recorder, facts: file.facts, added }, decision })
    }
}

impl Entry {
    /// Where it is. A name from a file does not lead out of the directory.
    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(Path::new(&self.name).file_name().unwrap_or_default())
    }

    fn verify(&self, dir: &Path) -> Result<(), ArchiveError> {
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

fn open(path: &Path) -> Result<BufReader<File>, ArchiveError> {
    let opened = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ArchiveError::Missing(path.to_owned()),
        _ => ArchiveError::Io { path: path.to_owned(), source },
    });
    Ok(BufReader::new(opened?))
}

/// Reads the format first: what another version wrote is told so, not misread.
fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, ArchiveError> {
    #[derive(Deserialize)]
    struct Head {
        format: u16,
    }
    let damaged =
        |why: serde_json::Error| ArchiveError::Damaged { path: path.to_owned(), why: why.to_string() };
    let mut text = String::new();
    open(path)?
        .read_to_string(&mut text)
        .map_err(|source| ArchiveError::Io { path: path.to_owned(), source })?;
    let Head { format } = serde_json::from_str(&text).map_err(damaged)?;
    if format != FORMAT {
        let why = format!("it has format {format}, and this sse-bench reads format {FORMAT}");
        return Err(ArchiveError::Version { path: path.to_owned(), why });
    }
    serde_json::from_str(&text).map_err(damaged)
}

fn read_books(path: &Path, plan: &crate::bench::plan::Plan) -> Result<(Books, Recorder), ArchiveError> {
    let damaged = |why: String| ArchiveError::Damaged { path: path.to_owned(), why };
    let mut from = open(path)?;
    let mut books = Books::default();
    let mut recorder = Recorder::default();
    loop {
        let block = Block::read(plan, &mut from).map_err(|error| match error {
            BlockError::Damage(_) | BlockError::Book(_) | BlockError::Kind(_) => damaged(error.to_string()),
        })?;
        match block {
            Some(Block::Clients(clients)) => books.subscribers.extend(clients),
            Some(Block::Publishes(book)) => books.publishes.push(book),
            Some(Block::Sentinels(book)) => books.sentinels = Some(book),
            Some(Block::Audit(book)) => books.audit = Some(book),
            Some(Block::Measurements(more)) => recorder.merge(more),
            Some(Block::End) => return Ok((books, recorder)),
            None => return Err(damaged("it ends before its last piece".to_owned())),
        }
    }
}
