//! Accounts of what was published and what arrived: delivered, lost, duplicated, reordered, leaked.
//!
//! Each task owns its ledger, so no locks are needed: a publisher a [`PublishLedger`], a virtual client a
//! [`SubscriberLedger`], the audit read an [`AuditLedger`]. When the run is over, [`judge`] compares them and makes the
//! [`Account`]. Nothing here decides pass or fail: `verdict` does.
//!
//! # What is owed
//!
//! A publish ends *acknowledged*, *refused* (must not appear) or *indeterminate* (timeout, reset, 3xx, 5xx: may appear).
//! Only acknowledged events are owed. A *series* is what one publisher sent to one address; its events are numbered from 1
//! in the order in which they were sent.
//!
//! - at least once, exactly once: a subscriber is owed every acknowledged event of its addresses whose publish
//!   *started* at or after its first confirmed subscription (the `CONNECTION` event) and before its final close, across
//!   all reconnects between.
//!   A client that leaves for good before the end of the run may leave events in flight behind: these must also have been
//!   *acknowledged* at least [`MARGIN`] before the close. If it leaves while it has no stream, or less than [`MARGIN`] after
//!   it came back, the close of the stream before counts: it was not connected for long enough to receive what it missed
//!   since. An event is owed even so if the client got a later one of its series, which was sent after this one was
//!   acknowledged.
//! - at most once: every event that was started at or after a session was confirmed and acknowledged at least [`MARGIN`]
//!   before that session ended. The other acknowledged events are `missed_offline`.
//! - a client of a group with a mailbox is also owed every event to its user or client id that was acknowledged with `qos`
//!   1 since the run began, even before its first subscription.
//! - An event that was started before the subscription was confirmed, or after the close, may arrive and is never missed.
//!
//! # What an owed event becomes
//!
//! - *ok*: it arrived.
//! - *gap declared*: a `GAP` covers it. In each series a `GAP` covers the numbers above the highest one that had arrived
//!   before it and below the first one that arrives after it, if they were started before the `GAP` arrived. A hole below
//!   that is not covered: the server had passed it without a `GAP`.
//! - *lost*: it did not arrive, and that is proven: a later event of its series arrived, or the sentinel of its
//!   address, or the audit read has it, or nothing came at the quiet end on a second stream either.
//! - *unseen*: it did not arrive, and nothing proves that it is lost. The verdict is then unknown.
//!
//! # What else can be wrong
//!
//! - *duplicated* in one session, or across a reconnect.
//! - *reordered*: within one session an event arrived after a later one of its series whose publish had started only
//!   after this one was acknowledged. Two publishes that were in flight together have no order.
//! - *unexpected*: never published; refused; another run's; or *leaked*: addressed to somebody else.
//! - *forgotten*: acknowledged, missing, and the audit read lacks it too.
//! - *misplaced resume*: a session that was resumed with a cursor skipped events that are owed.
//! - *inconsistent id*: one SSE id, two events; or one event, two ids.
//! - *id goes back*: an SSE id does not follow the one before it in its stream.
//! - *altered*: the payload is not the one that was published. Where only its padding is, the event counts as arrived.
//! - *stalled*: a stream stayed open and silent, and what it lacked came on the next one.
//! - *of the wrong type*: the event came with another `event:` than it was published with.

mod account;
mod anomaly_log;
mod arrival;
mod audit;
mod event_types;
mod evidence;
mod impact;
mod inconsistent_ids;
mod judge;
mod measure;
mod owed;
mod probes;
mod publish;
mod recovery;
mod replays;
mod runs;
mod stalled;
mod subscriber;
#[cfg(test)]
mod tests;

pub use account::{Account, Anomaly, AnomalyKind, Example, FaultImpact, PublishCounts, SeqRange, Unexpected};
pub use anomaly_log::EXAMPLES_MAX;
pub use arrival::{Arrival, Ending, Fields};
pub use audit::AuditLedger;
pub use evidence::{Evidence, FaultRecord, MARGIN, RULES};
pub use judge::{judge, judge_in_full};
pub use measure::measure;
pub use probes::{Probe, ProbeFault, ProbeLedger};
pub use publish::{PublishLedger, PublishOutcome};
pub use recovery::PATIENCE;
pub use replays::{Cut, Replays};
pub use runs::Runs;
pub(in crate::bench::verdict) use subscriber::compare_ids;
pub use subscriber::{IdTable, InvalidLedger, StoredClients, StoredClientsBefore, SubscriberLedger};
