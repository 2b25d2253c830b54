//! `--run`: the source of the lines of a bench run.

use std::path::PathBuf;

/// Where the lines of a run are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunSource {
    /// The run's directory, which holds `live.jsonl`.
    Directory(PathBuf),
    StandardInput,
}
