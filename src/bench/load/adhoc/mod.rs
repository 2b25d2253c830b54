//! What the clients of an ad hoc swarm do beside those of a run: they recognise the events of `sse-bench publish`, whose runs
//! and counts are unknown until its end mark arrives, and compare what they received with it. Read [`AdhocClient`] first.

mod client;
mod end_mark;
mod shared;
mod tally;

pub use client::AdhocClient;
pub use end_mark::{EndMark, run_on_this_clock};
pub use shared::AdhocShared;
pub use tally::Owed;
