//! Allowed ranges and defaults of a scenario's values, each with its reason where it is not obvious.

use std::ops::RangeInclusive;
use std::time::Duration;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One day. Histograms and ledgers could hold more; nobody waits longer.
pub(super) const LONGEST: Duration = seconds(24 * 60 * 60);
pub(super) const DURATION: RangeInclusive<Duration> = seconds(1)..=LONGEST;
pub(super) const ANY_DURATION: RangeInclusive<Duration> = Duration::ZERO..=LONGEST;
pub(super) const SOME_DURATION: RangeInclusive<Duration> = Duration::from_millis(1)..=LONGEST;
/// Up to the largest integer of TOML.
pub(super) const SEED: RangeInclusive<u64> = 0..=u64::MAX >> 1;
pub(super) const NODES: RangeInclusive<u64> = 1..=64;
/// Processes that carry the clients.
pub(super) const WORKERS: RangeInclusive<u64> = 1..=64;
/// Replicas of one Redis master.
pub(super) const REPLICAS: u32 = 5;
pub(super) const MAX_CONNECTIONS: RangeInclusive<u64> = 1..=10_000_000;
pub(super) const READY_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=seconds(600);
/// Clients of one group.
pub(super) const CLIENTS: RangeInclusive<u32> = 1..=1_000_000;
/// Hostile clients of one group. Each is a task of the bench with one open connection.
pub(super) const HOSTILE_CLIENTS: RangeInclusive<u32> = 1..=100_000;
pub(super) const CLIENTS_AT_ONCE: RangeInclusive<f64> = 0.0..=1_000_000.0;
/// Events per second of one publisher.
pub(super) const RATE: RangeInclusive<f64> = 0.0..=1_000_000.0;
/// One publisher's requests at once; each is an open file.
pub(super) const IN_FLIGHT: RangeInclusive<u32> = 1..=65_536;
pub(super) const WEIGHT: RangeInclusive<f64> = 0.0..=1e6;
pub(super) const JITTER: RangeInclusive<f64> = 0.0..=1.0;
/// Largest payload that is configured or drawn, in bytes.
pub(super) const PAYLOAD_MAX_BYTES: u32 = 1024 * 1024;
pub(super) const PAYLOAD: RangeInclusive<u32> = 1..=PAYLOAD_MAX_BYTES;
pub(super) const QOS: RangeInclusive<u32> = 0..=1;
/// Events that stay after a `redis-trim`.
pub(super) const KEPT: RangeInclusive<u32> = 0..=1_000_000;
/// Bytes per second of a slow client.
pub(super) const READ_SPEED: RangeInclusive<u32> = 1..=1_000_000_000;
pub(super) const TOXICITY: RangeInclusive<f64> = 0.0..=1.0;
/// Attributes of toxics, each in its unit. The maximum is one day in microseconds.
pub(super) const ATTRIBUTE: RangeInclusive<u64> = 0..=86_400_000_000;
/// Bytes of an event that clients take in. Each client may hold as much.
pub(super) const MAX_EVENT: RangeInclusive<u64> = 1_024..=1024 * 1024 * 1024;
/// The default, whatever the plan: servers greet their clients with the state of things.
pub(super) const MAX_EVENT_BASE: u64 = 8 * 1024 * 1024;
/// How much longer than its payload an event may be: a server may wrap it as a JSON text in a JSON text.
pub(super) const MAX_EVENT_PER_PAYLOAD: u64 = 8;
/// `SO_RCVBUF` in bytes; the kernel doubles it, and has a minimum of its own.
pub(super) const RECEIVE_BUFFER: RangeInclusive<u32> = 1_024..=16_777_216;
/// Mean length of a session; a connect and its response alone take some milliseconds.
pub(super) const SESSION: RangeInclusive<Duration> = Duration::from_millis(100)..=LONGEST;
/// Maximum number of groups, of publishers and of faults, whose ids have 16 bits.
pub(super) const ENTRIES_MAX: usize = 10_000;

pub(super) const SEED_DEFAULT: u64 = 1;
pub(super) const READY_TIMEOUT_DEFAULT: Duration = seconds(15);
/// So that a server which closes at once is not taken for one that is asked a million times a second.
pub(super) const HOSTILE_EVERY_DEFAULT: Duration = Duration::from_millis(100);
pub(super) const IN_FLIGHT_DEFAULT: u32 = 256;
pub(super) const PAYLOAD_DEFAULT: u32 = 256;
pub(super) const JITTER_DEFAULT: f64 = 0.5;
pub(super) const MAX_DELAY_DEFAULT: Duration = seconds(30);
pub(super) const IDLE_DEFAULT: Duration = seconds(3);
/// Three heartbeat intervals of the node's default.
pub(super) const IDLE_TIMEOUT_DEFAULT: Duration = seconds(45);
pub(super) const QUIESCE_DEFAULT: Duration = seconds(60);
/// More than the skew of any clock with NTP. The broker's contract suite is measured with the same value.
pub(super) const SKEW_DEFAULT: Duration = seconds(30);
