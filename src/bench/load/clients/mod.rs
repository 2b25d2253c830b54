//! The virtual clients of a run, each with a ledger of its own. Loops serve them, or each is one task. The swarm starts the
//! clients, sends them commands, joins them and merges their ledgers and measurements. Read [`Swarm`] first, then [`subscriber`].

pub mod context;
pub mod control;
mod downtime;
mod ledgers;
mod loops;
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
pub use swarm::{Ended, Swarm};
pub use transport::Transports;
