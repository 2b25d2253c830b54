//! The attempts of a client without a session that failed. Bounded: the start of the first and the last few.
//! Judged by `recovery`. Read [`FailedAttempts`] first.

use serde::{Deserialize, Serialize};

use crate::bench::metrics::time::RunTime;

/// Attempts that are kept: this many in a row outside fault windows prove that a client was unreachable. A single one
/// may fail anywhere.
pub(crate) const ATTEMPTS: usize = 3;

/// Failed attempts to get a session since the last session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailedAttempts {
    /// When the first of them began.
    pub(crate) since: RunTime,
    /// The last of them, the newest last.
    pub(crate) last: [Option<Attempt>; ATTEMPTS],
}

/// From the connect to the error, or to the end of a stream without a `CONNECTION` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) began: RunTime,
    pub(crate) ended: RunTime,
}

impl FailedAttempts {
    /// No failed attempt yet; the first attempt begins at `since`.
    pub(crate) fn since(since: RunTime) -> Self {
        Self { since, last: [None; ATTEMPTS] }
    }

    pub(crate) fn add(&mut self, began: RunTime, ended: RunTime) {
        self.last.rotate_left(1);
        self.last[ATTEMPTS - 1] = Some(Attempt { began, ended });
    }
}
