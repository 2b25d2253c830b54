//! What a run knew, in a form that outlives it: the books, the measurements, and everything else that a judgement needs.
//! Never decides anything about deliveries: what was stored is judged by the same code as what was just collected.
//! Read [`Case`] first, then [`store`] and [`Archive`], then [`Block`].

mod archive;
mod block;
mod case;
mod check;
mod compare;
mod merge;
mod rebuild;
mod scribe;
pub mod seal;
#[cfg(test)]
mod tests;

pub use archive::{Archive, ArchiveError, Decision, EVIDENCE, Entry, History, store};
pub use block::{Block, BlockError, CLIENTS_A_BLOCK};
pub use case::{Books, Case, Facts, Judgement, Unplanned, fingerprint};
pub use check::Check;
pub use compare::{Comparison, InvalidLimit, Limit};
pub use merge::{MergeError, Part, merge};
pub use scribe::{HISTORY, Line, Pen, Scribe, Writing, part};
pub use seal::{Damage, FORMAT};
