//! The newest part of the log in memory, encoded. One writer (the tail), many readers (the feeds). A reader owns no
//! queue: it holds a place in the window and takes from there what is addressed to it.
//!
//! Slots are numbered by an *ordinal* that only grows. An index lists the ordinals of every address, so a reader
//! finds its next frame without looking at those of others, and the writer wakes only those whom a frame concerns.
//! Must never await and never do I/O. Read [`Window`] first, then [`Reader`].

mod frame;
mod reader;
mod shared;
mod slots;
mod wake;

pub(crate) use frame::{FrameOrigin, WindowFrame, chunked};
pub(crate) use reader::{Reader, Taken};
pub(crate) use shared::Window;
pub(crate) use slots::{Slot, WindowLimits};
pub(crate) use wake::Wake;
