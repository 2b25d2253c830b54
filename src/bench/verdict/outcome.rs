//! outcome

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ledger::{Account, FaultRecord};
use crate::bench::exit::RunProblem;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::scenario::plan::Plan;

/// What became of one expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It held.
    Pass,
    /// Worth telling, allowed by the scenario.
    Note,
    /// Nobody knows.
    Unknown,
    /// It did not hold.
    Fail,
}

/// One expectation of the deliveries, by name: `lost`, `isolation leak`, …
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// Name.
    pub name: String,
    /// What became of it.
    pub status: Status,
    /// A sentence with the figures.
    pub detail: String,
}

/// A threshold with what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdResult {
    /// The metric with its tags, as written.
    pub key: String,
    /// The expression, as written.
    pub expression: String,
    /// What became of it.
    pub status: Status,
    /// What was measured, as text: `p(99)=12.4ms`, `lost`, `no samples`.
    pub measured: String,
    /// It judges the generator: a breach makes the run invalid.
    pub judges_generator: bool,
}

/// Everything that a verdict is made from.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// What was planned.
    pub plan: &'a Plan,
    /// What became of the deliveries.
    pub account: &'a Account,
    /// What was measured.
    pub recorder: &'a Recorder,
    /// What was broken when.
    pub faults: &'a [FaultRecord],
    /// What went wrong with the run itself: interrupted, set-up failed, …
    pub troubles: &'a [RunProblem],
    /// How long it went on: what counts per second are divided by.
    pub ran: Duration,
    /// Whether the end could be awaited: every client was back, and every sentinel was acknowledged, in time. Whether
    /// they arrived, the account knows.
    pub quiescent: bool,
}
