//! The progress of a run, once a second: the line on a terminal, `live.jsonl`, and the metrics. Nothing is judged here. Read
//! [`Line`] first, then [`LiveSampler`].

mod line;
mod live_log;
mod sampler;
mod terminal;

pub use live_log::{FILE, LiveLog};
pub use sampler::{Counts, LiveSampler};
pub use terminal::line;

pub use line::{Begin, Cluster, End, Line, NodeUrl, PlannedFault, SCHEMA_VERSION, Second};
