//! The part of the clients that one process runs. Read [`Share`] first.

use serde::{Deserialize, Serialize};

use crate::bench::ids::SubscriberId;

/// Every n-th client of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Number of the worker, from 0 on.
    pub index: u16,
    /// Number of workers.
    pub of: u16,
}

impl Share {
    /// All clients, in one process.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// The worker's name: `worker-1`, `worker-2`, …
    #[must_use]
    pub fn worker(self) -> String {
        format!("worker-{}", self.index + 1)
    }

    /// Whether the share has a client. Neighbours belong to different workers, so that each worker has some of every group.
    #[must_use]
    pub fn has(self, client: SubscriberId) -> bool {
        client.0 % u32::from(self.of.max(1)) == u32::from(self.index)
    }
}
