//! Writes the full history while the run is running: a line of JSON for each arrival and each publish, compressed. Bounded:
//! when the disk is too slow, clients and publishers wait, and the time of these waits is reported.
//! Read [`HistoryWriter`] first, then [`Op`].

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::files::{Checksummed, Entry};
use super::op::Op;
use crate::bench::exit::{Exit, RunProblem};

/// The history of the process that publishes. With clients in workers it holds the publishers only.
pub const HISTORY: &str = "history.jsonl.gz";

/// Operations that a sender collects before it passes them to the writer.
const OPS_PER_BATCH: usize = 64;
/// The first batch of a sender is smaller by its number modulo this. Senders with the same load would otherwise all send
/// their batches at the same time.
const STAGGER: usize = 48;
/// Batches that may wait for the disk: some megabytes.
const BATCHES: usize = 1_024;
/// A longer wait makes the run invalid: the measured latencies include it.
const WAIT_MAX: Duration = Duration::from_millis(10);

enum Message {
    Batch(Vec<Op>),
    /// Every sender has flushed.
    End,
}

/// A handle of the writer task. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HistoryWriter {
    out: mpsc::Sender<Message>,
    backpressure: Arc<BackpressureTime>,
    /// Number of senders so far.
    senders: Arc<AtomicUsize>,
}

/// How often and how long clients and publishers waited for the disk.
#[derive(Debug, Default)]
struct BackpressureTime {
    count: AtomicU64,
    nanos: AtomicU64,
    longest_nanos: AtomicU64,
}

/// The task that writes the file, with its owner.
#[derive(Debug)]
pub struct WriterTask {
    writer: HistoryWriter,
    task: JoinSet<io::Result<(u64, u32)>>,
    name: String,
}

/// The operations of one client or publisher that are not passed to the writer yet.
#[derive(Debug)]
pub struct OpSender {
    ops: Vec<Op>,
    /// Operations that make the next batch.
    batch_size: usize,
    /// Since when a full batch has waited.
    blocked: Option<Instant>,
    writer: HistoryWriter,
}

impl HistoryWriter {
    /// Creates the file of this name in the directory of a run and starts its task.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn start(dir: &Path, name: &str) -> io::Result<WriterTask> {
        let out = Checksummed::new(BufWriter::new(File::create(dir.join(name))?));
        let (sender, receiver) = mpsc::channel(BATCHES);
        let mut task = JoinSet::new();
        task.spawn_blocking(move || write_all(receiver, out));
        let writer = Self { out: sender, backpressure: Arc::default(), senders: Arc::default() };
        Ok(WriterTask { writer, task, name: name.to_owned() })
    }

    /// A sender for one client or publisher.
    #[must_use]
    pub fn op_sender(&self) -> OpSender {
        let number = self.senders.fetch_add(1, Ordering::Relaxed);
        let batch_size = OPS_PER_BATCH - number % STAGGER;
        OpSender { ops: Vec::new(), batch_size, blocked: None, writer: self.clone() }
    }
}

fn write_all(mut from: mpsc::Receiver<Message>, out: Checksummed<BufWriter<File>>) -> io::Result<(u64, u32)> {
    let mut out = GzEncoder::new(out, Compression::fast());
    let mut failed = None;
    while let Some(Message::Batch(lines)) = from.blocking_recv() {
        // After a failure the queue is still drained: no client must wait for a full disk.
        if failed.is_none() {
            failed = lines.iter().try_for_each(|line| write(&mut out, line)).err();
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let mut out = out.finish()?;
    out.flush()?;
    Ok((out.bytes, out.sum.finalize()))
}

fn write(out: &mut impl io::Write, line: &Op) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

impl OpSender {
    /// Adds an operation to the next batch. Never waits.
    pub fn write(&mut self, op: Op) {
        self.ops.push(op);
    }

    /// Passes the batch to the writer if it is full. Waits where the queue of the writer is full.
    pub async fn flush_if_full(&mut self) {
        if !self.try_flush_if_full() {
            // A writer that failed reports the reason at its end.
            let _gone = self.writer.out.send(Message::Batch(std::mem::take(&mut self.ops))).await;
            self.note_flushed();
        }
    }

    /// As [`Self::flush_if_full`], without waiting: returns whether there is no full batch any more. The caller asks again
    /// before it adds more.
    pub fn try_flush_if_full(&mut self) -> bool {
        if self.ops.len() < self.batch_size {
            return true;
        }
        let sent = self.writer.out.try_send(Message::Batch(std::mem::take(&mut self.ops)));
        if let Err(TrySendError::Full(Message::Batch(ops))) = sent {
            self.ops = ops;
            self.blocked.get_or_insert_with(Instant::now);
            return false;
        }
        // A writer that failed reports the reason at its end.
        self.note_flushed();
        true
    }

    fn note_flushed(&mut self) {
        self.batch_size = OPS_PER_BATCH;
        if let Some(since) = self.blocked.take() {
            // A client blocked here reads its socket late, which skews latencies.
            self.writer.backpressure.add(since.elapsed());
        }
    }

    /// Passes the last batch to the writer. Waits are not counted: all senders flush at once, when nothing is measured any
    /// more.
    pub async fn flush(&mut self) {
        // A writer that failed reports the reason at its end.
        let _gone = self.writer.out.send(Message::Batch(std::mem::take(&mut self.ops))).await;
    }
}

impl BackpressureTime {
    fn add(&self, wait: Duration) {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        self.longest_nanos.fetch_max(nanos, Ordering::Relaxed);
    }

    /// The problem to report; `None` without waits.
    fn problem(&self) -> Option<RunProblem> {
        let of = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let (count, longest) = (of(&self.count), Duration::from_nanos(of(&self.longest_nanos)));
        let exit = if longest > WAIT_MAX { Exit::Invalid } else { Exit::Pass };
        let message = format!(
            "the history could not be written fast enough: clients and publishers waited {count} times, {:.3} s in total and \
             {:.3} s at most, and latencies include these waits; with --history anomalies nothing is written during the run",
            Duration::from_nanos(of(&self.nanos)).as_secs_f64(),
            longest.as_secs_f64(),
        );
        (count > 0).then_some(RunProblem { exit, message })
    }
}

impl WriterTask {
    /// The handle that makes senders.
    #[must_use]
    pub fn writer(&self) -> &HistoryWriter {
        &self.writer
    }

    /// Ends the file, once all senders have flushed. Returns its entry and the problems to report.
    pub async fn end(mut self) -> (Option<Entry>, Vec<RunProblem>) {
        let _gone = self.writer.out.send(Message::End).await;
        let mut problems: Vec<RunProblem> = self.writer.backpressure.problem().into_iter().collect();
        let written = match self.task.join_next().await {
            Some(Ok(Ok((bytes, crc32)))) => Ok(Entry { name: self.name.clone(), bytes, crc32 }),
            Some(Ok(Err(error))) => Err(error.to_string()),
            Some(Err(panicked)) => Err(panicked.to_string()),
            None => Err("the writer thread ended without a result".to_owned()),
        };
        match written {
            Ok(entry) => (Some(entry), problems),
            Err(why) => {
                let message = format!("{} is not stored: {why}", self.name);
                problems.push(RunProblem { exit: Exit::Internal, message });
                (None, problems)
            }
        }
    }
}
