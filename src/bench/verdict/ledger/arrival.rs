//! The types between a client and its ledger: how an arrived event is classified, and why a client stopped.
//! Read [`Arrival`] first.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::ids::AddressId;
use crate::bench::metrics::tags::Path;
use crate::bench::stamp::Stamp;

/// The class of an event that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// A new event. Its latency counts.
    New {
        stamp: Stamp,
        path: Path,
        /// Time since the stream was lost, for the first new event after a reconnect; else `None`.
        recovered_after: Option<Duration>,
    },
    /// An event that had arrived before.
    Repeated {
        /// Whether it had arrived in the current session.
        in_session: bool,
    },
    /// The sentinel of an address: its last event.
    Sentinel(AddressId),
    /// An event of an address that is not one of the client's.
    Leaked,
    /// An event of another run.
    OtherRun,
    /// An event without a stamp.
    Foreign,
    /// An event whose stamp is damaged, so that nobody knows which one it was.
    Altered,
}

/// The fields of an event beside its `data:`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// `id:`; `None`: the event has none, or it is not to be compared.
    pub id: Option<&'a str>,
    /// `event:`, `message` where the event has none; `None`: it was not recorded.
    pub event: Option<&'a str>,
}

impl<'a> From<Option<&'a str>> for Fields<'a> {
    fn from(id: Option<&'a str>) -> Self {
        Self { id, event: None }
    }
}

/// Why a client will not connect again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The run ended while its stream was open.
    RunOver,
    /// The plan made it leave before the end of the run.
    Left,
    /// Its stream ended, and its policy is not to reconnect.
    NoReconnect,
    /// Its policy gave up after an answer of the server (a browser after a 503, …).
    GaveUp,
    /// The run ended while it was trying to reconnect.
    Unreachable,
}
