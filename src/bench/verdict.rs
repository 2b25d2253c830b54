//! Decides pass or fail from the account, the metrics and what went wrong with the run itself. Never looks at a
//! single event. Read [`Verdict`] first.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ledger::{Account, AnomalyKind, FaultRecord};
use super::metric::{Metric, Tally};
use super::plan::{PhaseId, Phases, Plan};
use super::recorder::Recorder;
use super::scenario::{Gaps, Guarantee, Order};
use super::threshold::Threshold;

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

/// What went wrong with the run itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// How long it went on: what counts per second are divided by.
    pub ran: Duration,
    /// Whether the end could be awaited: every client was back, and every sentinel was acknowledged, in time. Whether
    /// they arrived, the account knows.
    pub quiescent: bool,
}

/// Pass or fail, and by which names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
        let checks = checks(judged);
        let thresholds = super::thresholds::results(judged);
        let mut troubles = judged.troubles.to_vec();
        troubles.extend(fault_troubles(judged));
        troubles.extend(load_trouble(judged));
        let exits = checks.iter().map(exit_of_check).chain(thresholds.iter().map(exit_of_threshold));
        let exits = exits.chain(troubles.iter().map(|trouble| trouble.exit));
        let is_interrupted = troubles.iter().any(|trouble| trouble.exit == Exit::Interrupted);
        // What could not be found out because somebody ended the run early is no finding.
        let worst = exits.filter(|exit| !(is_interrupted && *exit == Exit::Unknown)).max();
        Self { exit: worst.unwrap_or(Exit::Pass), checks, thresholds, troubles }
    }

    /// The same, and no better than this.
    #[must_use]
    pub fn no_better_than(self, exit: Exit) -> Self {
        Self { exit: self.exit.max(exit), ..self }
    }

    /// Names of the checks that failed, and keys with expressions of the thresholds, in their order.
    pub fn failed_by_name(&self) -> impl Iterator<Item = String> {
        let checks = self.checks.iter().filter(|check| check.status == Status::Fail);
        let thresholds = self.thresholds.iter().filter(|result| result.status == Status::Fail);
        let thresholds = thresholds.map(|result| format!("{} {}", result.key, result.expression));
        checks.map(|check| check.name.clone()).chain(thresholds)
    }

    /// Everything that failed: the names, and in whole sentences what went wrong with the run itself. What nobody knows is
    /// not among it.
    pub fn failed(&self) -> impl Iterator<Item = String> {
        let troubles = self.troubles.iter().filter(|trouble| trouble.exit.grade() == Grade::Bad);
        self.failed_by_name().chain(troubles.map(|trouble| trouble.message.clone()))
    }

    /// Says why the bench was late, where that makes the run invalid.
    pub fn explain_lateness(&mut self, why: Option<&str>) {
        let was_late = |result: &ThresholdResult| result.judges_generator && result.status == Status::Fail;
        let why = why.filter(|_| self.thresholds.iter().any(was_late));
        self.troubles.extend(why.map(|why| Trouble { exit: Exit::Invalid, message: why.to_owned() }));
    }

    /// The check of this name.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }
}

fn exit_of_check(check: &Check) -> Exit {
    match check.status {
        Status::Pass | Status::Note => Exit::Pass,
        Status::Unknown => Exit::Unknown,
        Status::Fail => Exit::VerificationFailed,
    }
}

fn exit_of_threshold(result: &ThresholdResult) -> Exit {
    match result.status {
        Status::Pass | Status::Note => Exit::Pass,
        Status::Unknown => Exit::Unknown,
        Status::Fail if result.judges_generator => Exit::Invalid,
        Status::Fail => Exit::ThresholdsFailed,
    }
}

/// A fault that did not happen as planned: the run measured something else than it says.
fn fault_troubles(judged: &Judged<'_>) -> Vec<Trouble> {
    let is_interrupted = judged.troubles.iter().any(|trouble| trouble.exit == Exit::Interrupted);
    let trouble = |fault: &FaultRecord| {
        let message = match (&fault.error, fault.applied) {
            (Some(error), _) => format!("{}: {error}", fault.name),
            (None, None) if !is_interrupted => format!("{}: was never applied", fault.name),
            (None, _) => return None,
        };
        Some(Trouble { exit: Exit::FaultFailed, message })
    };
    judged.faults.iter().filter_map(trouble).collect()
}

/// Publishes that were due and never sent while nothing was broken: the load was not the one that was to be judged. A
/// scenario with a threshold of its own for them says how many it bears.
fn load_trouble(judged: &Judged<'_>) -> Option<Trouble> {
    let has_threshold = |threshold: &Threshold| threshold.metric == Metric::Tally(Tally::PublishDropped);
    let (calm, dropped) = (dropped(judged, false), judged.account.publishes.dropped);
    if calm == 0 || judged.plan.thresholds.iter().any(has_threshold) {
        return None;
    }
    let hint = match judged.plan.verify.order {
        Order::PerPublisherAddress => {
            ", or set verify.order = \"none\", so that those to one address need not wait for each other"
        }
        Order::None => "",
    };
    let message = format!(
        "{calm} of {} publishes that were due were never sent, in no fault's window ({dropped} in all): max_in_flight \
         were unanswered, so the load was not the planned one; raise max_in_flight, or lower the rate{hint}",
        judged.account.publishes.total(),
    );
    Some(Trouble { exit: Exit::Invalid, message })
}

/// Publishes that were never sent, in the windows of faults or out of them.
fn dropped(judged: &Judged<'_>, disturbed: bool) -> u64 {
    let by_phase = judged.account.dropped_by.iter();
    by_phase.filter(|(phase, _)| Phases::is_disturbed(**phase) == disturbed).map(|(_, count)| count).sum()
}

/// Every expectation of the deliveries, passed or not, in the order in which a person should read them.
fn checks(judged: &Judged<'_>) -> Vec<Check> {
    let (account, verify) = (judged.account, &judged.plan.verify);
    let repeats = match verify.delivery {
        Guarantee::ExactlyOnce => Status::Fail,
        Guarantee::AtMostOnce | Guarantee::AtLeastOnce => Status::Note,
    };
    let order = match verify.order {
        Order::PerPublisherAddress => Status::Fail,
        Order::None => Status::Note,
    };
    let gone = match verify.delivery {
        Guarantee::AtLeastOnce | Guarantee::ExactlyOnce => Status::Fail,
        Guarantee::AtMostOnce => Status::Note,
    };
    let (unexpected, owed) = (account.unexpected, account.expected);
    let fail = Status::Fail;
    let mut checks = vec![
        count(AnomalyKind::Leak, unexpected.leaked, fail, "addressed to somebody else"),
        count(AnomalyKind::Lost, account.lost, fail, &format!("of {owed} owed deliveries never came")),
        count(AnomalyKind::Forgotten, account.forgotten, fail, "acknowledged, and not in the log any more"),
        count(
            AnomalyKind::MisplacedResume,
            account.misplaced_resumes,
            fail,
            "resumed with a cursor, and went on behind what was owed",
        ),
        gaps(account, verify.gaps),
        count(
            AnomalyKind::DuplicatedInSession,
            account.duplicated_in_session,
            fail,
            "repeated within a session",
        ),
        count(
            AnomalyKind::DuplicatedAcrossReconnect,
            account.duplicated_across_reconnect,
            repeats,
            "repeated after a reconnect",
        ),
        count(
            AnomalyKind::Reordered,
            account.reordered,
            order,
            &format!("after a later one, by up to {}", account.reordered_by_at_most),
        ),
        count(AnomalyKind::NeverPublished, unexpected.never_published, fail, "published by nobody"),
        count(AnomalyKind::RefusedAppeared, unexpected.refused, fail, "of a publish that had been refused"),
        count(AnomalyKind::OtherRun, unexpected.other_run, fail, "of another run"),
        count(AnomalyKind::InconsistentId, account.inconsistent_ids, fail, "standing for two events"),
        count(AnomalyKind::NeverRecovered, account.never_recovered, gone, "never got back"),
        count(
            AnomalyKind::Unseen,
            account.unseen,
            Status::Unknown,
            &format!("of {owed} owed deliveries did not come, and nothing proves that they are lost"),
        ),
    ];
    checks.extend(drops(judged));
    checks.extend(super::queues::check(judged));
    checks.extend(super::dialect::check(judged));
    checks.extend(doubts(judged));
    checks
}

/// An expectation that something did not happen.
fn count(kind: AnomalyKind, count: u64, otherwise: Status, what: &str) -> Check {
    let (status, detail) = match count {
        0 => (Status::Pass, "none".to_owned()),
        _ => (otherwise, format!("{count} {what}")),
    };
    Check { name: kind.name().to_owned(), status, detail }
}

/// A `GAP` counts also where nothing that was owed is missing: a client cannot know that, and has to start anew.
fn gaps(account: &Account, allowed: Gaps) -> Check {
    let name = AnomalyKind::GapDeclared.name().to_owned();
    let (events, clients, owed) = (account.gap_events, account.gap_clients, account.expected);
    if events == 0 {
        return Check { name, status: Status::Pass, detail: "none".to_owned() };
    }
    let status = match allowed {
        Gaps::Forbidden => Status::Fail,
        Gaps::Allowed => Status::Note,
    };
    let (declared, sentinels) = (account.gap_declared, account.gap_sentinels);
    let detail = format!(
        "{events} GAP events at {clients} clients cover {declared} of {owed} owed deliveries and {sentinels} sentinels"
    );
    Check { name, status, detail }
}

/// What was due and never sent, told by phase. What it is worth, [`load_trouble`] says.
fn drops(judged: &Judged<'_>) -> Option<Check> {
    let phase = |(phase, count): (&PhaseId, &u64)| format!("{count} in {}", judged.plan.phases.name(*phase));
    let phases: Vec<String> = judged.account.dropped_by.iter().map(phase).collect();
    let publishes = judged.account.publishes;
    let detail = format!(
        "{} of {} that were due were never sent, because max_in_flight were unanswered: {}",
        publishes.dropped,
        publishes.total(),
        phases.join(", ")
    );
    let check = Check { name: "publishes dropped".to_owned(), status: Status::Note, detail };
    (publishes.dropped > 0).then_some(check)
}

/// What could not be found out. Only told where there is something to tell.
fn doubts(judged: &Judged<'_>) -> Vec<Check> {
    let (account, verify) = (judged.account, &judged.plan.verify);
    let mut doubts = Vec::new();
    let mut doubt = |name: &str, detail: String| {
        doubts.push(Check { name: name.to_owned(), status: Status::Unknown, detail });
    };
    if account.expected == 0 {
        doubt("deliveries owed", "nothing was owed to anybody, so nothing was verified".to_owned());
    }
    if account.order_unjudged > 0 && verify.order == Order::PerPublisherAddress {
        doubt("order", format!("{} inversions were too many to be judged", account.order_unjudged));
    }
    if account.without_sentinels > 0 {
        let clients = account.without_sentinels;
        doubt(
            "quiescence",
            format!("{clients} clients did not get the last event of each of their addresses"),
        );
    } else if !judged.quiescent {
        let timeout = humantime::format_duration(verify.quiesce.timeout);
        doubt("quiescence", format!("the end could not be awaited within {timeout}"));
    }
    if verify.quiesce.audit_read && !account.audited {
        doubt("audit read", "was not made".to_owned());
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_exit_wins_in_the_order_of_the_documentation() {
        assert!(Exit::ALL.is_sorted_by(|worse, better| worse > better));
        let codes = Exit::ALL.map(Exit::code);
        assert_eq!(codes, [120, 122, 99, 121, 123, 100, 101, 104, 105, 106, 1, 2, 0]);
    }
}
