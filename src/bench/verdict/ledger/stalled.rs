//! Streams that stayed open and fell silent. At the quiet end their clients connect again: what comes then, the server had
//! and did not send. Read [`stalled`] first.

use super::evidence::{Evidence, FaultRecord};
use super::impact::{can_affect, can_stall};
use super::subscriber::{Recheck, Session, SubscriberLedger};

/// The recheck of a client whose old stream got nothing while a new one did; `None` where there was none, or where a fault
/// could have held the old stream back.
pub(super) fn stalled<'a>(evidence: &Evidence<'_>, subscriber: &'a SubscriberLedger) -> Option<&'a Recheck> {
    conclusive(evidence, subscriber).filter(|recheck| recheck.got_something())
}

/// Whether a client had a new stream for long enough, and got nothing on it either.
pub(super) fn is_silent_again(evidence: &Evidence<'_>, subscriber: &SubscriberLedger) -> bool {
    conclusive(evidence, subscriber).is_some_and(|recheck| recheck.is_open && !recheck.got_something())
}

fn conclusive<'a>(evidence: &Evidence<'_>, subscriber: &'a SubscriberLedger) -> Option<&'a Recheck> {
    let recheck = subscriber.recheck().filter(|_| !evidence.was_interrupted)?;
    let before = |session: &&Session| session.confirmed <= recheck.at && session.ended >= recheck.at;
    let session = subscriber.sessions().iter().find(before)?;
    let holds_back = |fault: &FaultRecord| {
        fault.covers(recheck.at)
            && can_stall(fault, evidence.plan)
            && can_affect(fault, subscriber, session, evidence.plan)
    };
    (!evidence.faults.iter().any(holds_back)).then_some(recheck)
}
