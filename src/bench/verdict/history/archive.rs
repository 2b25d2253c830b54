//! A run's directory: what is written there at its end, and how it is read again. `verdict.json` is written last and names
//! the others with their checksums, so that a run that was cut off is not taken for a whole one.
//! Read [`store`] first, then [`Archive::open`].

use std::io::Read as _;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::case::{JudgedRun, Ledgers, StoredRun};
use super::facts::{PlanMismatch, StoredFacts};
use super::files::{ArchiveError, Entry, open, write};
use super::frame::FORMAT;
use super::section::{CLIENTS_A_BLOCK, Section, SectionError};
use crate::bench::metrics::recorder::Recorder;
use crate::bench::verdict::ledger::{Account, Anomaly, Example};
use crate::bench::verdict::verdict::Verdict;

/// What was run and what is known of it.
pub(super) const CASE: &str = "case.json";
/// The books and the measurements.
pub(super) const BOOKS: &str = "books.bin";
/// What went wrong, a line each.
pub(super) const ANOMALIES: &str = "anomalies.jsonl";
/// What the run came to.
pub(super) const VERDICT: &str = "verdict.json";

/// Files of a run's evidence, the verdict first: without it a directory is no whole run.
pub const EVIDENCE: [&str; 5] = [VERDICT, CASE, BOOKS, ANOMALIES, super::writer::HISTORY];

/// `case.json`.
#[derive(Debug, Serialize, Deserialize)]
struct StoredRunFile {
    format: u16,
    /// Version of the sse-bench that wrote it.
    version: String,
    #[serde(flatten)]
    facts: StoredFacts,
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
pub fn store(
    dir: &Path,
    case: &StoredRun,
    judgement: &JudgedRun,
    others: Vec<Entry>,
) -> Result<(), ArchiveError> {
    let mut files = others;
    let file = StoredRunFile {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        facts: case.facts.clone(),
    };
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

fn write_books(out: &mut impl Write, case: &StoredRun) -> io::Result<()> {
    let books = &case.books;
    for book in &books.publishes {
        Section::write_publishes(out, book)?;
    }
    if let Some(book) = &books.sentinels {
        Section::write_sentinels(out, book)?;
    }
    for slice in books.subscribers.chunks(CLIENTS_A_BLOCK) {
        Section::write_clients(out, slice)?;
    }
    if let Some(book) = &books.audit {
        Section::write_audit(out, book)?;
    }
    Section::write_measurements(out, &case.recorder)?;
    Section::End.write(out)
}

/// A kind's count comes before its examples.
fn write_anomalies(out: &mut impl Write, anomalies: &[Anomaly]) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        kind: crate::bench::verdict::ledger::AnomalyKind,
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

/// A run's directory, read again.
#[derive(Debug)]
pub struct Archive {
    /// What is judged.
    pub case: StoredRun,
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
        let file: StoredRunFile = read_json(&path)?;
        let plan = file.facts.plan().map_err(|error| match error {
            PlanMismatch::Scenario(_) | PlanMismatch::Another => {
                let why = format!("{error}; it was written by sse-bench {}", file.version);
                ArchiveError::Version { path, why }
            }
        })?;
        let (books, recorder) = read_books(&dir.join(BOOKS), &plan)?;
        let added = (!file.facts.merged.is_empty()).then(|| decision.account.clone());
        Ok(Self { case: StoredRun { plan, books, recorder, facts: file.facts, added }, decision })
    }
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

fn read_books(
    path: &Path,
    plan: &crate::bench::scenario::plan::Plan,
) -> Result<(Ledgers, Recorder), ArchiveError> {
    let damaged = |why: String| ArchiveError::Damaged { path: path.to_owned(), why };
    let mut from = open(path)?;
    let mut books = Ledgers::default();
    let mut recorder = Recorder::default();
    loop {
        let block = Section::read(plan, &mut from).map_err(|error| match error {
            SectionError::CorruptFrame(_) | SectionError::Book(_) | SectionError::Kind(_) => {
                damaged(error.to_string())
            }
        })?;
        match block {
            Some(Section::Clients(clients)) => books.subscribers.extend(clients),
            Some(Section::Publishes(book)) => books.publishes.push(book),
            Some(Section::Sentinels(book)) => books.sentinels = Some(book),
            Some(Section::Audit(book)) => books.audit = Some(book),
            Some(Section::Measurements(more)) => recorder.merge(more),
            Some(Section::End) => return Ok((books, recorder)),
            None => return Err(damaged("it ends before its last piece".to_owned())),
        }
    }
}
