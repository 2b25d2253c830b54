//! Measurements: a histogram for each metric and set of tags, counters beside them. One recorder a worker, without
//! locks; merged when the run is over. Never keeps a sample, never averages percentiles.
//! Read [`Recorder`] first.

use std::collections::HashMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::ledger::Path;
use super::plan::{GroupId, PhaseId, PublisherId};

/// A metric with a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trend {
    /// From the first SYN to the response's head.
    ConnectTime,
    /// From the first SYN to the first event.
    FirstEventTime,
    /// From when an event was *due* to its arrival, replayed ones too.
    DeliveryLatency,
    /// From when it was sent to its arrival.
    DeliveryLatencySent,
    /// From sending a publish to its answer.
    PublishTime,
    /// From when a publish was due to its sending.
    PublishDispatchDelay,
    /// From the end of a stream to the next response's head.
    ReconnectTime,
    /// From the end of a stream to the first new event.
    RecoveryTime,
    /// Between two heartbeats, or any other bytes, of one stream.
    HeartbeatGap,
    /// How late the bench's own tick was: how far it can be trusted.
    GeneratorLag,
}

/// A metric that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    /// Streams opened after the first one of a client.
    Reconnects,
    /// Connects that failed or were answered with an error.
    ConnectErrors,
    /// `CLOSE` events.
    Closes,
    /// `GAP` events.
    Gaps,
    /// Heartbeats.
    Heartbeats,
    /// Streams that broke a rule of the format.
    DecodeErrors,
    /// Bytes of streams.
    BytesIn,
}

/// What a measurement is told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tags {
    /// When.
    pub phase: PhaseId,
    /// Who.
    pub source: Source,
    /// How the event came, for latencies of deliveries.
    pub path: Option<Path>,
}

/// Who measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A group of clients; the tag `group`.
    Group(GroupId),
    /// A publisher; the tag `publisher`.
    Publisher(PublisherId),
    /// The bench itself.
    Bench,
}

/// The measurements of one worker.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    trends: HashMap<(Trend, Tags), Histogram<u64>>,
    counters: HashMap<(Counter, Tags), u64>,
}

impl Recorder {
    /// Records a duration. Microseconds are kept, with three significant digits.
    pub fn record(&mut self, trend: Trend, tags: Tags, value: Duration) {
        let _ = (trend, tags, value, &self.trends);
        todo!()
    }

    /// Counts.
    pub fn count(&mut self, counter: Counter, tags: Tags, by: u64) {
        *self.counters.entry((counter, tags)).or_default() += by;
    }

    /// Adds another worker's measurements.
    pub fn merge(&mut self, other: Self) {
        let _ = other;
        todo!()
    }
}
