//! `live.jsonl`: one line of JSON a second in the run's directory, for programs that follow the run. Each line is written
//! in one piece and flushed, so that a reader never sees half a line for long.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::line::Line;

/// File name in the run's directory.
pub const FILE: &str = "live.jsonl";

/// The open file. Clones write to the same file.
#[derive(Debug, Clone)]
pub struct LiveLog(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    file: File,
    has_failed: bool,
}

impl LiveLog {
    /// Creates the file in this directory, or empties it.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create(dir: &Path) -> std::io::Result<Self> {
        let state = State { file: File::create(dir.join(FILE))?, has_failed: false };
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    /// Writes a line. The run goes on when that fails: the first failure is logged, and writing stops.
    pub fn write(&self, line: &Line) {
        let mut text = serde_json::to_string(line).expect("texts, numbers and lists always make JSON");
        text.push('\n');
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.has_failed {
            return;
        }
        if let Err(error) = state.file.write_all(text.as_bytes()).and_then(|()| state.file.flush()) {
            state.has_failed = true;
            tracing::warn!(%error, "cannot write {FILE}; followers of this run see no further progress");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::run::live::line::{Begin, Cluster, End, Second};

    #[test]
    fn every_line_is_an_object_that_says_its_kind_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let live_log = LiveLog::create(dir.path()).unwrap();
        let begin = Begin { schema: 1, scenario: "line\nbreak".to_owned(), ..Begin::default() };
        let second = Second { p99_ms: Some(1.5), faults: vec!["kill-1".to_owned()], ..Second::default() };
        let end = End { verdict: "PASS".to_owned(), ..End::default() };
        let cluster = Line::Cluster(Cluster::default());
        let lines = [Line::Begin(begin), cluster, Line::Second(second), Line::End(end)];
        lines.iter().for_each(|line| live_log.write(line));
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        let read: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, lines);
        assert!(text.lines().nth(2).unwrap().starts_with(r#"{"kind":"second","elapsed_ms":0,"#), "{text}");
    }
}
