//! Accounts of what was published and what arrived: delivered, lost, duplicated, reordered, leaked.
//!
//! Everyone writes a book of his own and needs no lock: a publisher a [`PublishLedger`], a virtual client a
//! [`SubscriberLedger`], the audit read an [`AuditLedger`]. When the run is over, [`judge`] lays them beside each
//! other and makes the [`Account`]. Nothing here decides pass or fail; that is `verdict`'s.
//!
//! # What is owed
//!
//! A publish ends *acknowledged*, *refused* (must not appear) or *indeterminate* (timeout, reset, 5xx: may appear).
//! Only what was acknowledged is owed to anybody. A *series* is what one publisher sent to one address; its events
//! are numbered from 1 in the order in which they were sent.
//!
//! - at least once, exactly once: a subscriber is owed every acknowledged event of its addresses whose publish
//!   *started* at or after its first confirmed subscription (the `CONNECTION` event) and before its final close, across
//!   all reconnects between.
//!   A client that goes for good before the run is over leaves something under way behind: there the publish must
//!   also have been *acknowledged* at least [`MARGIN`] before. Where it goes while it has no stream, or less than
//!   [`MARGIN`] after it came back, the close that counts is that of the stream before: what it missed since, it was
//!   never there to be given.
//! - at most once: what was started at or after a session was confirmed, and acknowledged at least [`MARGIN`] before
//!   that session ended. The rest of it is `missed_offline`.
//! - a client of a group with a mailbox is also owed what was acknowledged to its user or client id with `qos` 1 since
//!   the run began, though it came later.
//! - What was started before the subscription was confirmed, or after the close, may arrive and is never missed.
//!
//! # What an owed event becomes
//!
//! - *ok*: it arrived.
//! - *gap declared*: a `GAP` said so. A `GAP` covers, in each series, what comes after the highest number that had
//!   arrived before it and before the first that arrives after it, as far as it was started before the `GAP` came.
//!   A hole below that is not covered: the server had gone past it already, in silence.
//! - *lost*: it did not arrive, and that is proven: a later event of its series arrived, or the sentinel of its
//!   address, or the audit read has it.
//! - *unseen*: it did not arrive, and nothing proves that it never would have. The verdict is then unknown.
//!
//! # What else can be wrong
//!
//! - *duplicated* in one session, or across a reconnect.
//! - *reordered*: within one session an event arrived after a later one of its series whose publish had started only
//!   after this one was acknowledged. Two publishes that were in flight together have no order.
//! - *unexpected*: never published; refused; another run's; or *leaked*: addressed to somebody else.
//! - *forgotten*: acknowledged, missing, and the audit read lacks it too.
//! - *misplaced resume*: a session that was resumed with a cursor skipped events that are owed.
//! - *inconsistent id*: one SSE id, two events.

mod account;
mod arrival;
mod audit;
pub mod evidence;
mod findings;
mod impact;
mod judge;
mod measure;
mod owed;
mod publish;
mod runs;
mod subscriber;
#[cfg(test)]
mod tests;

pub use account::{Account, Anomaly, AnomalyKind, Example, FaultImpact, PublishCounts, SeqRange, Unexpected};
pub use arrival::{Arrival, Ending};
pub use audit::AuditLedger;
pub use evidence::{Evidence, FaultRecord};
pub use findings::PLACES_MAX;
pub use judge::{MARGIN, judge, judge_in_full};
pub use measure::measure;
pub use publish::{PublishLedger, PublishOutcome};
pub use runs::Runs;
pub use subscriber::{InvalidLedger, PATIENCE, StoredClients, SubscriberLedger};
