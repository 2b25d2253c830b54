//! The evidence of a run: ledgers, measurements and all else that its judgement needs, stored in the directory of the run.
//! Stored evidence is judged by the same code as evidence that was just collected. Knows no report.
//! Read [`StoredRun`] first, then [`store`] and [`Archive`], then [`Section`].

mod archive;
mod check;
mod compare;
pub mod facts;
mod files;
mod frame;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod merge;
mod op;
mod rebuild;
mod rules;
mod section;
mod stored_run;
#[cfg(test)]
mod tests;
mod writer;

pub use archive::{Archive, Decision, EVIDENCE, store};
pub use check::Check;
pub use compare::{Comparison, InvalidLimit, Limit};
pub use facts::{Part, PlanMismatch, StoredFacts};
pub use files::{ArchiveError, Entry, History, worker_history};
pub use frame::{CorruptFrame, FORMAT};
pub use merge::{MergeError, merge};
pub use op::Op;
pub use rules::{RULES, fingerprint};
pub use section::{CLIENTS_PER_SECTION, Section, SectionError};
pub use stored_run::{JudgedRun, Ledgers, StoredRun};
pub use writer::{HISTORY, HistoryWriter, OpSender, WriterTask};
