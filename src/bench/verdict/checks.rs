//! checks

use super::ledger::{Account, AnomalyKind};
use super::outcome::{Check, Judged, Status};
use crate::bench::ids::PhaseId;
use crate::bench::scenario::{Gaps, Guarantee, Order};

/// Every expectation of the deliveries, passed or not, in the order in which a person should read them.
pub(super) fn checks(judged: &Judged<'_>) -> Vec<Check> {
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
    checks.extend(super::queueing::check(judged));
    checks.extend(super::foreign::check(judged));
    checks.extend(doubts(judged));
    checks
}

/// An expectation that something did not happen.
pub(super) fn count(kind: AnomalyKind, count: u64, otherwise: Status, what: &str) -> Check {
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
