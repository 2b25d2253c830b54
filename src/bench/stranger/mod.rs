//! A swarm for a server that nobody planned a run for, and a publisher in another process whose events the swarm
//! recognises. What was published is told by an end mark, so that the swarm can say whether it got all of it.
//! Read [`crowd::Crowd`] first.

pub mod crowd;
pub mod end_mark;
mod listener;
pub mod tally;

pub use crowd::{Crowd, CrowdOptions, Found};
pub use end_mark::EndMark;
pub use tally::Owed;
