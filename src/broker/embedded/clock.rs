//! What time it is, in milliseconds since 1970: the only place of the embedded log that reads a clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Where the log gets its time from.
#[derive(Debug, Clone, Default)]
pub(super) enum Clock {
    /// The system's clock, which may be set back at any time; the rules see to it that positions do not follow.
    #[default]
    System,
    /// Set by a test.
    #[cfg(test)]
    Manual(std::sync::Arc<std::sync::atomic::AtomicU64>),
}

impl Clock {
    /// Milliseconds since 1970; 0 for a clock that stands before.
    pub(super) fn now_ms(&self) -> u64 {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            }
            #[cfg(test)]
            Self::Manual(ms) => ms.load(std::sync::atomic::Ordering::SeqCst),
        }
    }
}
