//! What one virtual client saw. Told of every event as it arrives; answers what it was, so that the client can
//! record its latency. Bounded: runs instead of numbers, and the first of each anomaly instead of all.
//! Read [`SubscriberLedger`] first.

mod away;
mod ledger;
mod sightings;
mod stored;

pub use away::PATIENCE;
pub(super) use sightings::Sightings;
pub use stored::{InvalidLedger, StoredClients};

pub use ledger::SubscriberLedger;

pub(super) use ledger::{IdSample, SeriesBook, Session};
