//! What a run knew, in a form that outlives it: the books, the measurements, and everything else that a judgement needs.
//! Never decides anything about deliveries: what was stored is judged by the same code as what was just collected.
//! Read [`StoredRun`] first, then [`store`] and [`Archive`], then [`Section`].

mod archive;
mod case;
mod check;
mod compare;
pub mod facts;
pub mod files;
pub mod frame;
mod merge;
pub mod op;
mod rebuild;
mod section;
#[cfg(test)]
mod tests;
mod writer;

pub use archive::{Archive, Decision, EVIDENCE, store};
pub use case::{JudgedRun, Ledgers, StoredRun};
pub use check::Check;
pub use compare::{Comparison, InvalidLimit, Limit};
pub use facts::Part;
pub use facts::{PlanMismatch, StoredFacts, fingerprint};
pub use files::part;
pub use files::{ArchiveError, Entry, History};
pub use frame::{CorruptFrame, FORMAT};
pub use merge::{MergeError, merge};
pub use op::Op;
pub use section::{CLIENTS_A_BLOCK, Section, SectionError};
pub use writer::{HISTORY, HistoryWriter, OpSender, WriterTask};
