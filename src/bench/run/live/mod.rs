//! A run while it goes on, once a second: for the line on a terminal, for `live.jsonl`, for a scrape. Whoever looks
//! learns what the bench knows by now; nothing is judged here. Read [`Line`] first, then [`LiveSampler`].

mod line;
mod live_log;
mod sampler;
mod terminal;

pub use live_log::{FILE, LiveLog};
pub use sampler::{Counts, LiveSampler};
pub use terminal::line;

pub use line::{Begin, Cluster, End, Line, Place, PlannedFault, SCHEMA_VERSION, Second};
