//! Decides pass or fail: judges the ledgers, evaluates checks and thresholds, and judges stored evidence again. Reads no
//! socket, measures nothing. Read [`Verdict`] first.

mod checks;
mod compressed;
pub mod diagnosis;
mod findings;
pub mod history;
pub mod ledger;
mod outcome;
mod sightings;
pub(crate) mod thresholds;
#[expect(clippy::module_inception, reason = "the type that the module is named after")]
mod verdict;

pub use outcome::{Check, Status, ThresholdResult, VerdictInput};
pub use sightings::{Seen, Sighting, Sightings};
pub use verdict::Verdict;
