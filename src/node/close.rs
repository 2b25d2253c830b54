//! The reasons for which a node ends a stream, and the `CLOSE` event that reports them. The codes are those of
//! Centrifugo's disconnects. Read [`CloseCode`] first.

use rand::{Rng, RngExt as _};
use std::time::Duration;

use bytes::Bytes;

use crate::protocol::api::CloseEvent;
use crate::protocol::event::control;
use crate::protocol::{Frame, RetryMs};

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseCode {
    /// The client closed the connection.
    ClientGone,
    /// The node is leaving.
    Shutdown,
    /// The client fell more than `--lag-limit` events behind, or took less than the least that a reader must take.
    Slow,
    /// A write made no progress for `--write-stall`.
    Stalled,
    /// The token of the stream has ended.
    Expired,
    /// The token of the stream was taken back.
    Revoked,
    /// The log could not be read for this stream.
    LogUnavailable,
    /// An operator ended the stream.
    Forced,
    /// The node, user or address has reached its limit of streams.
    ConnectionLimit,
    /// More streams were opened than `--accept-rate` allows.
    TooManyRequests,
    /// The node sheds streams above its share.
    Rebalance,
    /// The same client has opened a newer stream, here or on another node.
    TakenOver,
    /// The client sends bytes into its stream.
    Flooding,
}

impl CloseCode {
    /// Every code, in the order of their declaration.
    pub(crate) const ALL: [Self; 13] = [
        Self::ClientGone,
        Self::Shutdown,
        Self::Slow,
        Self::Stalled,
        Self::Expired,
        Self::Revoked,
        Self::LogUnavailable,
        Self::Forced,
        Self::ConnectionLimit,
        Self::TooManyRequests,
        Self::Rebalance,
        Self::TakenOver,
        Self::Flooding,
    ];

    /// The index in [`Self::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The number that the `CLOSE` event carries.
    pub(crate) fn number(self) -> u16 {
        match self {
            Self::ClientGone => 3000,
            Self::Shutdown => 3001,
            Self::LogUnavailable => 3004,
            Self::Expired => 3005,
            Self::Slow => 3008,
            Self::Stalled => 3009,
            Self::Rebalance => 3011,
            Self::TooManyRequests => 3013,
            // Nobody is told: the socket is reset.
            Self::Flooding => 3501,
            Self::Revoked => 3500,
            Self::Forced => 3503,
            Self::ConnectionLimit => 3504,
            // Centrifugo leaves 4500 to 4999 to applications, for disconnects without a reconnect.
            Self::TakenOver => 4500,
        }
    }

    /// Whether the client should reconnect. A client that was taken over would take over its successor in turn, and
    /// one whose token was revoked is refused.
    pub(crate) fn reconnects(self) -> bool {
        !matches!(self, Self::TakenOver | Self::Revoked)
    }

    /// The name in metrics and logs.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::Shutdown => "shutdown",
            Self::Slow => "slow",
            Self::Stalled => "stalled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::LogUnavailable => "log_unavailable",
            Self::Forced => "forced",
            Self::ConnectionLimit => "connection_limit",
            Self::TooManyRequests => "too_many_requests",
            Self::Rebalance => "rebalance",
            Self::TakenOver => "taken_over",
            Self::Flooding => "flooding",
        }
    }
}

/// The `retry:` of a stream: a base, plus random jitter per client, so that clients that are closed together do not
/// reconnect together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    /// The shortest wait.
    pub(crate) base: Duration,
    /// The longest random addition.
    pub(crate) jitter: Duration,
}

impl RetryPolicy {
    /// The base, sent at the start of a stream.
    pub(crate) fn base(&self) -> RetryMs {
        RetryMs::clamped(u64::try_from(self.base.as_millis()).unwrap_or(u64::MAX))
    }

    /// Base plus jitter, sent at the end of a stream.
    pub(crate) fn jittered(&self, rng: &mut impl Rng) -> RetryMs {
        let wait = self.base + rng.random_range(Duration::ZERO..=self.jitter);
        RetryMs::clamped(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A `CLOSE` event with its `retry:`. A bare `EventSource` reconnects even where it should not, so then `retry:` is
/// the longest one there is.
pub(crate) fn close_frame(code: CloseCode, reason: &str, retry: RetryMs) -> Bytes {
    let reconnect = code.reconnects();
    let retry = if reconnect { retry } else { RetryMs::MAX };
    let event =
        CloseEvent { code: code.number(), reason: reason.to_owned(), reconnect, retry_ms: retry.get() };
    let data = serde_json::to_string(&event).expect("a struct of numbers and text always becomes JSON");
    Frame { retry: Some(retry), id: None, event: control::CLOSE, data: &data }.encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_code_is_its_place_in_all() {
        for (place, code) in CloseCode::ALL.into_iter().enumerate() {
            assert_eq!(code.index(), place, "{code:?}");
        }
    }

    #[test]
    fn only_who_was_taken_over_or_revoked_is_told_to_stay_away() {
        for code in CloseCode::ALL {
            let frame = close_frame(code, "why", RetryMs::MIN);
            let text = std::str::from_utf8(&frame).unwrap();
            let stays_away = matches!(code, CloseCode::TakenOver | CloseCode::Revoked);
            assert_eq!(text.contains("\"reconnect\":false"), stays_away, "{text}");
            assert_eq!(text.starts_with("retry: 600000\n"), stays_away, "{text}");
        }
    }
}
