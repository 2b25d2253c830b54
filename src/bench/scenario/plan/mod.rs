//! Scenario → plan: joins, publishes and faults of a run with their times and targets. Pure and deterministic: one
//! scenario and one seed make one plan. Read [`Plan`] first.

mod budget;
mod draw;
mod faults;
mod model;
mod nemesis;
mod overlaps;
pub mod pacer;
mod phases;
mod publishers;
mod seeds;
mod sizes;
mod subscribers;
#[cfg(test)]
mod tests;

pub use budget::Budget;
pub use draw::REMEMBERED_IDS;
pub use faults::{FaultAction, FaultEdge, FaultStep, PlannedFault};
pub use model::{GroupPlan, Plan, ReadingPlan, SlowTime};
pub use overlaps::Overlap;
pub use phases::{Phases, RECOVERY};
pub use publishers::{Due, PublisherPlan, Schedule, Targets};
pub(crate) use seeds::Seeds;
pub use sizes::Undersized;
pub use subscribers::{Identity, Joins, SubscriberPlan};
