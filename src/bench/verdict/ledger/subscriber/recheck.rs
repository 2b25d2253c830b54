//! What became of a stream that stayed open and silent at the quiet end of a run: the client drops it and connects again,
//! once. Judged by `stalled`. Read [`Recheck`] first.

use serde::{Deserialize, Serialize};

use super::anomalies::Occurrences;
use crate::bench::metrics::time::RunTime;

/// A stream that was dropped because it lacked what it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recheck {
    /// When it was dropped.
    pub(crate) at: RunTime,
    /// Whether the server answered the next connect with a stream.
    pub(crate) is_open: bool,
    /// Events that came only then, for the first time.
    pub(crate) came: Occurrences,
    /// Sentinels that came only then.
    pub(crate) sentinels: u64,
}

impl Recheck {
    pub(super) fn new(at: RunTime) -> Self {
        Self { at, is_open: false, came: Occurrences::default(), sentinels: 0 }
    }

    /// Whether the new stream got something that the dropped one should have had, or at least the last event.
    pub(crate) fn got_something(&self) -> bool {
        self.came.count > 0 || self.sentinels > 0
    }
}
