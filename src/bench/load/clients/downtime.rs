//! How long a client has been without a stream that took it in: from the end of such a stream to the next one. A node that
//! is draining, or a balancer without one, answers with a stream that says only `CLOSE`: who gets that is still away. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Whether a client is away, and since when.
#[derive(Debug, Default)]
pub(super) struct Downtime {
    /// Since when. `None` while it is there, and before it was taken in for the first time.
    since: Option<Instant>,
}

impl Downtime {
    /// A stream ended. `was_confirmed`: it had taken the client in.
    pub(super) fn stream_ended(&mut self, at: Instant, was_confirmed: bool) {
        if was_confirmed {
            self.since = Some(at);
        }
    }

    /// A stream took the client in. How long it was away; `None` for the first one.
    pub(super) fn is_over(&mut self, at: Instant) -> Option<Duration> {
        self.since.take().map(|since| at.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_sent_away_is_not_back() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut downtime = Downtime::default();
        downtime.stream_ended(at(1), false);
        assert_eq!(downtime.is_over(at(2)), None, "it was never there before");
        downtime.stream_ended(at(10), true);
        downtime.stream_ended(at(12), false);
        downtime.stream_ended(at(14), false);
        assert_eq!(downtime.is_over(at(15)), Some(Duration::from_secs(5)));
        assert_eq!(downtime.is_over(at(16)), None);
    }
}
