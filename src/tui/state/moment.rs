//! A point in time, carried by messages.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment on both clocks. The model reads no clock: time comes with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Moment {
    /// Time since the start of the console; never goes back.
    pub(crate) elapsed: Duration,
    /// Time since 1970, for display; may jump.
    pub(crate) unix: Duration,
}
