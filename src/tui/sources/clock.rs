//! The console's clock. Messages carry its moments, so that model and view read no clock. Read [`Clock`] first.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::tui::state::moment::Moment;

/// A clock that counts from its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Moment {
        // A system clock before 1970 shows as 1970.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { elapsed: self.0.elapsed(), unix }
    }
}
