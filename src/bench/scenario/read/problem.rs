//! Problems of a scenario file, all at once. Read [`Problems`] first.

use std::fmt;

/// One problem of a scenario file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line and column in the file, from 1; `None` for a value of `--set`.
    pub at: Option<(usize, usize)>,
    /// Path of the key, as in `publishers.main.rate`; empty for the file as a whole.
    pub key: String,
    /// Names the value and the allowed values.
    pub message: String,
}

/// All problems of a scenario file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// Path of the file, for the message.
    pub file: String,
    /// At least one; those of `--set` first, then in the order of the file.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, column)) => write!(f, "{line}:{column}: ")?,
            None => f.write_str("--set: ")?,
        }
        if self.key.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.key, self.message)
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a valid scenario", self.file)?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
