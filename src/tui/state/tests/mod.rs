//! Tests of the cluster's state, and readings for all tests of the console.

mod cluster;
pub(crate) mod fixture;
