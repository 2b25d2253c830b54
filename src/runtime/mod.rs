//! What every binary needs, and no word of the product: tasks with an owner, an orderly end, retries, the
//! clock, the limits of the process, logs, exit codes. Read [`Tasks`] first.

pub mod backoff;
pub mod clock;
pub mod exit;
pub mod manual;
pub mod mutant;
pub mod rlimit;
pub mod shutdown;
pub mod telemetry;

pub use backoff::Backoff;
pub use shutdown::{Signals, Tasks};
