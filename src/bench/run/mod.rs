//! Executes a plan: start the servers, connect the clients, start the clock, run load and faults, heal, wait until quiet, audit
//! the log, judge the ledgers, write the reports. Uses every other wing; decides nothing about deliveries.
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
mod unaccepted;
mod watch;

pub use execute::run;
pub use files::{Needs, StoredError, default_dir, forget, read, write, write_formats};
pub use outcome::RunError;
pub use outcome::{Outcome, RunOptions};
