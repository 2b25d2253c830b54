//! How the server replays what a client missed: one event too many or too few, a fixed number, or nothing. Read
//! [`causes`] first.

use crate::bench::verdict::diagnosis::diagnose::Judgement;
use crate::bench::verdict::diagnosis::finding::{Cause, Explained};
use crate::bench::verdict::ledger::AnomalyKind::{
    DuplicatedAcrossReconnect, DuplicatedInSession, Lost, MisplacedResume,
};
use crate::bench::verdict::ledger::{Cut, Replays};
use crate::runtime::plural;

/// A claim about all replays needs more than one.
const SESSIONS_MIN: u64 = 2;
/// Share of the replays that must show it, in percent.
const SHARE: u64 = 75;

/// Whether something shows in so many of the replays that it is how the server works.
fn is_a_rule(count: u64, of: u64) -> bool {
    count >= SESSIONS_MIN && count * 100 >= of * SHARE
}

pub(in crate::bench::verdict::diagnosis) fn causes(
    judgement: &Judgement<'_>,
) -> impl Iterator<Item = Explained> + use<> {
    let replays = judgement.replays;
    [nothing(replays), limit(replays), front(replays), back(replays)].into_iter().flatten()
}

/// Reconnects with a cursor that got none of what they had missed.
fn nothing(replays: &Replays) -> Option<Explained> {
    if !is_a_rule(replays.nothing, replays.lossy + replays.whole) {
        return None;
    }
    let (count, lost) = (replays.nothing, replays.nothing_lost);
    // On a busy machine a stream opens slowly, and these may have been live ones.
    let at_most = match replays.nothing_but.filter(|events| *events > 0) {
        Some(events) => format!(", or only the newest {events} at most"),
        None => String::new(),
    };
    let found = Explained::new(
        Cause::ReplayNothing,
        format!(
            "The server does not replay{at_most}: a client that comes back with Last-Event-ID gets only what is new"
        ),
        format!(
            "{count} streams were opened with a cursor, and {lost} events that they had missed did not come"
        ),
        "keep the newest events with their ids, and send those behind Last-Event-ID before anything new; with several \
         nodes, all of them need the same log",
    );
    Some(found.explains(&[Lost, MisplacedResume]))
}

/// Replays that stop at, or begin with, a fixed number of events.
fn limit(replays: &Replays) -> Option<Explained> {
    let (Cut { least, most, is_newest }, count) = replays.limit()?;
    if !is_a_rule(count, replays.lossy) {
        return None;
    }
    let events = match (least, most) {
        (least, most) if least == most => format!("{least} {}", plural(least, "event")),
        (least, most) => format!("{least} to {most} events"),
    };
    let what = if is_newest {
        format!("Replay ends at {events}: of what a client missed, only the newest ones came")
    } else {
        format!("Replay ends at {events}: what a client missed beyond that is left out")
    };
    let found = Explained::new(
        Cause::ReplayLimit,
        what,
        format!(
            "{count} of {} replays with losses had {events} and a hole {}",
            replays.lossy,
            if is_newest { "before them" } else { "behind them" }
        ),
        "read on until the end of the log, page by page, before going live; where the log is too short for that, say so \
         with an event (GAP) instead of going on in silence",
    );
    Some(found.explains(&[Lost, MisplacedResume]))
}

/// One event too many or too few where the replay begins.
fn front(replays: &Replays) -> Option<Explained> {
    if is_a_rule(replays.repeats_cursor, replays.resumed) {
        let found = Explained::new(
            Cause::ReplayFront,
            "Replay is off by one at the front: the event of the cursor itself comes again",
            format!(
                "{} of {} resumed streams began with the last event they had had",
                replays.repeats_cursor, replays.resumed
            ),
            "replay what stands behind Last-Event-ID, without it: greater than, not greater or equal",
        );
        return Some(found.explains(&[DuplicatedAcrossReconnect]));
    }
    let found = Explained::new(
        Cause::ReplayFront,
        "Replay is off by one at the front: the first event behind the cursor is left out",
        format!(
            "{} of {} resumed streams lacked exactly the first event that they had missed",
            replays.front_one,
            replays.resumed_with_missed()
        ),
        "Last-Event-ID names the last event that the client has: the next one belongs to the replay",
    );
    is_a_rule(replays.front_one, replays.resumed_with_missed())
        .then(|| found.explains(&[Lost, MisplacedResume]))
}

/// One event too many or too few where the replay ends and the live stream begins.
fn back(replays: &Replays) -> Option<Explained> {
    if is_a_rule(replays.repeats_seam, replays.resumed_with_missed()) {
        let found = Explained::new(
            Cause::ReplayBack,
            "Replay is off by one at the back: the last replayed event comes again as the first live one",
            format!(
                "{} of {} replays end with an event that comes twice",
                replays.repeats_seam,
                replays.resumed_with_missed()
            ),
            "subscribe first, then replay, and drop from the live stream what the replay has sent already",
        );
        return Some(found.explains(&[DuplicatedInSession]));
    }
    let found = Explained::new(
        Cause::ReplayBack,
        "Replay is off by one at the back: between the last replayed event and the first live one, one is left out",
        format!(
            "{} of {} replays lack exactly one event, right before the live ones",
            replays.back_one,
            replays.resumed_with_missed()
        ),
        "subscribe to live events before the log is read, not after: what is published between the two belongs to one of them",
    );
    is_a_rule(replays.back_one, replays.resumed_with_missed())
        .then(|| found.explains(&[Lost, MisplacedResume]))
}
