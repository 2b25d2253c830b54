//! share

use serde::{Deserialize, Serialize};

use crate::bench::ids::SubscriberId;

/// Every so-manieth client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Which worker, from 0 on.
    pub index: u16,
    /// Of how many.
    pub of: u16,
}

impl Share {
    /// All clients.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// The worker's name.
    #[must_use]
    pub fn worker(self) -> String {
        format!("worker-{}", self.index + 1)
    }

    /// Whether a client belongs to it. Neighbours belong to different workers, so that each has some of every group.
    #[must_use]
    pub fn has(self, client: SubscriberId) -> bool {
        client.0 % u32::from(self.of.max(1)) == u32::from(self.index)
    }
}
