//! Decides what a run was worth: ledgers are judged, checks and thresholds are evaluated, and stored evidence is judged again.

pub mod checks;
pub mod foreign;
pub mod history;
pub mod ledger;
pub mod outcome;
pub mod queueing;
pub mod thresholds;
#[expect(clippy::module_inception, reason = "the verdict itself, in the room of the verdict")]
pub mod verdict;
