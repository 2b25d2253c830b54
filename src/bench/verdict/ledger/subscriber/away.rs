//! What a client met while it had no session: attempts that came to nothing. From them follows whether one that left by
//! its plan had been locked out before. Bounded: the first and the last of them. Read [`Away::is_locked_out`] first.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ledger::SubscriberLedger;
use crate::bench::metrics::time::RunTime;
use crate::bench::verdict::ledger::arrival::Ending;
use crate::bench::verdict::ledger::evidence::{Evidence, FaultRecord};

/// So many attempts, one after the other and in no fault's window, must have failed. One may fail anywhere.
const ATTEMPTS: usize = 3;
/// So long a client must have been without a session, outside the windows of faults.
const GRACE: Duration = Duration::from_secs(5);
/// Or a single attempt must have waited for so long.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Attempts to get a session since the last one ended, none of which did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench::verdict::ledger) struct Away {
    /// When the first of them began.
    since: RunTime,
    /// The last of them, the newest last.
    last: [Option<Attempt>; ATTEMPTS],
}

/// From the connect to the error, or to the end of a stream that never said `CONNECTION`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Attempt {
    began: RunTime,
    ended: RunTime,
}

impl Away {
    /// No attempt yet; the first one begins.
    pub(super) fn since(since: RunTime) -> Self {
        Self { since, last: [None; ATTEMPTS] }
    }

    pub(super) fn add(&mut self, began: RunTime, ended: RunTime) {
        self.last.rotate_left(1);
        self.last[ATTEMPTS - 1] = Some(Attempt { began, ended });
    }

    /// Whether who left at this time had tried to get in long enough, while nothing was broken on purpose.
    pub(super) fn is_locked_out(&self, left: RunTime, faults: &[FaultRecord]) -> bool {
        let is_calm = |attempt: &Attempt| {
            !faults.iter().any(|fault| fault.covers(attempt.began) || fault.covers(attempt.ended))
        };
        let all_failed = self.last.iter().all(|attempt| attempt.as_ref().is_some_and(is_calm));
        let waited = |attempt: &Attempt| calm(faults, attempt.began, attempt.ended) >= PATIENCE;
        let newest_hung = self.last[ATTEMPTS - 1].as_ref().is_some_and(waited);
        calm(faults, self.since, left) >= GRACE && (all_failed || newest_hung)
    }
}

impl SubscriberLedger {
    /// An attempt to get a session came to nothing: it was refused, not answered, or its stream ended before it was
    /// confirmed. Not for what the bench itself cut.
    pub fn turned_away(&mut self, began: RunTime, at: RunTime) {
        self.away.get_or_insert_with(|| Box::new(Away::since(began))).add(began, at);
    }

    /// When it was given up to get back in: by the client, by the end of the run, or by a plan that let it leave when it
    /// had tried in vain for long.
    pub(in crate::bench::verdict::ledger) fn never_recovered(
        &self,
        evidence: &Evidence<'_>,
    ) -> Option<RunTime> {
        let (at, ending) = self.finished?;
        let is_out = match ending {
            Ending::GaveUp => true,
            Ending::Unreachable if !evidence.was_interrupted => true,
            Ending::Left | Ending::Unreachable => {
                self.away.as_ref().is_some_and(|away| away.is_locked_out(at, evidence.faults))
            }
            Ending::RunOver | Ending::NoReconnect => false,
        };
        is_out.then_some(at)
    }
}

/// How much of a time lies in no fault's window.
fn calm(faults: &[FaultRecord], from: RunTime, until: RunTime) -> Duration {
    let mut windows: Vec<(RunTime, RunTime)> = faults.iter().filter_map(FaultRecord::window).collect();
    windows.sort_unstable();
    let (mut calm, mut at) = (Duration::ZERO, from);
    for (begins, ends) in windows {
        calm += begins.min(until).after(at);
        at = at.max(ends);
    }
    calm + until.after(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> RunTime {
        RunTime::from(Duration::from_secs(second))
    }

    /// Applied and healed at these seconds.
    fn fault(applied: u64, healed: Option<u64>) -> FaultRecord {
        let (planned, applied, healed) = (at(applied), Some(at(applied)), healed.map(at));
        FaultRecord { name: "f".into(), planned, applied, healed, error: None }
    }

    /// Attempts of a second each that fail at these seconds.
    fn away(failed: &[u64]) -> Away {
        let mut away = Away::since(at(failed[0] - 1));
        failed.iter().for_each(|second| away.add(at(second - 1), at(*second)));
        away
    }

    #[test]
    fn who_tried_three_times_in_calm_is_locked_out_after_a_grace() {
        assert!(away(&[2, 4, 6]).is_locked_out(at(8), &[]));
        assert!(!away(&[2, 4]).is_locked_out(at(60), &[]), "two may fail");
        assert!(!away(&[2, 3, 4]).is_locked_out(at(5), &[]), "it had no time");
    }

    #[test]
    fn what_was_broken_on_purpose_is_no_ones_lock() {
        // A window reaches from 29 s to 45 s.
        let faults = [fault(30, Some(35))];
        assert!(!away(&[31, 33, 36, 44]).is_locked_out(at(59), &faults), "no attempt since");
        assert!(!away(&[31, 40, 46, 48]).is_locked_out(at(59), &faults), "two attempts since");
        assert!(away(&[31, 47, 48, 49]).is_locked_out(at(51), &faults));
        assert!(!away(&[31, 47, 48, 49]).is_locked_out(at(49), &faults), "less than five seconds since");
        assert!(
            !away(&[31, 47, 48, 49]).is_locked_out(at(59), &[fault(30, None)]),
            "it is at work to the end"
        );
    }

    #[test]
    fn a_server_that_never_answers_locks_out_as_well() {
        let mut hung = Away::since(at(1));
        hung.add(at(1), at(11));
        assert!(hung.is_locked_out(at(12), &[]));
        assert!(!hung.is_locked_out(at(12), &[fault(5, Some(6))]));
    }

    #[test]
    fn windows_are_left_out_once_however_they_overlap() {
        let faults = [fault(20, Some(25)), fault(22, Some(23)), fault(60, None)];
        assert_eq!(calm(&faults, at(0), at(100)), Duration::from_secs(19 + 24));
        assert_eq!(calm(&faults, at(21), at(30)), Duration::ZERO);
        assert_eq!(calm(&[], at(3), at(5)), Duration::from_secs(2));
    }
}
