//! The figures of the whole cluster, and their values over time. Pure. Read [`Totals`] first.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::tui::state::series::Series;
use crate::tui::text::sanitize::SafeText;

/// The sum of all nodes whose figures are fresh.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Totals {
    /// Nodes whose figures are included.
    pub(crate) fresh: usize,
    pub(crate) connections: u64,
    /// Events per second; `None` until at least one node has a rate.
    pub(crate) published: Option<f64>,
    /// Events per second appended to the log: the highest rate at which a node reads it.
    pub(crate) appended: Option<f64>,
    /// Length of the longest log that a node reports.
    pub(crate) log_length: u64,
    pub(crate) log_rtt: Option<Duration>,
    pub(crate) sent: Option<f64>,
    /// Latency of all deliveries of the last minute, from merged histograms.
    pub(crate) p50: Option<Duration>,
    pub(crate) p99: Option<Duration>,
    pub(crate) lag_max: u64,
    pub(crate) gaps: u64,
    pub(crate) closed_slow: u64,
    pub(crate) rtt_max: Option<Duration>,
    /// Epochs of the log; more than one means that the nodes do not share a log.
    pub(crate) epochs: BTreeSet<SafeText>,
}

/// The totals over time, one value per step. Latencies are in milliseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct TotalsSeries {
    pub(crate) p50: Series,
    pub(crate) p99: Series,
    pub(crate) sent: Series,
    pub(crate) published: Series,
    pub(crate) connections: Series,
    pub(crate) appended: Series,
    pub(crate) log_length: Series,
    pub(crate) log_rtt: Series,
}

impl TotalsSeries {
    /// The series as they were `steps` steps ago.
    pub(super) fn before(&self, steps: usize) -> Self {
        Self {
            p50: self.p50.before(steps),
            p99: self.p99.before(steps),
            sent: self.sent.before(steps),
            published: self.published.before(steps),
            connections: self.connections.before(steps),
            appended: self.appended.before(steps),
            log_length: self.log_length.before(steps),
            log_rtt: self.log_rtt.before(steps),
        }
    }
}
