//! The tables of `file:DIR`, in a fjall database: a journal that each batch is appended to, and sorted files behind
//! it. One process may have it open. Never called on a thread of the async runtime: everything here may wait for the
//! disk. Read [`Disk`] first.

mod database;
mod directory;
mod view;

pub(super) use database::Disk;
#[cfg(test)]
pub(super) use view::WriteView;
