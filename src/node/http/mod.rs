//! The HTTP interface of a node: the routes and their handlers. Handlers call the parts of the node and must not
//! change their state in any other way. Read [`router`] first.

pub(crate) mod access;
pub(crate) mod bare;
pub(crate) mod batch;
pub(crate) mod body;
pub(crate) mod cluster;
mod connection;
pub(crate) mod connections;
pub(crate) mod error;
pub(crate) mod forwarded;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub(crate) mod guard;
pub(crate) mod heavy;
pub(crate) mod history;
pub(crate) mod listener;
pub(crate) mod operators;
pub(crate) mod ops;
pub(crate) mod pace;
pub(crate) mod path;
pub(crate) mod presence;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod publish;
pub(crate) mod query;
pub(crate) mod rebalance;
pub(crate) mod revoke;
pub(crate) mod router;
pub(crate) mod rows;
pub(crate) mod servers;
pub(crate) mod stream;
mod stream_body;
pub(crate) mod stream_query;
#[cfg(test)]
mod tests;
pub(crate) mod timed_answers;
pub(crate) mod web;

pub(crate) use heavy::Heavy;
pub(crate) use router::{AppLimits, AppState, router};
