//! The result types of a verdict, and what a verdict is made from. Data only. Read [`VerdictInput`] first.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ledger::{Account, FaultRecord};
use super::sightings::Sightings;
use crate::bench::exit::RunProblem;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::scenario::plan::Plan;

/// The result of one check or threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The expectation holds.
    Pass,
    /// Reported, but allowed by the scenario.
    Note,
    /// The evidence does not decide it.
    Unknown,
    /// The expectation does not hold.
    Fail,
}

/// The result of one expectation of the deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// Stable name: `lost`, `isolation leak`, …
    pub name: String,
    pub status: Status,
    /// The figures, in words.
    pub detail: String,
}

/// The result of one threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdResult {
    /// The metric with its tags, as in the scenario.
    pub key: String,
    /// The expression, as in the scenario.
    pub expression: String,
    pub status: Status,
    /// The measured value, as text: `p(99)=12.4ms`, `p(99)=lost`, `no samples`.
    pub measured: String,
    /// Whether it judges the load generator: then a breach makes the run INVALID.
    pub judges_generator: bool,
}

/// Everything that a verdict rests on.
#[derive(Debug, Clone, Copy)]
pub struct VerdictInput<'a> {
    pub plan: &'a Plan,
    pub account: &'a Account,
    pub recorder: &'a Recorder,
    /// Each fault of the plan, as applied.
    pub faults: &'a [FaultRecord],
    /// The version of the rules of judging, at most [`super::ledger::RULES`].
    pub rules: u16,
    /// Problems of the run itself: interrupted, set-up failed, …
    pub problems: &'a [RunProblem],
    /// What clients noticed beside events.
    pub sightings: &'a Sightings,
    /// How long the load ran: counts per second are divided by it.
    pub ran: Duration,
    /// Whether every client was back and every sentinel was acknowledged in time. Whether the sentinels arrived stands in the
    /// account.
    pub quiescent: bool,
}
