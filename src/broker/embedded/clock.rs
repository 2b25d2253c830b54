//! What time it is, in milliseconds since 1970: the only place of the embedded log that reads a clock.

use crate::runtime::clock::unix_ms;

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
            Self::System => unix_ms(),
            #[cfg(test)]
            Self::Manual(ms) => ms.load(std::sync::atomic::Ordering::SeqCst),
        }
    }
}
