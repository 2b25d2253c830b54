//! A finding of the diagnosis. Data only. Read [`Finding`] first.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bench::verdict::ledger::AnomalyKind;

/// A cause with its evidence and its remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    pub cause: Cause,
    /// The cause in one sentence.
    pub what: String,
    /// The figures that show it.
    pub evidence: String,
    /// What to change; empty where the evidence says it already.
    pub remedy: String,
}

/// The kinds of causes. The name in `report.json` and in JUnit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The stream is redirected to a page, most likely a login.
    LoginRedirect,
    /// The stream is answered with another type, or refused with a status.
    NotAStream,
    /// There is no head in time: something buffers until the first event.
    NoHead,
    /// A load balancer or server answered 5xx, after which a browser stays away for good.
    ServerError,
    /// The headers of CORS would keep the page of another origin out.
    Cors,
    /// Streams end in the middle of an event, which a client cannot tell from an end: HTTP/1.0, or no framing.
    Http10,
    /// The blank line after an event is missing.
    NoBlankLine,
    /// Streams end after a certain silence.
    SilenceLimit,
    /// Streams end at a certain age.
    AgeLimit,
    /// No event has an id, so nothing can be resumed.
    NoIds,
    /// Events have ids, and no client sends one when it comes back.
    NoCursor,
    /// Ids repeat or go back.
    IdsGoBack,
    /// Events are compressed, and the compressor holds them back.
    Compressed,
    /// Events arrive in bursts, held back.
    HeldBack,
    /// The replay repeats or skips the event of the cursor.
    ReplayFront,
    /// The replay and the live stream overlap by one event, or leave one out.
    ReplayBack,
    /// The replay ends, or begins, at a fixed number of events.
    ReplayLimit,
    /// A cursor was sent, and nothing was replayed.
    ReplayNothing,
    /// A check of the deliveries failed, and no cause above explains it.
    Delivery,
    /// A threshold does not hold.
    Threshold,
    /// The bench was the limit, or a part of it failed.
    Bench,
    /// A fault could not be applied or healed, or a server did not start or stop.
    Cluster,
    /// The evidence does not decide everything.
    Undecided,
}

impl Cause {
    /// The name as it stands in `report.json`.
    #[must_use]
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl fmt::Display for Finding {
    /// In a paragraph.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.evidence)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

/// A finding, and the anomalies that it explains: they need no finding of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Explained {
    pub(super) finding: Finding,
    pub(super) explains: &'static [AnomalyKind],
}

impl Explained {
    pub(super) fn new(
        cause: Cause,
        what: impl Into<String>,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let finding = Finding { cause, what: what.into(), evidence: evidence.into(), remedy: remedy.into() };
        Self { finding, explains: &[] }
    }

    pub(super) fn explains(self, explains: &'static [AnomalyKind]) -> Self {
        Self { explains, ..self }
    }
}
