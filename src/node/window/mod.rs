//! The newest part of the log in memory, encoded. It has one writer (the tail) and many readers: the loops, which take
//! every slot once for all of their streams that are level, and the feeds of those that are not.
//!
//! Slots are numbered by an *ordinal* that only grows. Must never await and never do I/O. Read [`Window`] first, then
//! [`Reader`].

mod frame;
mod reader;
mod shared;
mod slots;

pub(crate) use frame::{Form, FrameMeta, Framing, WindowFrame};
pub(crate) use reader::{Reader, Taken};
pub(crate) use shared::Window;
pub(crate) use slots::{Place, Slot, WindowLimits};
