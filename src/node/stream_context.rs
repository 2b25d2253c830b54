//! What the streams of one node share: the log, the window, counters and timing. Read [`StreamContext`] first.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::close::RetryPolicy;
use super::metrics::Metrics;
use super::window::Window;
use crate::broker::Broker;

/// State that all streams of a node share.
#[derive(Debug)]
pub(crate) struct StreamContext {
    /// The log, read for replays and mailboxes.
    pub(crate) broker: Broker,
    /// The newest part of the log, in memory.
    pub(crate) window: Window,
    pub(crate) metrics: Arc<Metrics>,
    /// One permit per stream that may read the log at the same time.
    pub(crate) replay_permits: Semaphore,
    pub(crate) timing: StreamTiming,
}

/// Intervals and deadlines of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamTiming {
    /// Time without events after which a stream gets a heartbeat.
    pub(crate) heartbeat: Duration,
    /// Time without events after which a stream gets a `CURSOR`, if its position has moved.
    pub(crate) cursor: Duration,
    /// Most time that a read of the log may take, the wait for a permit included.
    pub(crate) log_read: Duration,
    /// The `retry:` that clients get.
    pub(crate) retry: RetryPolicy,
}

/// Form of the heartbeats of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum HeartbeatForm {
    /// A comment line, `:`.
    #[default]
    Comment,
    /// A `HEARTBEAT` event.
    Event,
}
