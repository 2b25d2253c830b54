//! A swarm for a server that nobody planned a run for, and a publisher in another process whose events the swarm
//! recognises. What was published is told by an end mark, so that the swarm can say whether it got all of it.
//! Read [`swarm::AdhocSwarm`] first.

mod client;
pub mod end_mark;
pub mod shared;
pub mod swarm;
pub mod tally;

pub use end_mark::EndMark;
pub use shared::AdhocOptions;
pub use swarm::{AdhocResult, AdhocSwarm};
pub use tally::Owed;
