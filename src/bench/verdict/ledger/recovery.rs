//! Which clients never got a session back, by their own account: gave up, were still trying at the end, or left by plan
//! after a long time of failed attempts. Windows of faults do not count as such time. Read [`never_recovered`] first.

use std::time::Duration;

use super::arrival::Ending;
use super::evidence::{Evidence, FaultRecord};
use super::subscriber::{Attempt, FailedAttempts, SubscriberLedger};
use crate::bench::metrics::time::RunTime;

/// Time without a session, outside fault windows, before a client that left counts as unreachable.
const GRACE: Duration = Duration::from_secs(5);
/// A single attempt that waited for this long, outside fault windows, counts as much as several failed ones.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// When a client gave up to get a session back: by its policy, by the end of the run, or by a plan that let it leave after
/// long failed attempts. `None` where it did not.
pub(super) fn never_recovered(evidence: &Evidence<'_>, subscriber: &SubscriberLedger) -> Option<RunTime> {
    let (at, ending) = subscriber.ending()?;
    let gave_up = match ending {
        Ending::GaveUp => true,
        Ending::Unreachable if !evidence.was_interrupted => true,
        Ending::Left | Ending::Unreachable => subscriber
            .failed_attempts
            .as_ref()
            .is_some_and(|attempts| was_unreachable(attempts, at, evidence.faults)),
        Ending::RunOver | Ending::NoReconnect => false,
    };
    gave_up.then_some(at)
}

/// Whether a client that left at this time had tried for long enough to get a session, outside fault windows.
fn was_unreachable(attempts: &FailedAttempts, left: RunTime, faults: &[FaultRecord]) -> bool {
    let is_outside = |attempt: &Attempt| {
        !faults.iter().any(|fault| fault.covers(attempt.began) || fault.covers(attempt.ended))
    };
    let all_failed = attempts.last.iter().all(|attempt| attempt.as_ref().is_some_and(is_outside));
    let waited = |attempt: &Attempt| time_outside_faults(faults, attempt.began, attempt.ended) >= PATIENCE;
    let newest_hung = attempts.last.last().and_then(Option::as_ref).is_some_and(waited);
    time_outside_faults(faults, attempts.since, left) >= GRACE && (all_failed || newest_hung)
}

/// How much of the time from `from` to `until` lies outside the windows of all faults.
fn time_outside_faults(faults: &[FaultRecord], from: RunTime, until: RunTime) -> Duration {
    let mut windows: Vec<(RunTime, RunTime)> = faults.iter().filter_map(FaultRecord::window).collect();
    windows.sort_unstable();
    let (mut outside, mut at) = (Duration::ZERO, from);
    for (begins, ends) in windows {
        outside += begins.min(until).after(at);
        at = at.max(ends);
    }
    outside + until.after(at)
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
    fn attempts(failed: &[u64]) -> FailedAttempts {
        let mut attempts = FailedAttempts::since(at(failed[0] - 1));
        failed.iter().for_each(|second| attempts.add(at(second - 1), at(*second)));
        attempts
    }

    #[test]
    fn three_failed_attempts_outside_faults_make_unreachable_after_a_grace() {
        assert!(was_unreachable(&attempts(&[2, 4, 6]), at(8), &[]));
        assert!(!was_unreachable(&attempts(&[2, 4]), at(60), &[]), "two may fail");
        assert!(!was_unreachable(&attempts(&[2, 3, 4]), at(5), &[]), "it had no time");
    }

    #[test]
    fn attempts_in_a_fault_window_do_not_count() {
        // A window reaches from 29 s to 45 s.
        let faults = [fault(30, Some(35))];
        assert!(!was_unreachable(&attempts(&[31, 33, 36, 44]), at(59), &faults), "no attempt since");
        assert!(!was_unreachable(&attempts(&[31, 40, 46, 48]), at(59), &faults), "two attempts since");
        assert!(was_unreachable(&attempts(&[31, 47, 48, 49]), at(51), &faults));
        assert!(
            !was_unreachable(&attempts(&[31, 47, 48, 49]), at(49), &faults),
            "less than five seconds since"
        );
        assert!(
            !was_unreachable(&attempts(&[31, 47, 48, 49]), at(59), &[fault(30, None)]),
            "it is at work to the end"
        );
    }

    #[test]
    fn an_attempt_that_hangs_makes_unreachable() {
        let mut hung = FailedAttempts::since(at(1));
        hung.add(at(1), at(11));
        assert!(was_unreachable(&hung, at(12), &[]));
        assert!(!was_unreachable(&hung, at(12), &[fault(5, Some(6))]));
    }

    #[test]
    fn windows_are_left_out_once_however_they_overlap() {
        let faults = [fault(20, Some(25)), fault(22, Some(23)), fault(60, None)];
        assert_eq!(time_outside_faults(&faults, at(0), at(100)), Duration::from_secs(19 + 24));
        assert_eq!(time_outside_faults(&faults, at(21), at(30)), Duration::ZERO);
        assert_eq!(time_outside_faults(&[], at(3), at(5)), Duration::from_secs(2));
    }
}
