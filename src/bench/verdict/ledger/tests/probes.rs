//! Streams that the judge itself resumed.

use super::history::{History, at};
use crate::bench::verdict::Status::Fail;
use crate::bench::verdict::ledger::publish::PublishOutcome;
use crate::bench::verdict::ledger::{Probe, ProbeFault};

/// Broadcasts that arrived, and one that was refused; then a probe behind the first one, which got this wrong.
fn history(differences: &[(u64, ProbeFault)]) -> History {
    let mut history = History::new("");
    (1..=4).for_each(|second| _ = history.deliver("all", second * 1_000, &[0, 1]));
    history.publish_as("all", 5_000, PublishOutcome::Refused);
    let differences = differences.iter().map(|(seq, fault)| (history.stamp("all", *seq), *fault)).collect();
    let (began, ended, cursor) = (at(30_000), at(31_000), history.stamp("all", 1));
    history.probes.add(Some(Probe { began, ended, cursor, differences }));
    history.probes.add(None);
    history.end();
    history
}

#[test]
fn what_a_probe_is_owed_and_does_not_get_is_a_replay_from_the_wrong_place() {
    for fault in [ProbeFault::Missing, ProbeFault::Early, ProbeFault::Twice, ProbeFault::OutOfOrder] {
        let history = history(&[(2, fault), (3, fault)]);
        history.check(&[("replayed from the wrong place", Fail)]);
        let account = history.account();
        assert_eq!(account.misplaced_resumes, 1);
        assert!(account.anomalies[0].examples[0].note.contains("the judge resumed after #1"), "{account:#?}");
    }
    assert_eq!((history(&[]).probes.made, history(&[]).probes.undecided), (1, 1));
    history(&[]).check(&[]);
}

#[test]
fn a_probe_beside_a_fault_or_without_a_refused_event_shows_nothing() {
    history(&[(5, ProbeFault::Missing)]).check(&[]);
    let mut broken = history(&[(2, ProbeFault::Missing)]);
    broken.kill();
    broken.faults[0].healed = Some(at(25_000));
    broken.check(&[]);
    broken.faults[0].healed = Some(at(15_000));
    broken.check(&[("replayed from the wrong place", Fail)]);
}
