//! The virtual clients of a run: each a task with a book of its own, started together, told together, joined and
//! merged at the end. Read [`Swarm`] first, then [`subscriber`].

pub mod context;
pub mod control;
mod downtime;
mod reconnect;
mod recording_ledger;
pub mod sample_buffer;
pub mod share;
pub mod subscriber;
mod swarm;
mod throttle;
pub mod transport;

pub use control::{Command, CommandReceiver, Commands, SwarmState};
pub use sample_buffer::{SampleBuffer, SharedRecorder};
pub use subscriber::Subscriber;
pub use transport::Transports;

pub use swarm::{Ended, Swarm};
