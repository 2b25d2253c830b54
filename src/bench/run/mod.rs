//! Executes a plan: cluster up, clients connected, clock started, load and faults, everything healed, the end awaited,
//! the log audited, the books judged, the report written. Knows everyone; decides nothing about deliveries.
//! Read [`run`] first.

mod audit;
mod conclude;
mod crowd;
mod execute;
mod files;
mod floor;
mod follow;
mod mailboxes;
mod observe;
mod quiesce;
mod scrape;
mod setup;
mod watch;

pub use execute::{Outcome, RunOptions, run};
pub use files::{Needs, StoredError, default_dir, forget, read, write, write_formats};
pub use setup::RunError;
