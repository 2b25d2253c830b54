//! One virtual client: connects, reads, loses its connection, reconnects as its policy says, and records what it receives.
//! Holds no lock and owns no queue. Read [`Subscriber::run`] first, then [`reading`].

mod observing;
mod outcome;
mod reading;
mod recent;
mod request;
#[expect(clippy::module_inception, reason = "the type that the module is named after")]
mod subscriber;

pub use subscriber::Subscriber;
pub(super) use subscriber::{Attempt, Next, Session, Stopped};
