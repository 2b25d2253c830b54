//! Executes a plan: cluster up, clients connected, clock started, load and faults, everything healed, the end awaited,
//! the log audited, the books judged, the report written. Knows everyone; decides nothing about deliveries.
//! Read [`run`] first.

mod audit;
mod baseline;
mod clients;
mod conclude;
pub mod doctor;
pub mod environment;
mod execute;
mod files;
mod follow;
pub mod live;
mod mailboxes;
mod observe;
pub mod outcome;
mod quiesce;
mod scrape;
mod setup;
mod watch;

pub use execute::run;
pub use files::{Needs, StoredError, default_dir, forget, read, write, write_formats};
pub use outcome::RunError;
pub use outcome::{Outcome, RunOptions};
