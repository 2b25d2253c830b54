//! The directory of a stored run: how it is written at the end of the run and read again. `verdict.json` is written last
//! and names the other files with their checksums, so that an incomplete directory is never read as a whole run.
//! Read [`store`] first, then [`Archive::open`].

use std::io::Read as _;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::facts::{PlanMismatch, StoredFacts};
use super::files::{ArchiveError, Entry, open, write};
use super::frame::{FORMAT, OLDEST_FORMAT};
use super::section::{CLIENTS_PER_SECTION, Section, SectionError};
use super::stored_run::{JudgedRun, Ledgers, StoredRun};
use crate::bench::metrics::recorder::Recorder;
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::Verdict;
use crate::bench::verdict::diagnosis::Observations;
use crate::bench::verdict::ledger::{Account, Anomaly, AnomalyKind, Example};

/// The scenario and all facts but ledgers and measurements.
pub(super) const CASE: &str = "case.json";
/// The ledgers and the measurements.
pub(super) const LEDGERS: &str = "books.bin";
/// Every anomaly with all examples that were kept, one JSON object a line.
pub(super) const ANOMALIES: &str = "anomalies.jsonl";
/// The verdict, the account, and the checksums of the other files.
pub(super) const VERDICT: &str = "verdict.json";

/// The files of a run's evidence. The verdict is the first: without it the directory is incomplete.
pub const EVIDENCE: [&str; 5] = [VERDICT, CASE, LEDGERS, ANOMALIES, super::writer::HISTORY];

/// The content of `case.json`.
#[derive(Debug, Serialize, Deserialize)]
struct StoredRunFile {
    format: u16,
    /// Version of the sse-bench that wrote it.
    version: String,
    #[serde(flatten)]
    facts: StoredFacts,
}

/// The content of `verdict.json`: the result of a run and the files it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Version of the stored form: [`FORMAT`].
    pub format: u16,
    /// Exit code of the run.
    pub exit_code: u8,
    pub verdict: Verdict,
    pub account: Account,
    /// Every other file of the evidence.
    pub files: Vec<Entry>,
}

/// Writes the evidence of a run, the verdict last. `others`: files of evidence that the directory holds already.
///
/// # Errors
/// [`ArchiveError`]. The directory then holds no verdict and is never read as a whole run.
pub fn store(
    dir: &Path,
    run: &StoredRun,
    judged: &JudgedRun,
    others: Vec<Entry>,
) -> Result<(), ArchiveError> {
    let mut files = others;
    let facts = run.facts.without_secrets().map_err(|error| {
        let why = format!("the scenario cannot be read without its secrets: {error}");
        ArchiveError::Damaged { path: dir.join(CASE), why }
    })?;
    let file = StoredRunFile { format: FORMAT, version: env!("CARGO_PKG_VERSION").to_owned(), facts };
    files.push(write(dir, CASE, |out| write_json(out, &file))?);
    files.push(write(dir, LEDGERS, |out| write_ledgers(out, run))?);
    files.push(write(dir, ANOMALIES, |out| write_anomalies(out, &judged.anomalies))?);
    let verdict = judged.verdict.clone();
    let decision = Decision {
        format: FORMAT,
        exit_code: verdict.exit.code(),
        verdict,
        account: judged.account.clone(),
        files,
    };
    write(dir, VERDICT, |out| write_json(out, &decision)).map(|_| ())
}

fn write_json<T: Serialize>(out: &mut impl Write, value: &T) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    out.write_all(b"\n")
}

fn write_ledgers(out: &mut impl Write, run: &StoredRun) -> io::Result<()> {
    let ledgers = &run.ledgers;
    for ledger in &ledgers.publishes {
        Section::write_publishes(out, ledger)?;
    }
    if let Some(ledger) = &ledgers.sentinels {
        Section::write_sentinels(out, ledger)?;
    }
    for slice in ledgers.subscribers.chunks(CLIENTS_PER_SECTION) {
        Section::write_clients(out, slice)?;
    }
    if let Some(ledger) = &ledgers.audit {
        Section::write_audit(out, ledger)?;
    }
    if let Some(ledger) = &ledgers.probes {
        Section::Probes(ledger.clone()).write(out)?;
    }
    Section::write_measurements(out, &run.recorder)?;
    Section::write_observations(out, &run.observations)?;
    Section::End.write(out)
}

/// Of each kind a line with its count, then a line for each example.
fn write_anomalies(out: &mut impl Write, anomalies: &[Anomaly]) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        kind: AnomalyKind,
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

/// The evidence of a run, read from its directory.
#[derive(Debug)]
pub struct Archive {
    /// What can be judged again.
    pub run: StoredRun,
    /// The result at the end of the run.
    pub decision: Decision,
    /// The same result as the version that ran it wrote it down: without what only later versions know.
    pub(super) as_written: Value,
}

impl Archive {
    /// Reads a directory and verifies the checksum of every file that `verdict.json` names.
    ///
    /// # Errors
    /// [`ArchiveError`], which names the file.
    pub fn open(dir: &Path) -> Result<Self, ArchiveError> {
        let (decision, as_written): (Decision, Value) = read_json(&dir.join(VERDICT))?;
        for entry in &decision.files {
            entry.verify(dir)?;
        }
        for name in [CASE, LEDGERS] {
            if !decision.files.iter().any(|entry| entry.name == name) {
                let why = format!("it does not list {name}");
                return Err(ArchiveError::Damaged { path: dir.join(VERDICT), why });
            }
        }
        let path = dir.join(CASE);
        let (file, _): (StoredRunFile, Value) = read_json(&path)?;
        let plan = file.facts.plan().map_err(|error| match error {
            PlanMismatch::Scenario(_) | PlanMismatch::Later { .. } | PlanMismatch::Another => {
                let why = format!("sse-bench {} wrote the run. {error}", file.version);
                ArchiveError::Version { path, why }
            }
        })?;
        let (ledgers, recorder, observations) = read_ledgers(&dir.join(LEDGERS), &plan)?;
        let added = (!file.facts.merged.is_empty()).then(|| decision.account.clone());
        let run = StoredRun { plan, ledgers, recorder, observations, facts: file.facts, added };
        Ok(Self { run, decision, as_written })
    }
}

/// Reads the format first, so that a file of another version is reported and not misread. Also returns the file as it is.
fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<(T, Value), ArchiveError> {
    let damaged =
        |why: serde_json::Error| ArchiveError::Damaged { path: path.to_owned(), why: why.to_string() };
    let mut text = String::new();
    open(path)?
        .read_to_string(&mut text)
        .map_err(|source| ArchiveError::Io { path: path.to_owned(), source })?;
    let as_written: Value = serde_json::from_str(&text).map_err(damaged)?;
    let format = &as_written["format"];
    let is_known = |format: u64| (u64::from(OLDEST_FORMAT)..=u64::from(FORMAT)).contains(&format);
    if !format.as_u64().is_some_and(is_known) {
        let of_version =
            as_written["version"].as_str().map(|version| format!("; sse-bench {version} wrote it"));
        let why = format!(
            "its format is {format}; this sse-bench reads formats {OLDEST_FORMAT} to {FORMAT}{}",
            of_version.unwrap_or_default()
        );
        return Err(ArchiveError::Version { path: path.to_owned(), why });
    }
    Ok((serde_json::from_str(&text).map_err(damaged)?, as_written))
}

fn read_ledgers(path: &Path, plan: &Plan) -> Result<(Ledgers, Recorder, Observations), ArchiveError> {
    let damaged = |why: String| ArchiveError::Damaged { path: path.to_owned(), why };
    let mut from = open(path)?;
    let mut ledgers = Ledgers::default();
    let mut recorder = Recorder::default();
    // Runs that were stored before there were any have no such section.
    let mut observations = Observations::default();
    loop {
        let section = Section::read(plan, &mut from).map_err(|error| match error {
            SectionError::CorruptFrame(_)
            | SectionError::Ledger(_)
            | SectionError::Observations(_)
            | SectionError::Kind(_) => damaged(error.to_string()),
        })?;
        match section {
            Some(Section::Clients(clients)) => ledgers.subscribers.extend(clients),
            Some(Section::Publishes(ledger)) => ledgers.publishes.push(ledger),
            Some(Section::Sentinels(ledger)) => ledgers.sentinels = Some(ledger),
            Some(Section::Audit(ledger)) => ledgers.audit = Some(ledger),
            Some(Section::Probes(ledger)) => ledgers.probes = Some(ledger),
            Some(Section::Measurements(more)) => recorder.merge(more),
            Some(Section::Observations(more)) => observations.merge(*more),
            Some(Section::End) => return Ok((ledgers, recorder, observations)),
            None => return Err(damaged("it ends before its last section".to_owned())),
        }
    }
}
