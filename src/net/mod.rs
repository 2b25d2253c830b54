//! What a loop of epoll needs, and no word of the product: readiness, an inbox that wakes it, a slab whose keys are
//! never taken for one another, writes and reads that do not block, with TLS or without. Read [`Poll`] first.

mod inbox;
mod metronome;
mod poll;
mod slab;
mod socket;
mod transport;

pub(crate) use inbox::Inbox;
pub(crate) use metronome::Metronome;
pub(crate) use poll::{Poll, Ready};
pub(crate) use slab::{Key, Slab};
pub(crate) use socket::{Read, pull, reset_on_close};
pub(crate) use transport::Transport;
