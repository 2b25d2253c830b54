//! One task that reads `live.jsonl` of a bench run as it grows, or lines from standard input. A run that has not begun
//! is waited for, and one that takes another's place is followed from its beginning. Read [`Runner::follow`] first.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::message::Message;
use super::plain::Plain;
use super::run::{Line, RunNews};

/// How often the end of the file is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// A file that was written to within this time belongs to a run that goes on: it grows by a line a second.
const FRESH: Duration = Duration::from_secs(15);
/// Longest line in bytes: thousands of planned faults fit.
const LINE_BYTES: usize = 4 << 20;
const FILE: &str = "live.jsonl";

/// Where a run is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunSource {
    /// The run's directory.
    Directory(PathBuf),
    StandardInput,
}

/// What the task needs.
#[derive(Debug, Clone)]
pub(crate) struct Runner {
    pub(crate) source: RunSource,
    pub(crate) messages: Sender<Message>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Yes,
    Nobody,
}

/// What is being read.
struct Reading<R> {
    reader: R,
    /// What is there of a line.
    line: Vec<u8>,
    /// Bytes that were read.
    position: u64,
    /// How long the last line was waited for.
    waited: Duration,
    /// Whether it was told that somebody goes on writing.
    is_growing: bool,
}

/// What came of reading a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Line,
    /// There is no more by now; half a line is kept.
    End,
    /// Nothing more can be read, or nobody listens.
    Over,
}

impl<R: AsyncBufRead + Unpin> Reading<R> {
    fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), position: 0, waited: Duration::ZERO, is_growing: false }
    }
}

impl Runner {
    /// Reads until the token ends it.
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
                // Again when another run put a file of its own there.
                while let Some(file) = self.open(&path).await {
                    if self.file(&path, file).await == Heard::Nobody {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for the file; none when nobody listens.
    async fn open(&self, path: &Path) -> Option<File> {
        let mut has_told = false;
        loop {
            match File::open(path).await {
                Ok(file) => return Some(file),
                Err(error) if !has_told => {
                    has_told = true;
                    let why = format!("waiting for {}: {error}", path.display());
                    if self.tell(RunNews::Trouble(Plain::new(&why))).await == Heard::Nobody {
                        return None;
                    }
                }
                Err(_) => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Follows a file until another one has its name.
    async fn file(&self, path: &Path, file: File) -> Heard {
        let mut reading = Reading::new(BufReader::new(file));
        loop {
            match self.step(&mut reading).await {
                Step::Line => continue,
                Step::End => {}
                Step::Over => return Heard::Nobody,
            }
            let Ok(own) = reading.reader.get_ref().metadata().await else { return Heard::Nobody };
            // A time to come is that of a clock that was set.
            let is_fresh = own.modified().is_ok_and(|at| at.elapsed().map_or(true, |age| age < FRESH));
            if is_fresh && self.tell_of_growth(&mut reading).await == Heard::Nobody {
                return Heard::Nobody;
            }
            if let Ok(there) = tokio::fs::metadata(path).await {
                let is_other = (there.dev(), there.ino()) != (own.dev(), own.ino());
                if is_other || there.len() < reading.position {
                    return self.tell(RunNews::Growing(false)).await;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Reads standard input to its end. Whoever lets wait for a line that is not the first one goes on writing.
    async fn pipe(&self) {
        let mut reading = Reading::new(BufReader::new(tokio::io::stdin()));
        let mut is_first = true;
        while self.step(&mut reading).await == Step::Line {
            let is_fresh = !std::mem::take(&mut is_first) && reading.waited >= LOOK;
            if is_fresh && self.tell_of_growth(&mut reading).await == Heard::Nobody {
                return;
            }
        }
    }

    /// Reads a line and tells it.
    async fn step(&self, reading: &mut Reading<impl AsyncBufRead + Unpin>) -> Step {
        let asked = Instant::now();
        let read = reading.reader.read_until(b'\n', &mut reading.line).await;
        reading.waited = asked.elapsed();
        let trouble = match read {
            Ok(bytes) => {
                reading.position += bytes as u64;
                if reading.line.ends_with(b"\n") {
                    let news = parsed(&reading.line);
                    reading.line.clear();
                    return if self.tell(news).await == Heard::Yes { Step::Line } else { Step::Over };
                }
                if reading.line.len() <= LINE_BYTES {
                    return Step::End;
                }
                format!("a line of {FILE} has more than {LINE_BYTES} bytes")
            }
            Err(error) => error.to_string(),
        };
        let _heard = self.tell(RunNews::Trouble(Plain::new(&trouble))).await;
        Step::Over
    }

    /// Says once that somebody goes on writing.
    async fn tell_of_growth<R>(&self, reading: &mut Reading<R>) -> Heard {
        if std::mem::replace(&mut reading.is_growing, true) {
            return Heard::Yes;
        }
        self.tell(RunNews::Growing(true)).await
    }

    async fn tell(&self, news: RunNews) -> Heard {
        match self.messages.send(Message::Run(news)).await {
            Ok(()) => Heard::Yes,
            Err(_) => Heard::Nobody,
        }
    }
}

fn parsed(line: &[u8]) -> RunNews {
    match serde_json::from_slice::<Line>(line) {
        Ok(line) => RunNews::Line(Box::new(line)),
        Err(error) => RunNews::Trouble(Plain::new(&format!("a line is not one of {FILE}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Tasks;
    use std::io::Write as _;
    use tokio::sync::mpsc;

    const LIMIT: Duration = Duration::from_secs(30);

    async fn next(received: &mut mpsc::Receiver<Message>) -> RunNews {
        match tokio::time::timeout(LIMIT, received.recv()).await.unwrap() {
            Some(Message::Run(news)) => news,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_run_is_followed_from_before_it_begins_also_over_half_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let (messages, mut received) = mpsc::channel(8);
        let tasks = Tasks::new();
        let source = RunSource::Directory(dir.path().to_owned());
        tasks.spawn("runner", Runner { source, messages }.follow(tasks.token().clone()));
        assert!(
            matches!(next(&mut received).await, RunNews::Trouble(why) if why.as_str().contains("waiting for"))
        );
        let half = dir.path().join("half");
        let mut file = std::fs::File::create(&half).unwrap();
        file.write_all(b"{\"kind\":\"begin\",\"scenario\":\"x\"}\n{\"kind\":\"sec").unwrap();
        // Whole at once: an empty file would be told to grow first.
        std::fs::rename(&half, dir.path().join(FILE)).unwrap();
        assert!(matches!(next(&mut received).await, RunNews::Line(line) if matches!(*line, Line::Begin(_))));
        assert_eq!(next(&mut received).await, RunNews::Growing(true));
        file.write_all(b"ond\",\"delivered\":7}\nnonsense\n").unwrap();
        let RunNews::Line(line) = next(&mut received).await else { panic!("no line") };
        assert!(matches!(*line, Line::Second(second) if second.delivered == 7));
        assert!(
            matches!(next(&mut received).await, RunNews::Trouble(why) if why.as_str().contains("not one of"))
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
        tasks.spawn("runner", Runner { source, messages }.follow(tasks.token().clone()));
        let is_of = |news: RunNews, name: &str| match news {
            RunNews::Line(line) => {
                matches!(*line, Line::Begin(begin) if begin.scenario.as_str() == name)
            }
            RunNews::Growing(_) | RunNews::Trouble(_) => false,
        };
        assert!(is_of(next(&mut received).await, "old"));
        let new = dir.path().join("new");
        std::fs::write(&new, "{\"kind\":\"begin\",\"scenario\":\"new\"}\n").unwrap();
        std::fs::rename(&new, &path).unwrap();
        assert_eq!(next(&mut received).await, RunNews::Growing(false), "and never that the old one grows");
        assert!(is_of(next(&mut received).await, "new"));
        assert_eq!(next(&mut received).await, RunNews::Growing(true));
        tasks.token().cancel();
        tasks.join(LIMIT).await.unwrap();
    }
}
