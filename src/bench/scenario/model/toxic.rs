//! Toxics in the words and units of toxiproxy, plus what toxiproxy lacks: `stall`, `cut`, `drop`, `half_open`, and a
//! `reset_peer` that fires without traffic. Pure data; [`crate::bench::faults::proxy::toxic_stage`] applies them to
//! bytes. Read [`ToxicKind`] first.

use std::fmt;

use super::event_toxic::{EventAction, EventToxic, Which};

/// A direction of a connection, as toxiproxy calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the client to the server.
    Upstream,
    /// From the server to the client.
    Downstream,
}

/// The directions that a toxic affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    One(Direction),
    /// Both; toxiproxy has no word for it.
    Both,
}

impl Stream {
    /// Names as in scenarios and in the API.
    pub const WORDS: [(&'static str, Self); 3] = [
        ("upstream", Self::One(Direction::Upstream)),
        ("downstream", Self::One(Direction::Downstream)),
        ("both", Self::Both),
    ];

    /// Whether the toxic affects this direction.
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

/// A value that may be set, of one of these types.
#[derive(Debug)]
pub enum Attribute<'a> {
    Number(&'a mut u64),
    /// Between 0 and 1.
    Share(&'a mut f64),
    Text(&'a mut String),
    Flag(&'a mut bool),
    Which(&'a mut Which),
}

/// What a toxic does to the bytes of a connection. Attributes and units are toxiproxy's.
#[derive(Debug, Clone, PartialEq)]
pub enum ToxicKind {
    /// Delays each chunk; the order stays.
    Latency {
        /// Delay in milliseconds.
        latency: u64,
        /// Deviation from `latency` in milliseconds.
        jitter: u64,
    },
    /// Limits the throughput.
    Bandwidth {
        /// 1,000 bytes per second; 0 lets nothing pass.
        rate: u64,
    },
    /// Delays the end of a stream.
    SlowClose {
        /// Delay in milliseconds.
        delay: u64,
    },
    /// Discards all bytes, and closes the connection after a time, or when the toxic is removed.
    Timeout {
        /// In milliseconds; 0: closes only when the toxic is removed.
        timeout: u64,
    },
    /// Passes no byte and resets the connection after a time, with or without traffic.
    ResetPeer {
        /// Time until the reset, in milliseconds.
        timeout: u64,
    },
    /// Cuts chunks into smaller ones.
    Slicer {
        /// Mean size in bytes.
        average_size: u64,
        /// Deviation from `average_size` in bytes.
        size_variation: u64,
        /// Microseconds between two slices.
        delay: u64,
    },
    /// Closes the connection after a number of bytes.
    LimitData { bytes: u64 },
    /// Neither reads nor writes; continues without the loss of a byte.
    Stall,
    /// Passes everything, and closes the connection after a time.
    Cut {
        /// Milliseconds since the connection or the toxic began, whichever is later.
        time: u64,
    },
    /// Discards everything and closes nothing. A connection that lost a byte or an end is reset when the toxic is
    /// removed: a stream with a hole must not continue.
    Drop,
    /// As [`ToxicKind::Drop`], only for connections that are open when the toxic is added. New ones are unaffected.
    HalfOpen,
    /// Reads events, and does something to some of them.
    Event(EventToxic),
}

impl ToxicKind {
    /// Every type that knows only bytes by name, with attributes of zero.
    pub const OF_BYTES: [(&'static str, Self); 11] = [
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

    /// The type of this name, with the defaults of its attributes.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let of_bytes = Self::OF_BYTES.into_iter().find(|(word, _)| *word == name).map(|(_, kind)| kind);
        let of_events = || EventAction::WORDS.into_iter().find(|(word, _)| *word == name);
        of_bytes.or_else(|| of_events().map(|(_, action)| Self::Event(EventToxic::new(action))))
    }

    /// As in scenarios and in the API.
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
            Self::Event(toxic) => toxic.action.name(),
        }
    }

    /// Attributes by name, in the order of the documentation.
    pub fn attributes(&mut self) -> Vec<(&'static str, Attribute<'_>)> {
        let numbers = match self {
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
            Self::Event(toxic) => return toxic.attributes(),
        };
        numbers.into_iter().map(|(name, number)| (name, Attribute::Number(number))).collect()
    }

    /// An attribute with which it could not act, and why.
    #[must_use]
    pub fn problem(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Event(toxic) => toxic.problem(),
            _ => None,
        }
    }

    /// The default: toxics of toxiproxy affect bytes from the server, a broken line affects both directions.
    #[must_use]
    pub fn usual_stream(&self) -> Stream {
        match self {
            Self::Stall | Self::Cut { .. } | Self::Drop | Self::HalfOpen => Stream::Both,
            Self::Event(toxic) => Stream::One(toxic.action.direction()),
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

/// A toxic on the connections of a proxy.
#[derive(Debug, Clone, PartialEq)]
pub struct Toxic {
    /// Unique within a proxy.
    pub name: String,
    pub kind: ToxicKind,
    /// Directions that the toxic affects.
    pub stream: Stream,
    /// Share of the connections that are affected, 0 to 1. Drawn once for each connection.
    pub toxicity: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_name() {
        let names = ToxicKind::OF_BYTES.iter().map(|(name, _)| *name);
        for name in names.chain(EventAction::WORDS.iter().map(|(name, _)| *name)) {
            assert_eq!(ToxicKind::named(name).unwrap().name(), name);
        }
        assert_eq!(ToxicKind::named("noop"), None);
    }

    #[test]
    fn attributes_can_be_set_by_name() {
        let mut kind = ToxicKind::named("slicer").unwrap();
        for (number, (_, value)) in (1..).zip(kind.attributes()) {
            let Attribute::Number(value) = value else { panic!("{value:?}") };
            *value = number;
        }
        assert_eq!(kind, ToxicKind::Slicer { average_size: 1, size_variation: 2, delay: 3 });
    }
}
