//! Why a node ends a stream, and what the client is told: codes numbered as Centrifugo numbers its disconnects.

use rand::{Rng, RngExt as _};
use std::time::Duration;

use bytes::Bytes;

use crate::protocol::api::CloseEvent;
use crate::protocol::event::control;
use crate::protocol::{Frame, RetryMs};
use crate::runtime::mutant::{self, Mutant};

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseCode {
    /// The client went away.
    ClientGone,
    /// The node is leaving.
    Shutdown,
    /// The client reads too slowly and is too far behind.
    Slow,
    /// A write made no progress.
    Stalled,
    /// The log could not be read for this stream.
    LogUnavailable,
    /// An operator ended it.
    Forced,
    /// The node, user or address has its full number of streams.
    ConnectionLimit,
    /// Streams were opened too fast.
    TooManyRequests,
    /// The node has more streams than its share.
    Rebalance,
    /// A newer stream of the same client is open, here or on another node.
    TakenOver,
}

impl CloseCode {
    /// All of them, for metrics.
    pub(crate) const ALL: [Self; 10] = [
        Self::ClientGone,
        Self::Shutdown,
        Self::Slow,
        Self::Stalled,
        Self::LogUnavailable,
        Self::Forced,
        Self::ConnectionLimit,
        Self::TooManyRequests,
        Self::Rebalance,
        Self::TakenOver,
    ];

    /// Place in [`Self::ALL`], which lists the codes as they are declared.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The number on the wire.
    pub(crate) fn number(self) -> u16 {
        match self {
            Self::ClientGone => 3000,
            Self::Shutdown => 3001,
            Self::LogUnavailable => 3004,
            Self::Slow => 3008,
            Self::Stalled => 3009,
            Self::Rebalance => 3011,
            Self::TooManyRequests => 3013,
            Self::Forced => 3503,
            Self::ConnectionLimit => 3504,
            // Centrifugo leaves 4500 to 4999 to others, for disconnects after which nobody comes back.
            Self::TakenOver => 4500,
        }
    }

    /// Whether the client should come back. A client that was replaced would replace its successor in turn.
    pub(crate) fn reconnects(self) -> bool {
        self != Self::TakenOver
    }

    /// The word for metrics and people.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::Shutdown => "shutdown",
            Self::Slow => "slow",
            Self::Stalled => "stalled",
            Self::LogUnavailable => "log_unavailable",
            Self::Forced => "forced",
            Self::ConnectionLimit => "connection_limit",
            Self::TooManyRequests => "too_many_requests",
            Self::Rebalance => "rebalance",
            Self::TakenOver => "taken_over",
        }
    }
}

/// What a client is told with `retry:`: a base and, on top, a random part of its own, so that clients that were sent
/// away together do not come back together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    /// The least.
    pub(crate) base: Duration,
    /// At most so much more.
    pub(crate) jitter: Duration,
}

impl RetryPolicy {
    /// The base, for the start of a stream.
    pub(crate) fn base(&self) -> RetryMs {
        RetryMs::clamped(u64::try_from(self.base.as_millis()).unwrap_or(u64::MAX))
    }

    /// Base and jitter, for the end of a stream.
    pub(crate) fn jittered(&self, rng: &mut impl Rng) -> RetryMs {
        let wait = self.base + rng.random_range(Duration::ZERO..=self.jitter);
        RetryMs::clamped(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A `CLOSE` event with its `retry:`. Whoever must not come back and does not know it, as a bare `EventSource`, is
/// at least told to come as late as can be said.
pub(crate) fn close_frame(code: CloseCode, reason: &str, retry: RetryMs) -> Bytes {
    let reconnect = code.reconnects();
    let retry = if reconnect { retry } else { RetryMs::MAX };
    let event =
        CloseEvent { code: code.number(), reason: reason.to_owned(), reconnect, retry_ms: retry.get() };
    let data = serde_json::to_string(&event).expect("a struct of numbers and text always becomes JSON");
    let retry = Some(retry).filter(|_| !mutant::is_on(Mutant::CloseBare));
    Frame { retry, id: None, event: control::CLOSE, data: &data }.encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_at_its_place() {
        for (place, code) in CloseCode::ALL.into_iter().enumerate() {
            assert_eq!(code.index(), place, "{code:?}");
        }
    }

    #[test]
    fn only_whoever_was_replaced_is_told_to_stay_away() {
        for code in CloseCode::ALL {
            let frame = close_frame(code, "why", RetryMs::MIN);
            let text = std::str::from_utf8(&frame).unwrap();
            let stays_away = code == CloseCode::TakenOver;
            assert_eq!(text.contains("\"reconnect\":false"), stays_away, "{text}");
            assert_eq!(text.starts_with("retry: 600000\n"), stays_away, "{text}");
        }
    }
}
