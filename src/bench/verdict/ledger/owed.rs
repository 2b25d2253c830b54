//! Which events of a series one subscriber is owed. The only place that knows the guarantees.

use super::arrival::Ending;
use super::evidence::{Evidence, FaultRecord, MARGIN};
use super::impact::{can_affect, can_stall};
use super::publish::{Sent, Series};
use super::subscriber::{Session, SubscriberLedger};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::Guarantee;
use crate::bench::scenario::plan::{FaultAction, Plan};

/// The spans of time in which a subscriber is owed what is published.
#[derive(Debug, Clone)]
pub(super) struct Owed {
    spans: Vec<Span>,
    /// From the first confirmed subscription to the end.
    whole: Option<(RunTime, RunTime)>,
    /// Whether an event that arrived proves that all before it were owed, too.
    proves_earlier: bool,
}

/// Started at `from` or later, and acknowledged at `acknowledged_by` or earlier.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: RunTime,
    acknowledged_by: RunTime,
}

/// The last session of a leaving client that was long enough to replay what the client had missed, and when it was closed.
/// A client that leaves while disconnected never asked for the missed events; one that was back for a moment only may not
/// have received them yet.
fn final_session(sessions: &[Session], left: RunTime) -> Option<(&Session, RunTime)> {
    let close = |session: &Session| session.ended.min(left);
    let was_long_enough = |session: &&Session| session.confirmed <= close(session).minus(MARGIN);
    sessions.iter().rev().find(was_long_enough).map(|session| (session, close(session)))
}

/// Since when a session may have received nothing before it was closed: since a fault that could affect it was applied, if
/// the session was closed in the window of that fault. Events published since then waited in a stalled node, and the client
/// did not come back to ask for them.
fn stalled_since(
    evidence: &Evidence<'_>,
    subscriber: &SubscriberLedger,
    session: &Session,
    closed: RunTime,
) -> Option<RunTime> {
    let stalls = |fault: &&FaultRecord| {
        // A session that began after the heal was not stalled.
        let began_before_heal = fault.healed.is_none_or(|healed| session.confirmed < healed);
        began_before_heal
            && fault.covers(closed)
            && can_stall(fault, evidence.plan)
            && can_affect(fault, subscriber, session, evidence.plan)
    };
    evidence.faults.iter().filter(stalls).filter_map(|fault| fault.applied).min()
}

/// Whether events may come again behind later ones: those that Redis lost, and that nodes append again.
fn changes_order(fault: &FaultRecord, plan: &Plan) -> bool {
    let planned = plan.faults.iter().find(|planned| planned.name == fault.name);
    planned.is_none_or(|planned| matches!(planned.action, FaultAction::Redis { .. }))
}

impl Owed {
    pub(super) fn new(evidence: &Evidence<'_>, subscriber: &SubscriberLedger) -> Self {
        let Some(first) = subscriber.sessions().first() else {
            return Self { spans: Vec::new(), whole: None, proves_earlier: false };
        };
        let (end, ending) = subscriber.ending().unwrap_or((RunTime::NEVER, Ending::RunOver));
        let whole = Some((first.confirmed, end));
        // The run waits for clients that stay to its end. A client that leaves earlier leaves events in flight behind.
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
        let proves_earlier = evidence.rules >= 1
            && evidence.plan.verify.delivery != Guarantee::AtMostOnce
            && !evidence.faults.iter().any(|fault| changes_order(fault, evidence.plan));
        Self { spans, whole, proves_earlier }
    }

    /// Events in a mailbox are owed since the beginning of the run, at least once, whatever the guarantee of the run is.
    pub(super) fn of_the_mailbox(&self) -> Self {
        let whole = self.whole.map(|(_, end)| (RunTime::ZERO, end));
        let acknowledged_by = self.spans.last().map(|span| span.acknowledged_by);
        let spans = acknowledged_by.map(|acknowledged_by| Span { from: RunTime::ZERO, acknowledged_by });
        Self { spans: spans.into_iter().collect(), whole, proves_earlier: false }
    }

    /// First and last of the numbers that may be owed; empty when the first is above the last.
    pub(super) fn range(&self, series: &Series) -> (u64, u64) {
        self.whole.map_or((1, 0), |(from, until)| {
            (series.first_started_at(from), series.first_started_at(until).saturating_sub(1))
        })
    }

    /// How many events of a series are owed. `latest`: the largest number that arrived.
    pub(super) fn count(&self, sent: &Sent<'_>, latest: Option<u64>) -> u64 {
        let (first, last) = self.range(sent.series);
        match self.spans.as_slice() {
            [span] if span.acknowledged_by == RunTime::NEVER => sent.acknowledged_within(first, last),
            _ => (first..=last).filter(|seq| self.includes(sent.series, *seq, latest)).count() as u64,
        }
    }

    /// Whether the event with this number, which is within [`Self::range`], is owed. `latest`: the largest number that arrived.
    pub(super) fn includes(&self, series: &Series, seq: u64, latest: Option<u64>) -> bool {
        let Some((started, acknowledged)) = series.started(seq).zip(series.acknowledged(seq)) else {
            return false;
        };
        let is_proven =
            self.proves_earlier && latest.is_some_and(|latest| seq < latest && series.is_before(seq, latest));
        let is_in = |span: &Span| started >= span.from && (is_proven || acknowledged <= span.acknowledged_by);
        self.spans.iter().any(is_in)
    }
}
