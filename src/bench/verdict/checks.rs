//! The checks of the deliveries: each expectation of `verify`, and notes on what explains a result. Never looks at a
//! single event. Read [`checks`] first.

use std::time::Duration;

use super::ledger::{Account, AnomalyKind};
use super::outcome::{Check, Status, VerdictInput};
use super::{compressed, findings};
use crate::bench::ids::PhaseId;
use crate::bench::metrics::format::readable;
use crate::bench::metrics::metric::{Counter, Trend};
use crate::bench::metrics::tags::{Source, Tags};
use crate::bench::scenario::plan::{Phases, PublisherPlan};
use crate::bench::scenario::{Gaps, Guarantee, Order, Verify};
use crate::runtime::plural;

/// A shorter delay is small against the duration of a publish.
const QUEUEING_MIN: Duration = Duration::from_millis(50);

/// Every expectation of the deliveries, passed or not, in the order of reports.
pub(super) fn checks(input: &VerdictInput<'_>) -> Vec<Check> {
    let (account, verify) = (input.account, &input.plan.verify);
    let [repeats, order, gone] = strictness(verify);
    let (unexpected, owed) = (account.unexpected, account.expected);
    let fail = Status::Fail;
    let mut checks = vec![
        count(AnomalyKind::Leak, unexpected.leaked, fail, "of addresses that are not those of the client"),
        count(AnomalyKind::Lost, account.lost, fail, &format!("of {owed} owed deliveries never arrived")),
        count(AnomalyKind::Forgotten, account.forgotten, fail, "acknowledged, but no longer in the log"),
        count(
            AnomalyKind::MisplacedResume,
            account.misplaced_resumes,
            fail,
            "resumed with a cursor and skipped owed events",
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
    ];
    checks.extend(strangers(account));
    checks.extend(forms(input));
    checks.extend([
        count(
            AnomalyKind::InconsistentId,
            account.inconsistent_ids,
            fail,
            "of two events, or events with two ids",
        ),
        count(AnomalyKind::NeverRecovered, account.never_recovered, gone, "never got a session again"),
        count(
            AnomalyKind::Unseen,
            account.unseen,
            Status::Unknown,
            &format!("of {owed} owed deliveries did not arrive, but are not proven to be lost"),
        ),
    ]);
    checks.extend(drops(input));
    checks.extend(queueing(input));
    checks.extend(overlaps(input));
    checks.extend(payload_path(input));
    checks.extend(compressed::check(input));
    checks.extend(findings::checks(input));
    checks.extend(undecided(input));
    checks
}

/// What repeats after a reconnect, disorder, and clients that never came back mean under these expectations.
fn strictness(verify: &Verify) -> [Status; 3] {
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
    [repeats, order, gone]
}

/// Events that were not published as they arrived.
fn strangers(account: &Account) -> Vec<Check> {
    let (unexpected, fail) = (account.unexpected, Status::Fail);
    vec![
        count(AnomalyKind::NeverPublished, unexpected.never_published, fail, "that no publisher sent"),
        count(AnomalyKind::RefusedAppeared, unexpected.refused, fail, "of a publish that had been refused"),
        count(AnomalyKind::OtherRun, unexpected.other_run, fail, "of another run"),
    ]
}

/// What stands in an event or its stream, beside whether it arrived; nothing for a run of a build that did not judge it.
fn forms(input: &VerdictInput<'_>) -> Vec<Check> {
    let (account, fail) = (input.account, Status::Fail);
    if input.rules < 1 {
        return Vec::new();
    }
    vec![
        count(
            AnomalyKind::AlteredPayload,
            account.altered,
            fail,
            "with another payload than they were published with",
        ),
        count(
            AnomalyKind::WrongEventType,
            account.wrong_types,
            fail,
            "with another event: than they were published with",
        ),
        count(
            AnomalyKind::IdGoesBack,
            account.fallen_ids,
            fail,
            "with an id that does not follow the one before it in the stream",
        ),
        count(
            AnomalyKind::StalledStream,
            account.stalled_streams,
            fail,
            &format!(
                "streams stayed open and silent; {} deliveries came only after a reconnect",
                account.stalled_deliveries
            ),
        ),
    ]
}

/// The expectation that a kind of anomaly did not occur.
fn count(kind: AnomalyKind, count: u64, otherwise: Status, what: &str) -> Check {
    let (status, detail) = match count {
        0 => (Status::Pass, "none".to_owned()),
        _ => (otherwise, format!("{count} {what}")),
    };
    Check { name: kind.name().to_owned(), status, detail }
}

/// A `GAP` counts even if no owed event is missing: the client cannot know that and has to reload its state.
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

/// Publishes that were due and never sent, by phase. Whether they make the run INVALID is decided in `verdict`.
fn drops(input: &VerdictInput<'_>) -> Option<Check> {
    let phase = |(phase, count): (&PhaseId, &u64)| format!("{count} in {}", input.plan.phases.name(*phase));
    let phases: Vec<String> = input.account.dropped_by.iter().map(phase).collect();
    let publishes = input.account.publishes;
    let detail = format!(
        "{} of {} were never sent because max_in_flight was reached: {}",
        publishes.dropped,
        publishes.total(),
        phases.join(", ")
    );
    let check = Check { name: "publishes dropped".to_owned(), status: Status::Note, detail };
    (publishes.dropped > 0).then_some(check)
}

/// Publishers whose publishes waited in the bench outside fault windows: with `in_order` the next publish to an address
/// waits for the answer to the one before, and `delivery_latency` includes that wait.
fn queueing(input: &VerdictInput<'_>) -> Option<Check> {
    let queue = |publisher: &PublisherPlan| {
        let is_meant =
            |tags: &Tags| tags.source == Source::Publisher(publisher.id) && !Phases::is_disturbed(tags.phase);
        let of = |trend| input.recorder.samples(trend, is_meant);
        let (delays, lags) = (of(Trend::PublishDispatchDelay), of(Trend::GeneratorLag));
        let bench = lags.of_delivered(95.0).unwrap_or_default();
        let delay = delays.of_delivered(95.0).filter(|delay| *delay >= bench + QUEUEING_MIN)?;
        let longest = delays.of_delivered(100.0)?;
        Some(format!("{}: 95 % up to {}, all up to {}", publisher.name, readable(delay), readable(longest)))
    };
    let waits = |publisher: &&PublisherPlan| publisher.in_order;
    let queues: Vec<String> = input.plan.publishers.iter().filter(waits).filter_map(queue).collect();
    let detail = format!(
        "each waited for the answer to the one before to the same address (in_order). {}. delivery_latency includes this \
         wait; delivery_latency_sent does not. See publish_dispatch_delay",
        queues.join("; ")
    );
    let check = Check { name: "publishes waited".to_owned(), status: Status::Note, detail };
    (!queues.is_empty()).then_some(check)
}

/// Says so where most publishes overlapped with the one before to the same address, so that their order was hardly judged.
fn overlaps(input: &VerdictInput<'_>) -> Option<Check> {
    let (overlapping, all) = (input.account.overlapping, input.account.publishes.ok);
    let is_judged = input.plan.verify.order == Order::PerPublisherAddress;
    let detail = format!(
        "{overlapping} of {all} were sent before the one ahead of them to the same address was acknowledged; the server may \
         deliver such two in either order. With publishers.NAME.in_order = true they wait for each other"
    );
    let check = Check { name: "publishes overlapped".to_owned(), status: Status::Note, detail };
    (is_judged && overlapping > all / 2).then_some(check)
}

/// Messages arrived and deliveries were owed, but no event was found: most likely `dialect.payload` is wrong.
fn payload_path(input: &VerdictInput<'_>) -> Option<Check> {
    let dialect = input.plan.dialect.as_ref().filter(|dialect| !dialect.payload.is_all())?;
    let came = input.recorder.total(Counter::Heartbeats, |_| true);
    if input.account.ok > 0 || input.account.expected == 0 || came == 0 {
        return None;
    }
    let payload = &dialect.payload;
    let detail = format!(
        "{came} messages and comments arrived, but none has an event of this run at dialect.payload {payload}; correct the path"
    );
    Some(Check { name: "nothing found".to_owned(), status: Status::Note, detail })
}

/// Checks that the evidence could not decide.
fn undecided(input: &VerdictInput<'_>) -> Vec<Check> {
    let (account, verify) = (input.account, &input.plan.verify);
    let mut checks = Vec::new();
    let mut add = |name: &str, detail: String| {
        checks.push(Check { name: name.to_owned(), status: Status::Unknown, detail });
    };
    if account.expected == 0 {
        add("deliveries owed", "no delivery was owed, so nothing was verified".to_owned());
    }
    if account.order_unjudged > 0 && verify.order == Order::PerPublisherAddress {
        add(
            "order",
            format!(
                "{} events that arrived out of order were not judged, because a client keeps only a limited number of them",
                account.order_unjudged
            ),
        );
    }
    if account.without_sentinels > 0 {
        let clients = account.without_sentinels;
        add(
            "quiescence",
            format!(
                "the sentinel (the last event to an address) did not reach {clients} {}, so later events may be missing",
                plural(clients, "client")
            ),
        );
    } else if !input.quiescent {
        let timeout = humantime::format_duration(verify.quiesce.timeout);
        add(
            "quiescence",
            format!(
                "not all clients came back, or not all sentinels were acknowledged, within verify.quiesce.timeout ({timeout})"
            ),
        );
    }
    if verify.quiesce.audit_read && !account.audited {
        add("audit read", "the log was not read again".to_owned());
    }
    checks
}
