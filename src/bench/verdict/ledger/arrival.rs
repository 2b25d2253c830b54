//! What a client is told of an event that arrived, and what it says when it leaves: the words between a subscriber and
//! its ledger.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::ids::AddressId;
use crate::bench::metrics::tags::Path;
use crate::bench::stamp::Stamp;

/// What an arrival was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The first time. Its latency counts.
    New {
        /// What it says of itself.
        stamp: Stamp,
        /// How it came.
        path: Path,
        /// For the first new event after a stream was lost: how long ago that was.
        recovered_after: Option<Duration>,
    },
    /// It was here before.
    Repeated {
        /// In this very session.
        in_session: bool,
    },
    /// The last event of an address.
    Sentinel(AddressId),
    /// Addressed to somebody else.
    Leaked,
    /// Of another run.
    OtherRun,
    /// Of no run.
    Foreign,
}

/// Why a client connects no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The run was over and its stream was open.
    RunOver,
    /// The plan made it leave before that.
    Left,
    /// Its stream ended, and its policy is not to come back.
    NoReconnect,
    /// Its policy gave up (a browser after a 503, …): the server made it go away for good.
    GaveUp,
    /// It was still trying when the run was over.
    Unreachable,
}
