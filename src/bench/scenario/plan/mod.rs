//! Scenario → plan: who connects when with which addresses, what is published when to whom, which node breaks when.
//! Pure and deterministic: one scenario and one seed make one plan. Read [`Plan`] first.

mod budget;
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
pub use overlaps::Overlap;
pub use phases::{Phases, RECOVERY};
pub use publishers::{Due, PAYLOAD_MAX_BYTES, PublisherPlan, Schedule, Targets};
pub(crate) use seeds::Seeds;
pub use sizes::Undersized;
pub use subscribers::Identity;

pub use model::{
    FaultAction, FaultEdge, FaultStep, GroupPlan, Joins, Plan, PlannedFault, REMEMBERED_IDS, SlowTime,
    SubscriberPlan,
};
