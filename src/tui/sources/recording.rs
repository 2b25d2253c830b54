//! Recordings: every message from the cluster as a line of JSON, so that a replay shows the same frames. Keys are not
//! recorded; the user of a replay chooses the screens. Read [`Recorder`] and [`Player`] first.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::tui::state::bench_run::RunUpdate;
use crate::tui::state::connections::ListResult;
use crate::tui::state::events::EventBatch;
use crate::tui::state::message::{Message, Polled};
use crate::tui::state::moment::Moment;
use crate::tui::text::url::NodeUrl;

/// Version of the format.
const SCHEMA: u32 = 1;

/// A line of a recording.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Head(Head),
    Tick(Moment),
    Polled(Box<Polled>),
    Listed(Box<ListResult>),
    Streamed(Box<EventBatch>),
    Run(RunUpdate),
}

/// The first line of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Version of the format.
    schema: u32,
    pub(crate) nodes: Vec<NodeUrl>,
    pub(crate) interval: Duration,
    /// The source of the followed bench run; `None` without one.
    pub(crate) run: Option<String>,
}

impl Head {
    pub(crate) fn new(nodes: &[NodeUrl], interval: Duration, run: Option<String>) -> Self {
        Self { schema: SCHEMA, nodes: nodes.to_vec(), interval, run }
    }
}

pub(crate) struct Recorder<W: Write> {
    out: W,
}

impl Recorder<BufWriter<File>> {
    /// Creates the file. An existing one is never overwritten, because it may be the only evidence of an incident.
    ///
    /// # Errors
    /// The file exists, or cannot be written.
    pub(crate) fn create(path: &Path, head: Head) -> io::Result<Self> {
        Self::begin(BufWriter::new(File::create_new(path)?), head)
    }
}

impl<W: Write> Recorder<W> {
    pub(crate) fn begin(out: W, head: Head) -> io::Result<Self> {
        let mut recorder = Self { out };
        recorder.write(&Line::Head(head))?;
        Ok(recorder)
    }

    /// Writes messages from the cluster, and skips those of the user.
    ///
    /// # Errors
    /// The file cannot be written, for instance because the disk is full.
    pub(crate) fn record(&mut self, message: &Message) -> io::Result<()> {
        let line = match message {
            Message::Tick(now) => Line::Tick(*now),
            Message::Polled(polled) => Line::Polled(polled.clone()),
            Message::Listed(listed) => Line::Listed(listed.clone()),
            Message::Streamed(batch) => Line::Streamed(batch.clone()),
            Message::Run(update) => Line::Run(update.clone()),
            Message::Key(_)
            | Message::Resized(_)
            | Message::Checked(_)
            | Message::Acted(_)
            | Message::Scrolled(..)
            | Message::Clicked(_)
            | Message::Pasted(_)
            | Message::RecordingEnded => return Ok(()),
        };
        let is_tick = matches!(line, Line::Tick(_));
        self.write(&line)?;
        // A reader of the file, or a crash, misses at most the messages since the last tick.
        if is_tick { self.out.flush() } else { Ok(()) }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")
    }
}

pub(crate) struct Player {
    lines: io::Split<BufReader<File>>,
    pub(crate) head: Head,
    line: u64,
}

impl Player {
    /// Opens a recording.
    ///
    /// # Errors
    /// The file cannot be read, or is not a recording.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let fail = |why: String| format!("{}: {why}", path.display());
        let file = File::open(path).map_err(|error| fail(error.to_string()))?;
        let lines = BufReader::new(file).split(b'\n');
        let mut player = Self { lines, head: Head::new(&[], Duration::ZERO, None), line: 0 };
        match player.line().map_err(&fail)? {
            Some(Line::Head(head)) if head.schema == SCHEMA => player.head = head,
            Some(Line::Head(head)) => {
                return Err(fail(format!("the recording has schema {}; allowed is {SCHEMA}", head.schema)));
            }
            Some(_) | None => {
                return Err(fail(
                    "the file is not a recording of sse-tui: its first line does not describe a recording"
                        .to_owned(),
                ));
            }
        }
        Ok(player)
    }

    /// The next message; `None` at the end. A last line that was cut off counts as the end.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, String> {
        Ok(match self.line()? {
            None | Some(Line::Head(_)) => None,
            Some(Line::Tick(now)) => Some(Message::Tick(now)),
            Some(Line::Polled(polled)) => Some(Message::Polled(polled)),
            Some(Line::Listed(listed)) => Some(Message::Listed(listed)),
            Some(Line::Streamed(batch)) => Some(Message::Streamed(batch)),
            Some(Line::Run(update)) => Some(Message::Run(update)),
        })
    }

    fn line(&mut self) -> Result<Option<Line>, String> {
        let Some(line) = self.lines.next() else { return Ok(None) };
        self.line += 1;
        let line = line.map_err(|error| error.to_string())?;
        match serde_json::from_slice(&line) {
            Ok(line) => Ok(Some(line)),
            Err(error) if error.is_eof() => Ok(None),
            Err(error) => Err(format!("line {}: {error}", self.line)),
        }
    }

    /// Sends the messages at their recorded times, `speed` times as fast, until the end or until the token is
    /// cancelled.
    pub(crate) async fn play(mut self, speed: f64, messages: Sender<Message>, token: CancellationToken) {
        let started = Instant::now();
        let mut first = None;
        while let Ok(Some(message)) = self.next() {
            if let Message::Tick(now) = &message {
                let first = *first.get_or_insert(now.elapsed);
                let due = started + now.elapsed.saturating_sub(first).div_f64(speed);
                tokio::select! {
                    () = token.cancelled() => return,
                    () = tokio::time::sleep_until(due) => {}
                }
            }
            tokio::select! {
                () = token.cancelled() => return,
                sent = messages.send(message) => if sent.is_err() { return },
            }
        }
        let _ended = messages.send(Message::RecordingEnded).await;
    }
}
