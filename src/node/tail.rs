//! Follows the log once for the whole node: reads every entry, encodes it and puts it into the window. No other part
//! may write to the window. After a failed read it tries again from the same cursor; a hole in the log goes into the
//! window as a `Gap`. Read [`Tail::run`] first.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::feed::encode;
use super::limits::REVOCATIONS_READ;
use super::loops::SharedLoop;
use super::metrics::Metrics;
use super::revoker::Revoker;
use super::window::{Slot, Window};
use crate::broker::{Broker, Entry, Follower, Page, StoreError};
use crate::runtime::Backoff;

/// The task that follows the log for the node.
#[derive(Debug)]
pub(crate) struct Tail {
    follower: Follower,
    window: Window,
    metrics: Arc<Metrics>,
    page: usize,
    /// Looks at every entry; `None` on nodes that check no tokens.
    revoker: Option<(Revoker, Broker)>,
}

impl Tail {
    /// Fills the window with the newest part of the log, so that clients of a node that died are answered from
    /// memory, and returns the tail that continues from there.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) async fn open(
        broker: &Broker,
        window_limits: super::window::WindowLimits,
        page: usize,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Window), StoreError> {
        let newest = broker.read_newest(window_limits.frames, window_limits.bytes as u64).await?;
        let bounds = broker.bounds().await?;
        // The window starts after a known entry. The entry before the first loaded one is not known, so the window
        // starts after the first loaded one, and without entries at the end of the log.
        let start = newest.first().map_or(bounds.newest_cursor(), |first| first.cursor);
        let window = Window::new(window_limits, start);
        let after = newest.last().map_or(start, |last| last.cursor);
        let loaded = newest.iter().skip(1).map(frame_slot).collect();
        window.publish(loaded);
        let tail =
            Self { follower: broker.follow(after), window: window.clone(), metrics, page, revoker: None };
        Ok((tail, window))
    }

    /// Lets revocations take effect as the log brings them.
    pub(crate) fn with_revoker(self, revoker: Revoker, broker: Broker) -> Self {
        Self { revoker: Some((revoker, broker)), ..self }
    }

    /// Follows the log until the token is cancelled.
    pub(crate) async fn run(mut self, loops: Vec<SharedLoop>, token: CancellationToken) {
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
                    revoke(self.revoker.as_ref(), &page).await;
                    self.publish(&page);
                    loops.iter().for_each(SharedLoop::advance);
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
            tracing::warn!(
                reason = missing.reason.as_str(),
                "the log has lost events that this node had not read yet; clients get a GAP event"
            );
        }
        self.metrics.tailed.fetch_add(page.entries.len() as u64, Ordering::Relaxed);
        self.window.publish(marks.chain(page.entries.iter().map(frame_slot)).collect());
    }
}

/// Lets the revocations of a page take effect; after a hole, all that are kept.
async fn revoke(revoker: Option<&(Revoker, Broker)>, page: &Page) {
    let Some((revoker, broker)) = revoker else { return };
    page.entries.iter().for_each(|entry| revoker.see(entry));
    if page.gap.is_some() || page.sync.is_some() {
        match tokio::time::timeout(REVOCATIONS_READ, revoker.load(broker)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "revocations cannot be read again"),
            Err(_) => tracing::warn!("revocations cannot be read again in time"),
        }
    }
}

fn frame_slot(entry: &Entry) -> Slot {
    Slot::Frame(Arc::new(encode(entry, Instant::now(), Some(SystemTime::now()))))
}
