//! What fresh clients read from the oldest event on when everything was over: what the cluster itself still has.

use crate::bench::payload::RunId;

/// The book of the audit read. Several readers' books can be merged.
#[derive(Debug, Clone)]
pub struct AuditLedger {
    run: RunId,
}

impl AuditLedger {
    /// An empty book.
    #[must_use]
    pub fn new(run: RunId) -> Self {
        Self { run }
    }

    /// An event with its `data:`. Returns the address when it was a sentinel: that address is read to its end.
    pub fn event(&mut self, data: &str) -> Option<crate::bench::plan::AddressId> {
        let _ = (data, self.run);
        todo!()
    }

    /// The reader was told of a gap: the log does not begin where the run did.
    pub fn gap(&mut self) {
        todo!()
    }

    /// Adds another reader's book.
    pub fn merge(&mut self, other: Self) {
        let _ = other;
        todo!()
    }
}
