//! One task that reads `live.jsonl` of a bench run as it grows, or lines from standard input. A run that has not begun
//! is waited for. Read [`Runner::follow`] first.

use std::path::PathBuf;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::message::Message;
use super::plain::Plain;
use super::run::{Line, RunNews};

/// How often the end of the file is looked at.
const LOOK: Duration = Duration::from_millis(200);
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
enum Heard {
    Yes,
    Nobody,
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
            RunSource::StandardInput => {
                self.lines(BufReader::new(tokio::io::stdin()), false).await;
            }
            RunSource::Directory(dir) => {
                let path = dir.join(FILE);
                let mut has_told = false;
                let file = loop {
                    match File::open(&path).await {
                        Ok(file) => break file,
                        Err(error) if !has_told => {
                            has_told = true;
                            let why = format!("waiting for {}: {error}", path.display());
                            if matches!(self.tell(RunNews::Trouble(Plain::new(&why))).await, Heard::Nobody) {
                                return;
                            }
                        }
                        Err(_) => {}
                    }
                    tokio::time::sleep(LOOK).await;
                };
                self.lines(BufReader::new(file), true).await;
            }
        }
    }

    /// Reads lines; at the end of a file that grows, waits for more.
    async fn lines(&self, mut reader: impl AsyncBufRead + Unpin, grows: bool) {
        let mut line = Vec::new();
        loop {
            match reader.read_until(b'\n', &mut line).await {
                Ok(_) if line.ends_with(b"\n") => {
                    let news = parsed(&line);
                    line.clear();
                    if matches!(self.tell(news).await, Heard::Nobody) {
                        return;
                    }
                }
                Ok(_) if line.len() > LINE_BYTES => {
                    let why = format!("a line of {FILE} has more than {LINE_BYTES} bytes");
                    let _heard = self.tell(RunNews::Trouble(Plain::new(&why))).await;
                    return;
                }
                // Half a line, or nothing: the rest is still to be written.
                Ok(_) if grows => tokio::time::sleep(LOOK).await,
                Ok(_) => return,
                Err(error) => {
                    let _heard = self.tell(RunNews::Trouble(Plain::new(&error.to_string()))).await;
                    return;
                }
            }
        }
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
        let mut file = std::fs::File::create(dir.path().join(FILE)).unwrap();
        file.write_all(b"{\"kind\":\"begin\",\"scenario\":\"x\"}\n{\"kind\":\"sec").unwrap();
        assert!(matches!(next(&mut received).await, RunNews::Line(line) if matches!(*line, Line::Begin(_))));
        file.write_all(b"ond\",\"delivered\":7}\nnonsense\n").unwrap();
        let RunNews::Line(line) = next(&mut received).await else { panic!("no line") };
        assert!(matches!(*line, Line::Second(second) if second.delivered == 7));
        assert!(
            matches!(next(&mut received).await, RunNews::Trouble(why) if why.as_str().contains("not one of"))
        );
        tasks.token().cancel();
        tasks.join(LIMIT).await.unwrap();
    }
}
