//! Follows the log, once for the whole node: reads every entry, encodes it, puts it into the window. The only writer
//! of the window. A store that fails is tried again from the same cursor; a hole goes into the window as a `Gap`.
//! Read [`Tail::run`] first.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::feed::encode;
use super::metrics::Metrics;
use super::window::{Slot, Window};
use crate::broker::{Broker, Entry, Follower, Page, StoreError};
use crate::runtime::Backoff;

/// The follower task of a node.
#[derive(Debug)]
pub(crate) struct Tail {
    follower: Follower,
    window: Window,
    metrics: Arc<Metrics>,
    page: usize,
}

impl Tail {
    /// Fills the window with the newest part of the log, so that clients that come from a node that died are answered
    /// from memory, and makes the tail that goes on from there.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn open(
        broker: &Broker,
        window_limits: super::window::WindowLimits,
        page: usize,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Window), StoreError> {
        let newest = broker.read_newest(window_limits.frames, window_limits.bytes as u64).await?;
        let bounds = broker.bounds().await?;
        // Everything after the entry in front of the first one is in the window; which entry that is, only the log
        // knows, so without entries the window starts at the end of the log, and otherwise at its first entry.
        let start = newest.first().map_or(bounds.newest_cursor(), |first| first.cursor);
        let window = Window::new(window_limits, start);
        let after = newest.last().map_or(start, |last| last.cursor);
        let loaded = newest.iter().skip(1).map(frame_slot).collect();
        window.publish(loaded);
        let tail = Self { follower: broker.follow(after), window: window.clone(), metrics, page };
        Ok((tail, window))
    }

    /// Follows until the token ends it.
    pub(crate) async fn run(mut self, token: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500))
            .expect("the bounds are constants in order");
        loop {
            let next = tokio::select! {
                () = token.cancelled() => return,
                next = self.follower.next(self.page) => next,
            };
            match next {
                Ok(page) => {
                    if backoff.attempt() > 0 {
                        tracing::info!("the log can be read again");
                        backoff.reset();
                    }
                    self.publish(&page);
                    self.metrics.note_tail(!page.more, Instant::now());
                }
                Err(error) => {
                    if backoff.attempt() == 0 {
                        tracing::warn!(%error, "the log cannot be read; trying again");
                    }
                    self.metrics.tail_errors.fetch_add(1, Ordering::Relaxed);
                    self.metrics.note_tail(false, Instant::now());
                    let wait = backoff.next_wait(&mut rand::rng());
                    tokio::select! {
                        () = token.cancelled() => return,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    fn publish(&self, page: &Page) {
        let marks = page.sync.clone().map(Slot::Sync).into_iter().chain(page.gap.map(Slot::Gap));
        if let Some(missing) = page.gap {
            tracing::warn!(reason = missing.reason.as_str(), "the log has a hole after the tail's cursor");
        }
        self.metrics.tailed.fetch_add(page.entries.len() as u64, Ordering::Relaxed);
        self.window.publish(marks.chain(page.entries.iter().map(frame_slot)).collect());
    }
}

fn frame_slot(entry: &Entry) -> Slot {
    Slot::Frame(Arc::new(encode(entry, Instant::now(), age_us(entry, SystemTime::now()))))
}

/// How long ago the publishing node took the message, microseconds. Positions are no clock: after a restart they may
/// run ahead of it. A clock that runs behind the publisher's makes this zero.
fn age_us(entry: &Entry, now: SystemTime) -> u64 {
    #[derive(serde::Deserialize)]
    struct Stamp<'a> {
        timestamp: &'a str,
    }
    let stamp = serde_json::from_str::<Stamp<'_>>(&entry.envelope).ok();
    let taken = stamp.and_then(|stamp| humantime::parse_rfc3339(stamp.timestamp).ok());
    let age = taken.and_then(|taken| now.duration_since(taken).ok()).unwrap_or_default();
    u64::try_from(age.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Origins;
    use crate::protocol::{Address, Cursor, Epoch, EventType, MessageId};

    #[track_caller]
    fn check(envelope: &str, expected: u64) {
        let entry = Entry {
            cursor: Cursor::start_of(Epoch::from_random(1)),
            message_id: MessageId::parse("m").unwrap(),
            address: Address::All,
            event_type: EventType::parse("MESSAGE").unwrap(),
            envelope: Arc::from(envelope),
            origins: Origins::default(),
        };
        let now = humantime::parse_rfc3339("2026-01-01T00:00:01.500Z").unwrap();
        assert_eq!(age_us(&entry, now), expected);
    }

    #[test]
    fn age_counts_from_the_publishing_nodes_clock_and_is_never_negative() {
        check(r#"{"id":"m","timestamp":"2026-01-01T00:00:01.250Z"}"#, 250_000);
        check(r#"{"id":"m","timestamp":"2026-01-01T00:00:02.000Z"}"#, 0);
        check(r#"{"id":"m"}"#, 0);
        check("no JSON at all", 0);
    }
}
