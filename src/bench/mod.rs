//! The swarm and the judge. A scenario (file) becomes a plan (timeline), a plan becomes a run (execution), a run a
//! report, a report a verdict.
//!
//! The first half is pure: no task, no socket, no clock; everything that happened is told to it, with its time. The
//! second half is what tasks, sockets and clocks do: [`run`] knows everyone in it.
//! Read [`scenario::Scenario`], [`plan::Plan`], [`ledger`] in this order, then [`verdict::Verdict`].

pub mod cli;
pub mod cluster;
pub mod exit;
pub mod faults;
pub mod ids;
pub mod load;
pub mod metrics;
mod panic;
pub mod report;
pub mod run;
pub mod scenario;
pub mod stamp;
pub mod verdict;
