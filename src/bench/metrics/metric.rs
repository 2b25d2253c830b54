//! The metrics by name, and which of them have a distribution. Read [`Metric`] first.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Anything that an expectation can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// A distribution, of durations but for [`Trend::is_of_numbers`].
    Trend(Trend),
    /// A count that workers keep.
    Counter(Counter),
    /// A count from the ledger.
    Tally(Tally),
}

macro_rules! names {
    ($(#[$enum_doc:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident => $name:literal,)* }) => {
        $(#[$enum_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type {
            $($(#[$doc])* $variant,)*
        }

        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in scenarios and reports.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        /// Serialised by name, so that adding a metric does not change stored runs.
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                let known = Self::ALL.iter().find(|known| known.name() == name);
                known.copied().ok_or_else(|| serde::de::Error::custom(format!("{name:?} is not a metric")))
            }
        }
    };
}

names!(
    /// A metric with a distribution.
    Trend {
        /// From the first SYN to the response's head.
        ConnectTime => "connect_time",
        /// From the first SYN to the first event.
        FirstEventTime => "first_event_time",
        /// From when an event was *due* to its arrival, replayed ones too.
        DeliveryLatency => "delivery_latency",
        /// From when it was first sent to its arrival: without what the bench itself was late.
        DeliveryLatencySent => "delivery_latency_sent",
        /// From sending a publish to its answer.
        PublishTime => "publish_time",
        /// From when a publish was due to its sending.
        PublishDispatchDelay => "publish_dispatch_delay",
        /// From the end of a stream to the next one that takes the client in.
        ReconnectTime => "reconnect_time",
        /// From the end of a stream to the first new event.
        RecoveryTime => "recovery_time",
        /// Events that a resumed stream was given again: a number, no duration.
        ReplaySize => "replay_size",
        /// From the first to the last client that got an event while it was connected.
        FanoutSpread => "fanout_spread",
        /// Between two heartbeats, or any other bytes, of one stream.
        HeartbeatGap => "heartbeat_gap",
        /// How late the bench's own tick was: how far it can be trusted.
        GeneratorLag => "generator_lag",
    }
);

names!(
    /// A metric that workers count.
    Counter {
        /// Streams that took a client in, after its first one.
        Reconnects => "reconnects",
        /// Connects that failed or were answered with an error.
        ConnectErrors => "connect_errors",
        /// `CLOSE` events.
        Closes => "closes",
        /// Streams that a node ended with a `CLOSE` before it let the client in.
        SoftRejects => "soft_rejects",
        /// Streams that the server ended properly.
        CleanEnds => "clean_ends",
        /// Streams that broke: reset, aborted, the process gone.
        BrokenEnds => "broken_ends",
        /// Streams given up after a long silence.
        SilentEnds => "silent_ends",
        /// Streams that the bench cut.
        Cuts => "cuts",
        /// `GAP` events.
        Gaps => "gaps",
        /// Heartbeats.
        Heartbeats => "heartbeats",
        /// Streams that broke a rule of the format.
        DecodeErrors => "decode_errors",
        /// Bytes of streams.
        BytesIn => "bytes_in",
        /// Attempts to publish beyond the first of an event.
        PublishRetries => "publish_retries",
    }
);

names!(
    /// A metric that the ledger counts.
    Tally {
        /// Deliveries that were owed.
        Expected => "events_expected",
        /// Of them, arrived.
        Ok => "events_ok",
        /// Deliveries of indeterminate publishes.
        Recovered => "events_recovered",
        /// Owed, and proven missing.
        Lost => "events_lost",
        /// Owed, missing, not proven.
        Unseen => "events_unseen",
        /// Repeated, in a session or across a reconnect.
        Duplicated => "events_duplicated",
        /// After a later one.
        Reordered => "events_reordered",
        /// Should not have arrived.
        Unexpected => "events_unexpected",
        /// Missing, and declared.
        GapDeclared => "events_gap_declared",
        /// Acknowledged publishes.
        PublishOk => "publish_ok",
        /// Refused ones.
        PublishFail => "publish_fail",
        /// Those of which nobody knows.
        PublishIndeterminate => "publish_indeterminate",
        /// Those that were never sent.
        PublishDropped => "publish_dropped",
    }
);

impl Trend {
    /// Whether it is a distribution of numbers. A recorder keeps them as so many microseconds.
    #[must_use]
    pub fn is_of_numbers(self) -> bool {
        self == Self::ReplaySize
    }
}

impl Metric {
    /// Whether it is a distribution of durations.
    #[must_use]
    pub fn is_of_durations(self) -> bool {
        matches!(self, Self::Trend(trend) if !trend.is_of_numbers())
    }

    /// Tags that its measurements have: what is selected by another one is never there.
    #[must_use]
    pub fn tags(self) -> &'static [&'static str] {
        match self {
            Self::Trend(Trend::DeliveryLatency | Trend::DeliveryLatencySent) => &["phase", "group", "path"],
            Self::Trend(
                Trend::PublishTime | Trend::PublishDispatchDelay | Trend::FanoutSpread | Trend::GeneratorLag,
            )
            | Self::Counter(Counter::PublishRetries) => &["phase", "publisher"],
            Self::Trend(_) | Self::Counter(_) => &["phase", "group"],
            Self::Tally(_) => &[],
        }
    }

    /// Every metric, in the order of the documentation.
    pub fn all() -> impl Iterator<Item = Self> {
        let trends = Trend::ALL.iter().copied().map(Self::Trend);
        let counters = Counter::ALL.iter().copied().map(Self::Counter);
        trends.chain(counters).chain(Tally::ALL.iter().copied().map(Self::Tally))
    }

    /// The metric of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().find(|metric| metric.name() == name)
    }

    /// Its name in scenarios and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trend(trend) => trend.name(),
            Self::Counter(counter) => counter.name(),
            Self::Tally(tally) => tally.name(),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
