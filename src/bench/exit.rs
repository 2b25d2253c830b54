//! How a run ended: exit codes, their severity, and the problems behind them. Knows nothing of deliveries.
//! Read [`Exit`] first.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a run ended. The order is the order of severity: the worst one is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// All checks and thresholds hold.
    Pass,
    /// The command line is not valid.
    Usage,
    /// The bench itself failed.
    Internal,
    /// An address could not be bound.
    AddressInUse,
    /// The user interrupted the run.
    Interrupted,
    /// The scenario is not valid, or limits of the machine are too low for it.
    BadScenario,
    /// The cluster could not be stopped.
    TeardownFailed,
    /// The cluster never became ready.
    SetupFailed,
    /// A fault could not be applied or healed.
    FaultFailed,
    /// A check or threshold could not be decided. Never a pass.
    Unknown,
    /// A threshold does not hold.
    ThresholdsFailed,
    /// The generator, not the cluster, was the limit.
    Invalid,
    /// Deliveries broke the guarantee of the scenario.
    VerificationFailed,
}

impl Exit {
    /// All exits, the most severe first.
    pub const ALL: [Self; 13] = [
        Self::VerificationFailed,
        Self::Invalid,
        Self::ThresholdsFailed,
        Self::Unknown,
        Self::FaultFailed,
        Self::SetupFailed,
        Self::TeardownFailed,
        Self::BadScenario,
        Self::Interrupted,
        Self::AddressInUse,
        Self::Internal,
        Self::Usage,
        Self::Pass,
    ];

    /// The exit code of `sse-bench`.
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

    /// The exit with this code; `None`: no exit has it.
    #[must_use]
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| exit.code() == code)
    }

    /// The grade by which reports choose a colour or a sign.
    #[must_use]
    pub fn grade(self) -> Grade {
        match self {
            Self::Pass => Grade::Good,
            Self::Unknown | Self::Interrupted => Grade::Inconclusive,
            Self::VerificationFailed
            | Self::Invalid
            | Self::ThresholdsFailed
            | Self::FaultFailed
            | Self::SetupFailed
            | Self::TeardownFailed
            | Self::BadScenario
            | Self::AddressInUse
            | Self::Internal
            | Self::Usage => Grade::Bad,
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

/// A coarse class of an [`Exit`], shown as a colour or a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// The run passed.
    Good,
    /// The run was not decided.
    Inconclusive,
    /// The run failed, or could not be carried out.
    Bad,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A problem of the run itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunProblem {
    /// The kind of problem; the verdict is at least as bad.
    pub exit: Exit,
    /// A sentence for the report.
    pub message: String,
}
