//! All metrics with their names, kinds and tags. Read [`Metric`] first.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::client::Coding;

/// A metric that a threshold can refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// A distribution of durations; of numbers if [`Trend::is_of_numbers`].
    Trend(Trend),
    /// A count from the recorders.
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
            /// In the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As in scenarios and reports.
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
    /// A metric with a distribution, as k6 calls it.
    Trend {
        /// From the first SYN to the head of the response.
        ConnectTime => "connect_time",
        /// From the first SYN to the first event.
        FirstEventTime => "first_event_time",
        /// From the *due* time of an event to its arrival, replayed events included.
        DeliveryLatency => "delivery_latency",
        /// From the first attempt to send an event to its arrival: excludes the lag of the bench.
        DeliveryLatencySent => "delivery_latency_sent",
        /// From sending a publish to its response.
        PublishTime => "publish_time",
        /// From the due time of a publish to sending it.
        PublishDispatchDelay => "publish_dispatch_delay",
        /// From the end of a stream to the confirmation of the next one.
        ReconnectTime => "reconnect_time",
        /// From the end of a stream to the first new event.
        RecoveryTime => "recovery_time",
        /// Number of events that a resumed stream replays.
        ReplaySize => "replay_size",
        /// From the first to the last arrival of an event at the connected clients.
        FanoutSpread => "fanout_spread",
        /// Between two receptions of bytes of one stream, heartbeats included.
        HeartbeatGap => "heartbeat_gap",
        /// Lateness of the bench's own ticks, which limits the trust in its measurements.
        GeneratorLag => "generator_lag",
    }
);

names!(
    /// A count from the recorders.
    Counter {
        /// Confirmed streams after the first one of each client.
        Reconnects => "reconnects",
        /// Connects that failed or got an error as response.
        ConnectErrors => "connect_errors",
        /// Received `CLOSE` events.
        Closes => "closes",
        /// Streams that a node ended with a `CLOSE` before it confirmed them.
        SoftRejects => "soft_rejects",
        /// Streams that the server ended properly.
        CleanEnds => "clean_ends",
        /// Streams that broke: reset, aborted, or the process died.
        BrokenEnds => "broken_ends",
        /// Streams that clients gave up after `idle_timeout` without data.
        SilentEnds => "silent_ends",
        /// Streams that the bench cut.
        Cuts => "cuts",
        /// Received `GAP` events.
        Gaps => "gaps",
        /// Heartbeats received by all clients.
        Heartbeats => "heartbeats",
        /// Streams that violated the format (HTML standard, 9.2.6) or a limit of the decoder.
        DecodeErrors => "decode_errors",
        /// Bytes of response bodies of streams.
        BytesIn => "bytes_in",
        /// Streams that came as gzip.
        GzipStreams => "streams_gzip",
        /// Streams that came as deflate.
        DeflateStreams => "streams_deflate",
        /// Streams that came as br (Brotli).
        BrotliStreams => "streams_br",
        /// Streams that came as zstd.
        ZstdStreams => "streams_zstd",
        /// Publish attempts after the first one of each event.
        PublishRetries => "publish_retries",
        /// Connections that hostile clients opened.
        HostileConnects => "hostile_connects",
        /// Connections of hostile clients that the server ended.
        HostileEnds => "hostile_ends",
        /// Connects of hostile clients that failed.
        HostileConnectErrors => "hostile_connect_errors",
    }
);

names!(
    /// A count from the ledgers.
    Tally {
        /// Deliveries that were owed.
        Expected => "events_expected",
        /// Owed, and delivered.
        Ok => "events_ok",
        /// Deliveries of publishes with an unknown outcome.
        Recovered => "events_recovered",
        /// Owed, and proven missing.
        Lost => "events_lost",
        /// Owed and missing, without proof of the loss.
        Unseen => "events_unseen",
        /// Delivered again, in a session or across a reconnect.
        Duplicated => "events_duplicated",
        /// Delivered after a later event.
        Reordered => "events_reordered",
        /// Delivered to a client that is not an addressee.
        Unexpected => "events_unexpected",
        /// Missing within a gap that the server declared.
        GapDeclared => "events_gap_declared",
        PublishOk => "publish_ok",
        PublishFail => "publish_fail",
        /// Publishes with an unknown outcome: no definite response.
        PublishIndeterminate => "publish_indeterminate",
        /// Publishes that were due and never sent: `max_in_flight` was reached.
        PublishDropped => "publish_dropped",
    }
);

impl Trend {
    /// Whether it is a distribution of numbers. A recorder keeps the number n as n microseconds.
    #[must_use]
    pub fn is_of_numbers(self) -> bool {
        self == Self::ReplaySize
    }
}

impl Counter {
    /// The count of streams with this content coding.
    #[must_use]
    pub fn streams_of(coding: Coding) -> Self {
        match coding {
            Coding::Gzip => Self::GzipStreams,
            Coding::Deflate => Self::DeflateStreams,
            Coding::Brotli => Self::BrotliStreams,
            Coding::Zstd => Self::ZstdStreams,
        }
    }
}

impl Metric {
    /// Whether it is a distribution of durations.
    #[must_use]
    pub fn is_of_durations(self) -> bool {
        matches!(self, Self::Trend(trend) if !trend.is_of_numbers())
    }

    /// Tags of its measurements. A selector with any other tag never matches.
    #[must_use]
    pub fn tags(self) -> &'static [&'static str] {
        match self {
            Self::Trend(Trend::DeliveryLatency | Trend::DeliveryLatencySent) => &["phase", "group", "path"],
            Self::Trend(
                Trend::PublishTime | Trend::PublishDispatchDelay | Trend::FanoutSpread | Trend::GeneratorLag,
            )
            | Self::Counter(Counter::PublishRetries) => &["phase", "publisher"],
            Self::Counter(
                Counter::HostileConnects | Counter::HostileEnds | Counter::HostileConnectErrors,
            ) => &["phase"],
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

    /// `None` for an unknown name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().find(|metric| metric.name() == name)
    }

    /// As in scenarios and reports.
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
