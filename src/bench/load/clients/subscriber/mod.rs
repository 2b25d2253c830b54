//! One virtual client: connects, reads, is cut off, comes back as its policy says, and writes down what it sees.
//! Holds no lock and owns no queue. Read [`Subscriber::run`] first, then [`reading`].

mod reading;
#[expect(clippy::module_inception, reason = "the subscriber itself, in the room of the subscriber")]
mod subscriber;

pub use subscriber::Subscriber;
