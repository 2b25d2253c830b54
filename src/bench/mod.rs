//! The swarm and the judge. A scenario (file) becomes a plan (timeline), a plan becomes a run (execution), a run a
//! report, a report a verdict.
//!
//! This half is pure: no task, no socket, no clock. Everything that happened is told to it, with its time.
//! Read [`scenario::Scenario`], [`plan::Plan`], [`ledger`] in this order, then [`verdict::Verdict`].

pub mod clock;
pub mod ledger;
pub mod metric;
pub mod pacer;
pub mod payload;
pub mod plan;
pub mod recorder;
pub mod report;
pub mod scenario;
pub mod threshold;
mod thresholds;
pub mod verdict;
