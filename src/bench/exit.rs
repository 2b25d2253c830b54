//! exit

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a run ended. The order is the order of severity: the worst one is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
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
    /// All of them, the worst first.
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

    /// The one with this exit code.
    #[must_use]
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| exit.code() == code)
    }

    /// How a report shows it: one of three colours, signs, classes.
    #[must_use]
    pub fn grade(self) -> Grade {
        match self {
            Self::Pass => Grade::Good,
            Self::Unknown | Self::Interrupted => Grade::Doubtful,
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

/// What an [`Exit`] is worth to whoever looks at it for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// All is well.
    Good,
    /// Nobody knows.
    Doubtful,
    /// Something is wrong.
    Bad,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What went wrong with the run itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunProblem {
    /// Which kind.
    pub exit: Exit,
    /// What happened.
    pub message: String,
}
