//! The tables of `file:DIR`, in a fjall database: a journal that each batch is appended to, and sorted files behind
//! it. One process may have it open. Never called on a thread of the async runtime: everything here may wait for the
//! disk. Read [`Disk`] first.

mod database;
mod directory;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod inspect;
mod journal;
mod known;
mod recount;
mod room;
mod view;

pub(super) use database::Disk;
pub use inspect::{Report, check, repair};
pub(super) use room::Allowed;
#[cfg(test)]
pub(super) use view::WriteView;
