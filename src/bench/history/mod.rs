//! What a run knew, in a form that outlives it: the books, the measurements, and everything else that a judgement needs.
//! Never decides anything about deliveries: what was stored is judged by the same code as what was just collected.
//! Read [`Block`] first, then [`seal`].

mod block;
pub mod seal;
#[cfg(test)]
mod tests;

pub use block::{Block, BlockError, CLIENTS_A_BLOCK};
pub use seal::{Damage, FORMAT};
