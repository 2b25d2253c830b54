//! What can be done to a link, in the words and units of toxiproxy, and what it lacks: `stall`, `cut`, `drop`,
//! `half_open`, and a `reset_peer` that needs no traffic to fire. Pure data; what it does to bytes is in
//! [`crate::bench::faults::proxy::toxic_stage`]. Read [`ToxicKind`] first.

use std::fmt;

/// A direction of a connection, as toxiproxy calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the client to the server.
    Upstream,
    /// From the server to the client.
    Downstream,
}

/// Which directions a toxic meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// One.
    One(Direction),
    /// Both; toxiproxy has no word for it.
    Both,
}

impl Stream {
    /// The words, as in scenarios and in the API.
    pub const WORDS: [(&'static str, Self); 3] = [
        ("upstream", Self::One(Direction::Upstream)),
        ("downstream", Self::One(Direction::Downstream)),
        ("both", Self::Both),
    ];

    /// Whether it meets this direction.
    #[must_use]
    pub fn meets(self, direction: Direction) -> bool {
        match self {
            Self::One(one) => one == direction,
            Self::Both => true,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upstream => "upstream",
            Self::Downstream => "downstream",
        })
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(direction) => direction.fmt(f),
            Self::Both => f.write_str("both"),
        }
    }
}

/// What is done to the bytes of a connection. Attributes are toxiproxy's, in its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToxicKind {
    /// Each chunk comes so much later; the order stays.
    Latency {
        /// Milliseconds.
        latency: u64,
        /// Milliseconds, more or less.
        jitter: u64,
    },
    /// Only so much passes in a second.
    Bandwidth {
        /// 1,000 bytes per second; 0 lets nothing pass.
        rate: u64,
    },
    /// The end of a stream comes so much later.
    SlowClose {
        /// Milliseconds.
        delay: u64,
    },
    /// Nothing passes, what comes is thrown away, and after a time the connection is closed; also when the toxic goes.
    Timeout {
        /// Milliseconds; 0: only when the toxic goes.
        timeout: u64,
    },
    /// Nothing passes, and after a time the connection is reset, whether or not anything was said on it.
    ResetPeer {
        /// Milliseconds.
        timeout: u64,
    },
    /// Chunks are cut into smaller ones.
    Slicer {
        /// Bytes.
        average_size: u64,
        /// Bytes, more or less.
        size_variation: u64,
        /// Microseconds between two of them.
        delay: u64,
    },
    /// After so many bytes the connection is closed.
    LimitData {
        /// Bytes.
        bytes: u64,
    },
    /// Nothing is read and nothing is written; goes on without the loss of a byte.
    Stall,
    /// Everything passes, and after a time the connection is closed.
    Cut {
        /// Milliseconds from the beginning of the connection, or of the toxic on it.
        time: u64,
    },
    /// Everything is thrown away and nothing is closed. A connection that lost a byte or an end is reset when the toxic
    /// goes: a stream with a hole must not go on.
    Drop,
    /// The same for the connections that are there when it comes. New ones are whole.
    HalfOpen,
}

impl ToxicKind {
    /// Every type by its name, with attributes of zero.
    pub const ALL: [(&'static str, Self); 11] = [
        ("latency", Self::Latency { latency: 0, jitter: 0 }),
        ("bandwidth", Self::Bandwidth { rate: 0 }),
        ("slow_close", Self::SlowClose { delay: 0 }),
        ("timeout", Self::Timeout { timeout: 0 }),
        ("reset_peer", Self::ResetPeer { timeout: 0 }),
        ("slicer", Self::Slicer { average_size: 0, size_variation: 0, delay: 0 }),
        ("limit_data", Self::LimitData { bytes: 0 }),
        ("stall", Self::Stall),
        ("cut", Self::Cut { time: 0 }),
        ("drop", Self::Drop),
        ("half_open", Self::HalfOpen),
    ];

    /// The type of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(word, _)| *word == name).map(|(_, kind)| kind)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Latency { .. } => "latency",
            Self::Bandwidth { .. } => "bandwidth",
            Self::SlowClose { .. } => "slow_close",
            Self::Timeout { .. } => "timeout",
            Self::ResetPeer { .. } => "reset_peer",
            Self::Slicer { .. } => "slicer",
            Self::LimitData { .. } => "limit_data",
            Self::Stall => "stall",
            Self::Cut { .. } => "cut",
            Self::Drop => "drop",
            Self::HalfOpen => "half_open",
        }
    }

    /// Its attributes by name, in the order of the documentation.
    pub fn attributes(&mut self) -> Vec<(&'static str, &mut u64)> {
        match self {
            Self::Latency { latency, jitter } => vec![("latency", latency), ("jitter", jitter)],
            Self::Bandwidth { rate } => vec![("rate", rate)],
            Self::SlowClose { delay } => vec![("delay", delay)],
            Self::Timeout { timeout } | Self::ResetPeer { timeout } => vec![("timeout", timeout)],
            Self::Slicer { average_size, size_variation, delay } => {
                vec![("average_size", average_size), ("size_variation", size_variation), ("delay", delay)]
            }
            Self::LimitData { bytes } => vec![("bytes", bytes)],
            Self::Cut { time } => vec![("time", time)],
            Self::Stall | Self::Drop | Self::HalfOpen => Vec::new(),
        }
    }

    /// Where it is at work when nobody says where: a toxic of toxiproxy on what the server says, a broken line in both
    /// directions.
    #[must_use]
    pub fn usual_stream(&self) -> Stream {
        match self {
            Self::Stall | Self::Cut { .. } | Self::Drop | Self::HalfOpen => Stream::Both,
            Self::Latency { .. }
            | Self::Bandwidth { .. }
            | Self::SlowClose { .. }
            | Self::Timeout { .. }
            | Self::ResetPeer { .. }
            | Self::Slicer { .. }
            | Self::LimitData { .. } => Stream::One(Direction::Downstream),
        }
    }
}

/// Something that is done to the connections of a proxy.
#[derive(Debug, Clone, PartialEq)]
pub struct Toxic {
    /// Its name; one a proxy.
    pub name: String,
    /// What it does.
    pub kind: ToxicKind,
    /// In which direction.
    pub stream: Stream,
    /// Share of the connections that it meets, 0 to 1. A connection is met or not for all its life.
    pub toxicity: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_name() {
        for (name, kind) in ToxicKind::ALL {
            assert_eq!((kind.name(), ToxicKind::named(name)), (name, Some(kind)));
        }
        assert_eq!(ToxicKind::named("noop"), None);
    }

    #[test]
    fn attributes_can_be_set_by_name() {
        let mut kind = ToxicKind::named("slicer").unwrap();
        for (number, (_, value)) in (1..).zip(kind.attributes()) {
            *value = number;
        }
        assert_eq!(kind, ToxicKind::Slicer { average_size: 1, size_variation: 2, delay: 3 });
    }
}
