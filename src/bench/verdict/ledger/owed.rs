//! Which events of a series one subscriber is owed. The only place that knows the guarantees.

use super::SubscriberLedger;
use super::arrival::Ending;
use super::evidence::{Evidence, FaultRecord};
use super::impact::{can_stall, meets};
use super::judge::MARGIN;
use super::publish::{Sent, Series};
use super::subscriber::Session;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::Guarantee;

/// The spans of time in which a subscriber is owed what is published.
#[derive(Debug, Clone)]
pub(super) struct Owed {
    spans: Vec<Span>,
    /// From the first confirmed subscription to the end.
    whole: Option<(RunTime, RunTime)>,
}

/// Started at `from` or later, and acknowledged at `acknowledged_by` or earlier.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: RunTime,
    acknowledged_by: RunTime,
}

/// The last session of a client that left in which it was there long enough to be given what it had missed, and when that
/// was closed. One that leaves while it is away never asked for it; one that was back for a moment only may not have been
/// told it yet.
fn final_session(sessions: &[Session], left: RunTime) -> Option<(&Session, RunTime)> {
    let close = |session: &Session| session.ended.min(left);
    let was_long_enough = |session: &&Session| session.confirmed <= close(session).minus(MARGIN);
    sessions.iter().rev().find(was_long_enough).map(|session| (session, close(session)))
}

/// Since when a session may have been given nothing when it was closed: a fault that could reach it was at work, or its
/// traces were. What was published meanwhile waited in a node that stood still, and nobody came back to ask for it.
fn stalled_since(
    evidence: &Evidence<'_>,
    subscriber: &SubscriberLedger,
    session: &Session,
    closed: RunTime,
) -> Option<RunTime> {
    let stalls = |fault: &&FaultRecord| {
        // A session that began when all was mended was given everything.
        let was_there = fault.healed.is_none_or(|healed| session.confirmed < healed);
        was_there
            && fault.covers(closed)
            && can_stall(fault, evidence.plan)
            && meets(fault, subscriber, session, evidence.plan)
    };
    evidence.faults.iter().filter(stalls).filter_map(|fault| fault.applied).min()
}

impl Owed {
    pub(super) fn new(evidence: &Evidence<'_>, subscriber: &SubscriberLedger) -> Self {
        let Some(first) = subscriber.sessions().first() else {
            return Self { spans: Vec::new(), whole: None };
        };
        let (end, ending) = subscriber.ending().unwrap_or((RunTime::NEVER, Ending::RunOver));
        let whole = Some((first.confirmed, end));
        // Who stays to the end of a run is waited for; who goes earlier leaves something under way behind.
        let last = final_session(subscriber.sessions(), end);
        let stalled = last.and_then(|(session, closed)| stalled_since(evidence, subscriber, session, closed));
        let unless_stalled = |time: RunTime| stalled.map_or(time, |since| since.min(time)).minus(MARGIN);
        let at_the_end = match ending {
            Ending::RunOver | Ending::Unreachable => RunTime::NEVER,
            Ending::Left => unless_stalled(last.map_or(RunTime::ZERO, |(_, closed)| closed)),
            Ending::NoReconnect | Ending::GaveUp => unless_stalled(end),
        };
        let span = |from, ended: RunTime| Span {
            from,
            acknowledged_by: if ended < end { ended.minus(MARGIN) } else { at_the_end },
        };
        let spans = match evidence.plan.verify.delivery {
            Guarantee::AtMostOnce => {
                subscriber.sessions().iter().map(|session| span(session.confirmed, session.ended)).collect()
            }
            Guarantee::AtLeastOnce | Guarantee::ExactlyOnce => vec![span(first.confirmed, end)],
        };
        Self { spans, whole }
    }

    /// What was put into a mailbox is owed from the beginning of the run on, though the subscriber came later: at least
    /// once, whatever else is promised.
    pub(super) fn of_the_mailbox(&self) -> Self {
        let whole = self.whole.map(|(_, end)| (RunTime::ZERO, end));
        let acknowledged_by = self.spans.last().map(|span| span.acknowledged_by);
        let spans = acknowledged_by.map(|acknowledged_by| Span { from: RunTime::ZERO, acknowledged_by });
        Self { spans: spans.into_iter().collect(), whole }
    }

    /// Numbers that may be owed, both ends included; empty when the first is above the last.
    pub(super) fn range(&self, series: &Series) -> (u64, u64) {
        self.whole.map_or((1, 0), |(from, until)| {
            (series.first_started_at(from), series.first_started_at(until).saturating_sub(1))
        })
    }

    /// How many are owed.
    pub(super) fn count(&self, sent: &Sent<'_>) -> u64 {
        let (first, last) = self.range(sent.series);
        match self.spans.as_slice() {
            [span] if span.acknowledged_by == RunTime::NEVER => sent.acknowledged_within(first, last),
            _ => (first..=last).filter(|seq| self.includes(sent.series, *seq)).count() as u64,
        }
    }

    /// Whether this one, of the numbers that may be owed, is owed.
    pub(super) fn includes(&self, series: &Series, seq: u64) -> bool {
        let Some((started, acknowledged)) = series.started(seq).zip(series.acknowledged(seq)) else {
            return false;
        };
        self.spans.iter().any(|span| started >= span.from && acknowledged <= span.acknowledged_by)
    }

    /// Whether it was acknowledged, within the life of the subscriber, and is not owed.
    pub(super) fn is_offline(&self, series: &Series, seq: u64) -> bool {
        series.acknowledged(seq).is_some() && !self.includes(series, seq)
    }
}
