//! Allowed ranges of a scenario's values, and the defaults, each with its reason where it is not obvious.

use std::ops::RangeInclusive;
use std::time::Duration;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A day: histograms and run-length sets would carry more, a person's patience would not.
pub(in crate::bench::scenario) const LONGEST: Duration = seconds(24 * 60 * 60);
pub(in crate::bench::scenario) const DURATION: RangeInclusive<Duration> = seconds(1)..=LONGEST;
pub(in crate::bench::scenario) const ANY_DURATION: RangeInclusive<Duration> = Duration::ZERO..=LONGEST;
pub(in crate::bench::scenario) const SOME_DURATION: RangeInclusive<Duration> =
    Duration::from_millis(1)..=LONGEST;
/// What TOML can write.
pub(in crate::bench::scenario) const SEED: RangeInclusive<u64> = 0..=u64::MAX >> 1;
pub(in crate::bench::scenario) const NODES: RangeInclusive<u64> = 1..=64;
/// Processes that carry the clients.
pub(in crate::bench::scenario) const WORKERS: RangeInclusive<u64> = 1..=64;
/// Replicas of one Redis master.
pub(in crate::bench::scenario) const REPLICAS: u32 = 5;
pub(in crate::bench::scenario) const MAX_CONNECTIONS: RangeInclusive<u64> = 1..=10_000_000;
pub(in crate::bench::scenario) const READY_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(100)..=seconds(600);
/// Of one group.
pub(in crate::bench::scenario) const CLIENTS: RangeInclusive<u32> = 1..=1_000_000;
pub(in crate::bench::scenario) const CLIENTS_AT_ONCE: RangeInclusive<f64> = 0.0..=1_000_000.0;
/// Events per second of one publisher.
pub(in crate::bench::scenario) const RATE: RangeInclusive<f64> = 0.0..=1_000_000.0;
/// One publisher's requests at once; each is an open file.
pub(in crate::bench::scenario) const IN_FLIGHT: RangeInclusive<u32> = 1..=65_536;
pub(in crate::bench::scenario) const WEIGHT: RangeInclusive<f64> = 0.0..=1e6;
pub(in crate::bench::scenario) const JITTER: RangeInclusive<f64> = 0.0..=1.0;
pub(in crate::bench::scenario) const PAYLOAD: RangeInclusive<u32> =
    1..=crate::bench::scenario::plan::PAYLOAD_MAX_BYTES;
pub(in crate::bench::scenario) const QOS: RangeInclusive<u32> = 0..=1;
/// Events that a `redis-trim` leaves.
pub(in crate::bench::scenario) const KEPT: RangeInclusive<u32> = 0..=1_000_000;
/// Bytes a second of a client that reads slowly.
pub(in crate::bench::scenario) const READ_SPEED: RangeInclusive<u32> = 1..=1_000_000_000;
pub(in crate::bench::scenario) const TOXICITY: RangeInclusive<f64> = 0.0..=1.0;
/// Attributes of toxics, each in its unit: a day in microseconds, which is more than any of them needs.
pub(in crate::bench::scenario) const ATTRIBUTE: RangeInclusive<u64> = 0..=86_400_000_000;
/// What a socket may be asked to keep; the kernel doubles it, and has a least of its own.
pub(in crate::bench::scenario) const RECEIVE_BUFFER: RangeInclusive<u32> = 1_024..=16_777_216;
/// Mean length of a session: a connect and its answer take some milliseconds.
pub(in crate::bench::scenario) const SESSION: RangeInclusive<Duration> = Duration::from_millis(100)..=LONGEST;
/// Numbers of groups, publishers and faults are 16 bits wide.
pub(in crate::bench::scenario) const ENTRIES_MAX: usize = 10_000;

pub(in crate::bench::scenario) const SEED_DEFAULT: u64 = 1;
pub(in crate::bench::scenario) const READY_TIMEOUT_DEFAULT: Duration = seconds(15);
pub(in crate::bench::scenario) const IN_FLIGHT_DEFAULT: u32 = 256;
pub(in crate::bench::scenario) const PAYLOAD_DEFAULT: u32 = 256;
pub(in crate::bench::scenario) const JITTER_DEFAULT: f64 = 0.5;
pub(in crate::bench::scenario) const MAX_DELAY_DEFAULT: Duration = seconds(30);
pub(in crate::bench::scenario) const IDLE_DEFAULT: Duration = seconds(3);
/// Three of the usual heartbeats.
pub(in crate::bench::scenario) const IDLE_TIMEOUT_DEFAULT: Duration = seconds(45);
pub(in crate::bench::scenario) const QUIESCE_DEFAULT: Duration = seconds(60);
/// Further than any clock that NTP looks after, and what the figures of the contract are measured with.
pub(in crate::bench::scenario) const SKEW_DEFAULT: Duration = seconds(30);
