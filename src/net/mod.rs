//! What a loop of epoll needs, and no word of the product: readiness, an inbox that wakes it, a slab whose keys are
//! never taken for one another, writes and reads that do not block. Read [`Poll`] first.

mod inbox;
mod metronome;
mod poll;
mod slab;
mod socket;

pub(crate) use inbox::Inbox;
pub(crate) use metronome::Metronome;
pub(crate) use poll::{Poll, Ready};
pub(crate) use slab::{Key, Slab};
pub(crate) use socket::{Read, close_write, discard, pull, push, reset_on_close};
