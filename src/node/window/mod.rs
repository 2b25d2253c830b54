//! The newest part of the log in memory, encoded. It has one writer (the tail) and many readers (the feeds). A reader
//! owns no queue: it holds a position in the window and takes the frames that are addressed to it.
//!
//! Slots are numbered by an *ordinal* that only grows. An index lists the ordinals of every address, so a reader
//! finds its next frame without examining those of others, and the writer wakes only the readers of a frame's address.
//! Must never await and never do I/O. Read [`Window`] first, then [`Reader`].

mod frame;
mod reader;
mod shared;
mod slots;
mod wake;

pub(crate) use frame::{FrameMeta, WindowFrame, chunked};
pub(crate) use reader::{Reader, Taken};
pub(crate) use shared::Window;
pub(crate) use slots::{Slot, WindowLimits};
pub(crate) use wake::Wake;
