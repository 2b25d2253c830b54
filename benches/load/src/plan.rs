//! What is asked for on the command line, and what a payload carries.

use std::collections::HashMap;
use std::net::SocketAddr;

pub struct Plan {
    pub to: Vec<SocketAddr>,
    pub publish_to: Vec<SocketAddr>,
    pub pids: Vec<u32>,
    pub sub: String,
    pub kinds: HashMap<String, String>,
    pub topics: usize,
    pub size: usize,
    pub connections: usize,
    pub apart: usize,
    pub steps: Vec<Vec<String>>,
}

impl Plan {
    pub fn parse(arguments: impl Iterator<Item = String>) -> Self {
        let (mut keys, mut kinds, mut steps) = (HashMap::new(), HashMap::new(), Vec::new());
        for argument in arguments {
            match argument.split_once('=') {
                Some((key, value)) => match key.strip_prefix("pub:") {
                    Some(name) => _ = kinds.insert(name.to_owned(), value.to_owned()),
                    None => _ = keys.insert(key.to_owned(), value.to_owned()),
                },
                None => steps.push(argument.split(' ').map(str::to_owned).collect()),
            }
        }
        let list =
            |key: &str| keys.get(key).map_or("", String::as_str).split(',').filter(|part| !part.is_empty());
        let addresses =
            |key| list(key).map(|part| part.parse().expect("HOST:PORT")).collect::<Vec<SocketAddr>>();
        let number = |key: &str, default: usize| {
            keys.get(key).map_or(default, |value| value.parse().expect("a number"))
        };
        let to = addresses("to");
        let publish_to =
            Some(addresses("publish-to")).filter(|some| !some.is_empty()).unwrap_or_else(|| to.clone());
        Self {
            publish_to,
            pids: list("pids").map(|pid| pid.parse().expect("a process id")).collect(),
            sub: keys.get("sub").cloned().unwrap_or_else(|| "/sub".to_owned()),
            topics: number("topics", 1),
            size: number("size", 140),
            connections: number("connections", 10),
            apart: number("apart", 0),
            to,
            kinds,
            steps,
        }
    }
}

/// Replaces `{c}` and `{t}`.
pub fn fill(template: &str, stream: usize, topic: usize) -> String {
    template.replace("{c}", &stream.to_string()).replace("{t}", &topic.to_string())
}

/// What a payload says of its event: `~`, then hexadecimal digits.
#[derive(Clone, Copy)]
pub struct Stamp {
    /// Nanoseconds on the clock of this process.
    pub at: u64,
    /// The connection that published it.
    pub publisher: usize,
    /// The how-manieth of this connection for its address, from 0.
    pub seq: u32,
}

/// Bytes of a stamp behind its `~`.
pub const STAMP: usize = 26;

impl Stamp {
    pub fn payload(self, size: usize) -> String {
        let Self { at, publisher, seq } = self;
        let text = format!("{{\"m\":\"~{at:016x}{publisher:02x}{seq:08x}\",\"p\":\"");
        let padding = size.saturating_sub(text.len() + 2);
        format!("{text}{:x<padding$}\"}}", "")
    }

    pub fn read(text: &[u8]) -> Option<Self> {
        let hex = |digits: &[u8]| {
            digits
                .iter()
                .try_fold(0_u64, |sum, digit| Some(sum << 4 | u64::from((*digit as char).to_digit(16)?)))
        };
        let (at, publisher, seq) = (hex(&text[..16])?, hex(&text[16..18])?, hex(&text[18..26])?);
        Some(Self { at, publisher: publisher as usize, seq: seq as u32 })
    }
}

/// Numbers of events by microseconds, within one percent.
#[derive(Clone)]
pub struct Histogram(Vec<u64>);

/// Steps within one power of two.
const FINE: u64 = 64;

impl Histogram {
    pub fn new() -> Self {
        Self(vec![0; 64 * FINE as usize])
    }

    pub fn add(&mut self, ns: u64) {
        let us = ns / 100 + FINE; // tenths of a microsecond
        let power = u64::from(us.ilog2() - FINE.ilog2());
        self.0[(power * FINE + (us >> power) - FINE) as usize] += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(count, more)| *count += more);
    }

    /// The time that this share of the events did not exceed, in milliseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        let total: u64 = self.0.iter().sum();
        let mut left = (total as f64 * share).ceil().max(1.0) as u64;
        for (index, count) in self.0.iter().enumerate() {
            if *count >= left {
                let (power, step) = (index as u64 / FINE, index as u64 % FINE);
                return (((step + FINE) << power) - FINE) as f64 / 10_000.0;
            }
            left -= count;
        }
        f64::NAN
    }
}
