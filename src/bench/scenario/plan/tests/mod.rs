//! Tests of the plan.

mod faults;
mod plan;
