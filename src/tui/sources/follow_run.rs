//! The task that reads the `live.jsonl` of a bench run while it grows, or lines from standard input. It waits for a
//! run that has not begun, and starts again when another run replaces the file. Read [`RunFollower::follow`] first.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::tui::config::run_source::RunSource;
use crate::tui::state::bench_run::{Line, RunUpdate};
use crate::tui::state::message::Message;
use crate::tui::text::sanitize::SafeText;

/// Time between two checks for new lines.
const LOOK: Duration = Duration::from_millis(200);
/// A file written within this time belongs to a run in progress, which adds a line per second.
const FRESH: Duration = Duration::from_secs(15);
/// Longest line in bytes: thousands of planned faults fit.
const LINE_BYTES: usize = 4 << 20;
const FILE: &str = "live.jsonl";

/// Sends the lines of a run as messages.
#[derive(Debug, Clone)]
pub(crate) struct RunFollower {
    pub(crate) source: RunSource,
    pub(crate) messages: Sender<Message>,
}

/// Whether the receiver of the messages still exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receiver {
    Listening,
    Gone,
}

/// The file or pipe, and the line being read.
struct LineReader<R> {
    reader: R,
    /// The part of the line that has been read.
    line: Vec<u8>,
    /// Bytes read so far.
    position: u64,
    /// Wait for the last line.
    waited: Duration,
    /// Whether [`RunUpdate::Growing`] has been sent.
    is_growing: bool,
}

/// The result of reading a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadStep {
    Line,
    /// The end of the file so far; a partial line is kept.
    End,
    /// A read error, or the receiver is gone.
    Over,
}

impl<R: AsyncBufRead + Unpin> LineReader<R> {
    fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), position: 0, waited: Duration::ZERO, is_growing: false }
    }
}

impl RunFollower {
    /// Reads until the token is cancelled.
    pub(crate) async fn follow(self, token: CancellationToken) {
        tokio::select! {
            () = token.cancelled() => {}
            () = self.read() => {}
        }
    }

    async fn read(&self) {
        match &self.source {
            RunSource::StandardInput => self.pipe().await,
            RunSource::Directory(dir) => {
                let path = dir.join(FILE);
                // Again when another run has replaced the file.
                while let Some(file) = self.open(&path).await {
                    if self.file(&path, file).await == Receiver::Gone {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for the file; `None` when the receiver is gone.
    async fn open(&self, path: &Path) -> Option<File> {
        let mut has_notified = false;
        loop {
            match File::open(path).await {
                Ok(file) => return Some(file),
                Err(error) if !has_notified => {
                    has_notified = true;
                    let why = format!("waiting for {}: {error}", path.display());
                    if self.send(RunUpdate::Error(SafeText::new(&why))).await == Receiver::Gone {
                        return None;
                    }
                }
                Err(_) => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Follows a file until another file replaces it.
    async fn file(&self, path: &Path, file: File) -> Receiver {
        let mut lines = LineReader::new(BufReader::new(file));
        loop {
            match self.step(&mut lines).await {
                ReadStep::Line => continue,
                ReadStep::End => {}
                ReadStep::Over => return Receiver::Gone,
            }
            let Ok(own) = lines.reader.get_ref().metadata().await else { return Receiver::Gone };
            // A time in the future means that the clock was set back.
            let is_fresh = own.modified().is_ok_and(|at| at.elapsed().map_or(true, |age| age < FRESH));
            if is_fresh && self.notify_growing(&mut lines).await == Receiver::Gone {
                return Receiver::Gone;
            }
            if let Ok(there) = tokio::fs::metadata(path).await {
                let is_other = (there.dev(), there.ino()) != (own.dev(), own.ino());
                if is_other || there.len() < lines.position {
                    return self.send(RunUpdate::Growing(false)).await;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Reads standard input to its end. A wait for any line after the first means that the run is in progress.
    async fn pipe(&self) {
        let mut lines = LineReader::new(BufReader::new(tokio::io::stdin()));
        let mut is_first = true;
        while self.step(&mut lines).await == ReadStep::Line {
            let is_fresh = !std::mem::take(&mut is_first) && lines.waited >= LOOK;
            if is_fresh && self.notify_growing(&mut lines).await == Receiver::Gone {
                return;
            }
        }
    }

    /// Reads a line and sends it.
    async fn step(&self, lines: &mut LineReader<impl AsyncBufRead + Unpin>) -> ReadStep {
        let asked = Instant::now();
        let read = lines.reader.read_until(b'\n', &mut lines.line).await;
        lines.waited = asked.elapsed();
        let error = match read {
            Ok(bytes) => {
                lines.position += bytes as u64;
                if lines.line.ends_with(b"\n") {
                    let update = parsed(&lines.line);
                    lines.line.clear();
                    return if self.send(update).await == Receiver::Listening {
                        ReadStep::Line
                    } else {
                        ReadStep::Over
                    };
                }
                if lines.line.len() <= LINE_BYTES {
                    return ReadStep::End;
                }
                format!("a line of {FILE} has more than {LINE_BYTES} bytes")
            }
            Err(error) => error.to_string(),
        };
        let _gone = self.send(RunUpdate::Error(SafeText::new(&error))).await;
        ReadStep::Over
    }

    /// Sends once that the file grows.
    async fn notify_growing<R>(&self, lines: &mut LineReader<R>) -> Receiver {
        if std::mem::replace(&mut lines.is_growing, true) {
            return Receiver::Listening;
        }
        self.send(RunUpdate::Growing(true)).await
    }

    async fn send(&self, update: RunUpdate) -> Receiver {
        match self.messages.send(Message::Run(update)).await {
            Ok(()) => Receiver::Listening,
            Err(_) => Receiver::Gone,
        }
    }
}

fn parsed(line: &[u8]) -> RunUpdate {
    match serde_json::from_slice::<Line>(line) {
        Ok(line) => RunUpdate::Line(Box::new(line)),
        Err(error) => RunUpdate::Error(SafeText::new(&format!("invalid line in {FILE}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Tasks;
    use std::io::Write as _;
    use tokio::sync::mpsc;

    const LIMIT: Duration = Duration::from_secs(30);

    async fn next(received: &mut mpsc::Receiver<Message>) -> RunUpdate {
        match tokio::time::timeout(LIMIT, received.recv()).await.unwrap() {
            Some(Message::Run(update)) => update,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_run_is_followed_from_before_it_begins_also_over_half_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let (messages, mut received) = mpsc::channel(8);
        let tasks = Tasks::new();
        let source = RunSource::Directory(dir.path().to_owned());
        tasks.spawn("run follower", RunFollower { source, messages }.follow(tasks.token().clone()));
        assert!(
            matches!(next(&mut received).await, RunUpdate::Error(why) if why.as_str().contains("waiting for"))
        );
        let half = dir.path().join("half");
        let mut file = std::fs::File::create(&half).unwrap();
        file.write_all(b"{\"kind\":\"begin\",\"scenario\":\"x\"}\n{\"kind\":\"sec").unwrap();
        // Complete at once: an empty file would be reported as growing first.
        std::fs::rename(&half, dir.path().join(FILE)).unwrap();
        assert!(
            matches!(next(&mut received).await, RunUpdate::Line(line) if matches!(*line, Line::Begin(_)))
        );
        assert_eq!(next(&mut received).await, RunUpdate::Growing(true));
        file.write_all(b"ond\",\"delivered\":7}\nnonsense\n").unwrap();
        let RunUpdate::Line(line) = next(&mut received).await else { panic!("no line") };
        assert!(matches!(*line, Line::Second(second) if second.delivered == 7));
        assert!(
            matches!(next(&mut received).await, RunUpdate::Error(why) if why.as_str().contains("invalid line"))
        );
        tasks.token().cancel();
        tasks.join(LIMIT).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_of_another_run_is_followed_from_its_beginning_and_an_old_one_is_told_as_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        std::fs::write(&path, "{\"kind\":\"begin\",\"scenario\":\"old\"}\n{\"kind\":\"cl").unwrap();
        let before = std::time::SystemTime::now() - Duration::from_hours(1);
        std::fs::File::options().append(true).open(&path).unwrap().set_modified(before).unwrap();
        let (messages, mut received) = mpsc::channel(8);
        let tasks = Tasks::new();
        let source = RunSource::Directory(dir.path().to_owned());
        tasks.spawn("run follower", RunFollower { source, messages }.follow(tasks.token().clone()));
        let is_of = |update: RunUpdate, name: &str| match update {
            RunUpdate::Line(line) => {
                matches!(*line, Line::Begin(begin) if begin.scenario.as_str() == name)
            }
            RunUpdate::Growing(_) | RunUpdate::Error(_) => false,
        };
        assert!(is_of(next(&mut received).await, "old"));
        let new = dir.path().join("new");
        std::fs::write(&new, "{\"kind\":\"begin\",\"scenario\":\"new\"}\n").unwrap();
        std::fs::rename(&new, &path).unwrap();
        assert_eq!(next(&mut received).await, RunUpdate::Growing(false), "and never that the old one grows");
        assert!(is_of(next(&mut received).await, "new"));
        assert_eq!(next(&mut received).await, RunUpdate::Growing(true));
        tasks.token().cancel();
        tasks.join(LIMIT).await.unwrap();
    }
}
