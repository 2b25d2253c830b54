//! Decides pass or fail from the account, the metrics and what went wrong with the run itself. Never looks at a
//! single event. Read [`Verdict`] first.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ledger::{Account, FaultRecord};
use super::plan::Plan;
use super::recorder::Recorder;

/// How a run ended. The order is the order of severity: the worst one is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// Everything held.
    Pass,
    /// A bad command line.
    Usage,
    /// The bench itself failed.
    Internal,
    /// An address could not be bound.
    AddressInUse,
    /// ^C.
    Interrupted,
    /// A bad scenario, or limits of the machine that are too low for it.
    BadScenario,
    /// The cluster could not be stopped.
    TeardownFailed,
    /// The cluster never became ready.
    SetupFailed,
    /// A fault could not be applied or healed.
    FaultFailed,
    /// Not quiet in time, or an expectation without samples. Never a pass.
    Unknown,
    /// A threshold did not hold.
    ThresholdsFailed,
    /// The generator, not the cluster, was the limit.
    Invalid,
    /// Deliveries were not what was promised.
    VerificationFailed,
}

impl Exit {
    /// The exit code of the process.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::ThresholdsFailed => 99,
            Self::SetupFailed => 100,
            Self::TeardownFailed => 101,
            Self::BadScenario => 104,
            Self::Interrupted => 105,
            Self::AddressInUse => 106,
            Self::VerificationFailed => 120,
            Self::Unknown => 121,
            Self::Invalid => 122,
            Self::FaultFailed => 123,
        }
    }

    /// The word at the top of a report.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::VerificationFailed | Self::ThresholdsFailed => "FAIL",
            Self::Invalid => "INVALID",
            Self::Unknown => "UNKNOWN",
            Self::Interrupted => "INTERRUPTED",
            Self::FaultFailed
            | Self::SetupFailed
            | Self::TeardownFailed
            | Self::BadScenario
            | Self::AddressInUse
            | Self::Internal
            | Self::Usage => "ERROR",
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What became of one expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Name.
    pub name: String,
    /// What became of it.
    pub status: Status,
    /// A sentence with the figures.
    pub detail: String,
}

/// A threshold with what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// What went wrong with the run itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Which kind.
    pub exit: Exit,
    /// What happened.
    pub message: String,
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
    pub troubles: &'a [Trouble],
    /// Whether the end was quiet: every subscriber had its sentinels before the timeout.
    pub quiescent: bool,
}

/// Pass or fail, and by which names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The worst of everything.
    pub exit: Exit,
    /// Expectations of the deliveries.
    pub checks: Vec<Check>,
    /// Expectations of the metrics.
    pub thresholds: Vec<ThresholdResult>,
    /// What went wrong with the run itself.
    pub troubles: Vec<Trouble>,
}

impl Verdict {
    /// Judges a run.
    #[must_use]
    pub fn new(judged: &Judged<'_>) -> Self {
        let _ = judged;
        todo!()
    }

    /// Names of the checks that failed, worst first as listed.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.checks.iter().filter(|check| check.status == Status::Fail).map(|check| check.name.as_str())
    }
}
