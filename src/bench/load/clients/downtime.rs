//! The time that a client has no stream: from the end of a confirmed stream to the next confirmed one. A node that drains, or
//! a load balancer without nodes, may answer with a stream that has only a `CLOSE` event; such a stream ends no downtime.
//! Pure. Read [`Downtime`] first.

use std::time::Duration;

use tokio::time::Instant;

/// Whether a client has lost its stream, and when.
#[derive(Debug, Default)]
pub(super) struct Downtime {
    /// When the last confirmed stream ended. `None` during a confirmed stream, and before the first one.
    since: Option<Instant>,
}

impl Downtime {
    /// To call when a stream ended. Only the end of a confirmed stream begins a downtime.
    pub(super) fn stream_ended(&mut self, at: Instant, was_confirmed: bool) {
        if was_confirmed {
            self.since = Some(at);
        }
    }

    /// A stream is confirmed. Returns the downtime; `None` for the first stream.
    pub(super) fn is_over(&mut self, at: Instant) -> Option<Duration> {
        self.since.take().map(|since| at.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unconfirmed_stream_ends_no_downtime() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut downtime = Downtime::default();
        downtime.stream_ended(at(1), false);
        assert_eq!(downtime.is_over(at(2)), None, "no stream was confirmed before");
        downtime.stream_ended(at(10), true);
        downtime.stream_ended(at(12), false);
        downtime.stream_ended(at(14), false);
        assert_eq!(downtime.is_over(at(15)), Some(Duration::from_secs(5)));
        assert_eq!(downtime.is_over(at(16)), None);
    }
}
