//! Tests of the scenario reader.

mod dialect;
mod docs;
mod links;
mod scenario;
