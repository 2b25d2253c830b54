//! The log in this process: `memory:` keeps it in RAM, `file:DIR` in a directory that one process may open.
//!
//! The rules (`writing`, `reading`) are synchronous, take the time as an argument and know only `tables`: a trait with
//! two implementations. Around them stands a thin shell: `log` reads and appends to RAM, one task (`writer`) makes all waiting
//! changes of a directory as one batch. Read `tables` first, then `writing`.

mod clock;
pub(crate) mod disk;
mod log;
mod memory;
mod reading;
mod record;
mod store;
mod tables;
mod writer;
mod writing;

#[cfg(test)]
mod tests;

pub use disk::{Report, check, repair};
pub use log::{Embedded, Follower};
