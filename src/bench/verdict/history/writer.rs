//! The history in full: every arrival and every publish, a line of JSON each, written while the run goes on. Bounded: who
//! writes faster than the disk waits, and every wait is counted and told, as it is time that the bench itself took.
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

use super::files::{Entry, Summing};
use super::op::Op;
use crate::bench::exit::{Exit, RunProblem};

/// The file of the process that publishes; where the clients are in workers, it holds the publishers alone.
pub const HISTORY: &str = "history.jsonl.gz";

/// Lines that a pen collects before it hands them in.
const LINES_A_BATCH: usize = 64;
/// How many of a pen's first lines are fewer than that, by its number: pens that write the same at the same time would
/// otherwise all hand in at once.
const STAGGER: usize = 48;
/// Batches that wait for the disk: some megabytes.
const BATCHES: usize = 1_024;
/// A client that had to wait longer than this has latencies that are the bench's.
const WAIT_MAX: Duration = Duration::from_millis(10);

enum Message {
    Batch(Vec<Op>),
    /// Everything was handed in.
    End,
}

/// Where pens hand in what they wrote.
#[derive(Debug, Clone)]
pub struct HistoryWriter {
    out: mpsc::Sender<Message>,
    waits: Arc<BackpressureTime>,
    /// Pens so far.
    pens: Arc<AtomicUsize>,
}

/// How long clients and publishers had to wait for the disk.
#[derive(Debug, Default)]
struct BackpressureTime {
    count: AtomicU64,
    nanos: AtomicU64,
    longest_nanos: AtomicU64,
}

/// The task that writes.
#[derive(Debug)]
pub struct WriterTask {
    scribe: HistoryWriter,
    task: JoinSet<io::Result<(u64, u32)>>,
    name: String,
}

/// One writer's lines that are not handed in yet.
#[derive(Debug)]
pub struct OpSender {
    lines: Vec<Op>,
    /// So many are handed in.
    enough: usize,
    scribe: HistoryWriter,
}

impl HistoryWriter {
    /// Begins the file of this name in a run's directory.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn start(dir: &Path, name: &str) -> io::Result<WriterTask> {
        let out = Summing::new(BufWriter::new(File::create(dir.join(name))?));
        let (sender, receiver) = mpsc::channel(BATCHES);
        let mut task = JoinSet::new();
        task.spawn_blocking(move || write_all(receiver, out));
        let scribe = Self { out: sender, waits: Arc::default(), pens: Arc::default() };
        Ok(WriterTask { scribe, task, name: name.to_owned() })
    }

    /// A pen for one client or publisher.
    #[must_use]
    pub fn pen(&self) -> OpSender {
        let number = self.pens.fetch_add(1, Ordering::Relaxed);
        OpSender { lines: Vec::new(), enough: LINES_A_BATCH - number % STAGGER, scribe: self.clone() }
    }
}

fn write_all(mut from: mpsc::Receiver<Message>, out: Summing<BufWriter<File>>) -> io::Result<(u64, u32)> {
    let mut out = GzEncoder::new(out, Compression::fast());
    let mut failed = None;
    while let Some(Message::Batch(lines)) = from.blocking_recv() {
        // After a failure the rest is taken all the same: nobody must wait for a disk that is full.
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
    /// Writes a line down.
    pub fn write(&mut self, line: Op) {
        self.lines.push(line);
    }

    /// Hands the lines in where there are enough of them.
    pub async fn hand_in_many(&mut self) {
        if self.lines.len() < self.enough {
            return;
        }
        self.enough = LINES_A_BATCH;
        let batch = Message::Batch(std::mem::take(&mut self.lines));
        if let Err(TrySendError::Full(batch)) = self.scribe.out.try_send(batch) {
            let began = Instant::now();
            // A writer that is gone has told why, or will.
            let _gone = self.scribe.out.send(batch).await;
            // Whoever waits here reads late what has come meanwhile.
            self.scribe.waits.add(began.elapsed());
        }
    }

    /// Hands in what is left at the end. All do so at once, and nobody measures any more.
    pub async fn hand_in_last(&mut self) {
        // A writer that is gone has told why, or will.
        let _gone = self.scribe.out.send(Message::Batch(std::mem::take(&mut self.lines))).await;
    }
}

impl BackpressureTime {
    fn add(&self, wait: Duration) {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        self.longest_nanos.fetch_max(nanos, Ordering::Relaxed);
    }

    /// What is told of them.
    fn trouble(&self) -> Option<RunProblem> {
        let of = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let (count, longest) = (of(&self.count), Duration::from_nanos(of(&self.longest_nanos)));
        let exit = if longest > WAIT_MAX { Exit::Invalid } else { Exit::Pass };
        let message = format!(
            "the history could not be written as fast as it came: {count} waits of clients and publishers, {:.3} s in all, \
             {:.3} s at most, are in the latencies; --history anomalies writes nothing while the run goes on",
            Duration::from_nanos(of(&self.nanos)).as_secs_f64(),
            longest.as_secs_f64(),
        );
        (count > 0).then_some(RunProblem { exit, message })
    }
}

impl WriterTask {
    /// For the pens.
    #[must_use]
    pub fn scribe(&self) -> &HistoryWriter {
        &self.scribe
    }

    /// Ends the file, once everybody has handed in. Tells the file as it is, and what went wrong.
    pub async fn end(mut self) -> (Option<Entry>, Vec<RunProblem>) {
        let _gone = self.scribe.out.send(Message::End).await;
        let mut troubles: Vec<RunProblem> = self.scribe.waits.trouble().into_iter().collect();
        let written = match self.task.join_next().await {
            Some(Ok(Ok((bytes, crc32)))) => Ok(Entry { name: self.name.clone(), bytes, crc32 }),
            Some(Ok(Err(error))) => Err(error.to_string()),
            Some(Err(panicked)) => Err(panicked.to_string()),
            None => Err("it left no word".to_owned()),
        };
        match written {
            Ok(entry) => (Some(entry), troubles),
            Err(why) => {
                let message = format!("{} is not stored: {why}", self.name);
                troubles.push(RunProblem { exit: Exit::Internal, message });
                (None, troubles)
            }
        }
    }
}
