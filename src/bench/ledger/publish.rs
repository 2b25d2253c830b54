//! What one publisher sent, and how each publish ended.

use crate::bench::clock::RunTime;
use crate::bench::plan::{AddressId, PublisherId};

/// How a publish ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishOutcome {
    /// 2xx: the log has it.
    Acknowledged,
    /// 4xx, or never sent (connection refused): it must not appear.
    Refused,
    /// Timeout, reset, 5xx: it may appear.
    Indeterminate,
}

/// The book of one publisher.
#[derive(Debug, Clone)]
pub struct PublishLedger {
    publisher: PublisherId,
}

impl PublishLedger {
    /// An empty book.
    #[must_use]
    pub fn new(publisher: PublisherId) -> Self {
        Self { publisher }
    }

    /// Takes the next number of the series and notes when the publish started. Without an [`Self::end`] it counts
    /// as indeterminate.
    pub fn begin(&mut self, address: AddressId, started: RunTime) -> u64 {
        let _ = (address, started, self.publisher);
        todo!()
    }

    /// How a publish ended, and when.
    pub fn end(&mut self, address: AddressId, seq: u64, at: RunTime, outcome: PublishOutcome) {
        let _ = (address, seq, at, outcome);
        todo!()
    }

    /// An event that was due and never sent, because too many publishes were in flight.
    pub fn dropped(&mut self) {
        todo!()
    }

    /// Addresses that at least one event was sent to, sorted: each gets a sentinel.
    #[must_use]
    pub fn addresses(&self) -> Vec<AddressId> {
        todo!()
    }
}
