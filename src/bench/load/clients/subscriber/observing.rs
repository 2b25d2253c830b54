//! What a client notes for the diagnosis: heads, refusals, ids, moments of arrival, ends. Judges nothing. Read
//! [`observe_event`] first.

use std::cmp::Ordering;

use super::reading::Incoming;
use super::subscriber::{Session, Stopped, Subscriber};
use crate::bench::metrics::tags::Path;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::dialect::{Dialect, Message};
use crate::bench::scenario::plan::Phases;
use crate::bench::verdict::diagnosis::{EndedBy, Refusal, StreamEnd, Why, step};
use crate::bench::verdict::ledger::Arrival;
use crate::client::{ConnectError, Ending, Head, Intake};
use crate::protocol::{Item, Pending};
use crate::runtime::clock::millis;

/// An event that is incomplete for this long is not on its way any more, in milliseconds.
const STUCK: u64 = 1_000;

impl Subscriber {
    /// How the id of an event follows the last one. To be asked before the client learns the new one.
    pub(super) fn step_to(&self, item: &Item<'_>) -> Option<Ordering> {
        match item {
            Item::Event { last_event_id, id_in_block: true, .. } => {
                step(self.reconnect.last_event_id(), last_event_id)
            }
            Item::Event { .. } | Item::Comment(_) | Item::Retry(_) | Item::IdCommitted(_) => None,
        }
    }

    /// Notes that bytes arrived. A throttled client takes events in bursts by itself, and a fault may hold them back or change
    /// the log.
    pub(in crate::bench::load::clients) fn observe_bytes(&self, session: &mut Session, now: RunTime) {
        session.notes.last_bytes = now;
        session.notes.is_calm = self.throttle.is_none() && !self.is_disturbed(now);
    }

    pub(super) fn observe_head(&self, intake: &mut Intake) {
        let (is_again, has_cursor) = (self.connects > 1, self.sends_cursor());
        let head = intake.take_head().unwrap_or_default();
        self.context.observe(|all| {
            all.head(head);
            all.reconnects += u64::from(is_again);
            all.without_cursor += u64::from(is_again && !has_cursor);
        });
    }

    pub(super) fn observe_refusal(&self, error: &ConnectError, gave_up: bool) {
        let nothing = Head::default();
        let (why, head) = match error {
            ConnectError::Status { status, head, .. } => (Why::Status(status.as_u16()), &**head),
            ConnectError::ContentType { content_type, head, .. } => {
                (Why::Type(content_type.clone().unwrap_or_default()), &**head)
            }
            ConnectError::Timeout { limit, .. } => (Why::Timeout(millis(*limit)), &nothing),
            ConnectError::Refused { .. } | ConnectError::Broken { .. } => (Why::NoConnection, &nothing),
            ConnectError::Request { .. } | ConnectError::Coding { .. } => (Why::Request, &nothing),
        };
        let is_disturbed = self.is_disturbed(self.context.clock.now());
        let (server, redirected_to) = (head.server.clone(), head.redirected_to.clone());
        let has_retry_after = head.has_retry_after;
        let refusal = Refusal { why, is_disturbed, server, has_retry_after, redirected_to };
        self.context.observe(|all| all.refusal(refusal, gave_up));
    }

    /// Adds the notes of a stream that is over to those of all.
    pub(super) fn observe_end(&self, intake: &Intake, session: &Session, stopped: &Stopped) {
        let now = self.context.clock.now();
        let silence = millis(now.after(session.notes.last_bytes));
        let by = match stopped {
            Stopped::Ended(Ending::Clean) => Some(EndedBy::Server),
            Stopped::Ended(Ending::Aborted { .. }) => Some(EndedBy::Break),
            Stopped::Ended(Ending::Idle { .. }) => Some(EndedBy::Client),
            Stopped::Ended(_) | Stopped::Cut | Stopped::Recheck | Stopped::Over | Stopped::Leaves => None,
        };
        let end = by.map(|by| StreamEnd {
            at: millis(now.since_start()),
            age: millis(session.began.elapsed()),
            silence,
            by,
        });
        let is_clean = by == Some(EndedBy::Server);
        let is_stuck =
            matches!(stopped, Stopped::Recheck | Stopped::Over | Stopped::Ended(Ending::Idle { .. }))
                && silence >= STUCK;
        let is_disturbed = self.is_disturbed(now);
        let is_compressed = intake.coding().is_some();
        let is_silent = session.notes.events.with_id + session.notes.events.without_id == 0;
        self.context.observe(|all| {
            all.stream(&session.notes);
            all.compressed += u64::from(is_compressed);
            all.compressed_silent += u64::from(is_compressed && is_silent);
            match intake.pending() {
                Pending::Line => all.cut_in_a_line += u64::from(is_clean),
                Pending::Block => all.cut_in_a_block += u64::from(is_clean || is_stuck),
                Pending::Nothing => {}
            }
            if let Some(end) = end.filter(|_| !is_disturbed) {
                all.end(end);
            }
        });
    }

    fn is_disturbed(&self, at: RunTime) -> bool {
        Phases::is_disturbed(self.context.plan.phases.at(at))
    }
}

/// Notes an event by what its ledger says of it.
pub(super) fn observe_event(session: &mut Session, now: RunTime, incoming: &Incoming<'_>, arrival: Arrival) {
    let Arrival::New { stamp, path, .. } = arrival else { return };
    session.notes.events.event(incoming.id.is_some());
    if path == Path::Live && session.notes.is_calm {
        session.notes.bursts.arrived(now, stamp.sent);
        if let Some(step) = incoming.step {
            session.notes.events.step(step);
        }
    }
}

/// Whether an event holds several events of a run: nothing ended the first one.
pub(super) fn is_joined(dialect: &Dialect, incoming: &Incoming<'_>) -> bool {
    let is_one = |line: &&str| matches!(dialect.read(incoming.event, line), Message::Event(_));
    incoming.data.contains('\n') && incoming.data.lines().filter(is_one).take(2).count() > 1
}
