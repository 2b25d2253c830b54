//! Everything that the console knows and shows. No clock, no I/O. Read `model` first.

pub(crate) mod action_request;
pub(crate) mod alerts;
pub(crate) mod bench_run;
pub(crate) mod change;
pub(crate) mod cluster;
pub(crate) mod connections;
pub(crate) mod dialog;
pub(crate) mod editor;
pub(crate) mod events;
pub(crate) mod history;
pub(crate) mod members;
pub(crate) mod message;
pub(crate) mod model;
pub(crate) mod moment;
pub(crate) mod node;
pub(crate) mod node_column;
pub(crate) mod reading;
pub(crate) mod series;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod totals;
