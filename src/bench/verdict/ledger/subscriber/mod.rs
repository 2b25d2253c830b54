//! The ledger of one virtual client: what it received, when it had a session, and the anomalies that it can detect alone.
//! Bounded: runs instead of numbers, and the first examples of each anomaly.
//! Read [`SubscriberLedger`] first.

mod anomalies;
mod event_types;
mod failed_attempts;
mod id_order;
mod ledger;
mod recheck;
mod remembered_ids;
mod series;
mod stored;

pub(super) use anomalies::{IdSample, Occurrence, Occurrences};
pub(super) use event_types::EventTypes;
pub(super) use failed_attempts::{Attempt, FailedAttempts};
pub(in crate::bench::verdict) use id_order::compare_ids;
pub(super) use ledger::Session;
pub use ledger::SubscriberLedger;
pub(super) use recheck::Recheck;
pub use remembered_ids::IdTable;
pub(super) use remembered_ids::Span;
pub(super) use series::{DeclaredGap, SeriesLedger};
pub use stored::{InvalidLedger, StoredClients, StoredClientsBefore};
