//! Follows the log, once for the whole node: reads every entry, encodes it, puts it into the window. The only writer
//! of the window. A store that fails is tried again from the same cursor; a hole goes into the window as a `Gap`.
//! Read [`Tail::run`] first.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
                }
                Err(error) => {
                    if backoff.attempt() == 0 {
                        tracing::warn!(%error, "the log cannot be read; trying again");
                    }
                    self.metrics.tail_errors.fetch_add(1, Ordering::Relaxed);
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
        let gap = page.gap.map(Slot::Gap);
        if let Some(missing) = page.gap {
            tracing::warn!(reason = missing.reason.as_str(), "the log has a hole after the tail's cursor");
        }
        self.metrics.tailed.fetch_add(page.entries.len() as u64, Ordering::Relaxed);
        self.window.publish(gap.into_iter().chain(page.entries.iter().map(frame_slot)).collect());
    }
}

fn frame_slot(entry: &Entry) -> Slot {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = since_epoch.saturating_sub(Duration::from_millis(entry.cursor.position.ms));
    let age_us = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
    Slot::Frame(Arc::new(encode(entry, Instant::now(), age_us)))
}
