//! Why a run ended as it did, in words of those who build servers: the cause, the figures that show it, and what to change.
//! Clients gather [`Observations`]; [`diagnose`] is a pure function of them and of the judgement, so stored evidence gives
//! the same words. Decides nothing: a finding never changes a verdict. Read [`Finding`] first, then [`diagnose`].

mod bursts;
mod causes;
mod diagnose;
mod finding;
mod observations;
mod stream;

pub use bursts::{BurstTotals, Bursts};
pub use diagnose::{Judgement, diagnose, of_problems, of_setup};
pub use finding::{Cause, Finding};
pub use observations::{EndedBy, Observations, Refusal, Refused, StreamEnd, Why};
pub use stream::{StreamNotes, step};
