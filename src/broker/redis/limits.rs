//! Timeouts, queue lengths and sizes of the broker in Redis that are not settings.

use std::time::Duration;

/// Timeout of connecting, and of each command of the handshake.
pub(super) const CONNECT: Duration = Duration::from_millis(500);
/// A sentinel or seed may take this long; then the next one is asked.
pub(super) const ASK: Duration = Duration::from_millis(300);
/// An answer may take this long. Shorter than any failover takes to be noticed (1 s and more).
pub(super) const RESPONSE: Duration = Duration::from_millis(500);
/// A command waits this long for a connection.
pub(super) const CONNECTION_WAIT: Duration = Duration::from_secs(1);
/// Between tries to connect.
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// A read waits in the server for new entries this long; then the follower looks whether its history still holds.
pub(super) const BLOCK: Duration = Duration::from_millis(1_000);
/// Where a read takes longer than this beyond its own wait, the connection is dead.
pub(super) const BLOCK_GRACE: Duration = Duration::from_millis(1_000);
/// How long a node goes on from a time that the server told. Its own clock counts from there, however wrong it is.
pub(super) const SERVER_TIME_FOR: Duration = Duration::from_secs(1);
/// Entries of one read by the follower.
pub(super) const READ_COUNT: usize = 500;
/// A follower that reads again at once costs the server a read for every batch; where batches come fast, it gathers
/// for so long.
pub(super) const READ_PAUSE: Duration = Duration::from_millis(1);
/// Fast are entries that come sooner than this after the read for them began. The pause would be longer than the time
/// between two events at lower rates: it then gathers nothing.
pub(super) const PACED_BELOW: Duration = Duration::from_micros(500);
/// Entries of one read for a replay: with the largest events 4 MiB.
pub(super) const RANGE_COUNT: usize = 64;
/// About how many bytes one answer may bring: far more would not be there within [`RESPONSE`].
pub(super) const ANSWER_BYTES: u64 = 4 << 20;
/// Smallest number of entries that one read asks for.
pub(super) const RANGE_COUNT_MIN: usize = 16;
/// Events of one script.
pub(super) const BATCH_EVENTS: usize = 64;
/// Bytes of one script, unless a single event has more.
pub(super) const BATCH_BYTES: usize = 256 * 1024;
/// A publish that could not be written for this long is given up: a failover takes 2 to 5 s.
pub(super) const PUBLISH_PATIENCE: Duration = Duration::from_secs(8);
/// How long a replica may take to confirm (`--durability replicated`).
pub(super) const WAIT: Duration = Duration::from_millis(300);
/// How long the disk may take (`fsync`). With `appendfsync everysec` Redis writes once a second, and up to a second
/// later where the disk is slow; nothing forces it.
pub(super) const WAIT_FSYNC: Duration = Duration::from_millis(2_500);
/// Entries read at the front of the stream to find the oldest event: probes may stand before it.
pub(super) const OLDEST_COUNT: usize = 16;
/// Messages of a mailbox that are read at once: with the largest events 4 MiB.
pub(super) const MAIL_COUNT: usize = 64;
/// Messages of a mailbox that are read first.
pub(super) const MAIL_FIRST: usize = 8;
/// A mailbox that changes while it is being read is read again this often.
pub(super) const MAIL_TRIES: usize = 5;
/// How long the end of the process waits for publishes that are not written yet.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// Entries that a node remembers to repair a history that lost its tail.
pub(super) const RECENT_ENTRIES: usize = 200_000;
/// Bytes of their envelopes.
pub(super) const RECENT_BYTES: usize = 64 << 20;
/// Entries that a follower loads at start, to have something to remember.
pub(super) const PRELOAD: usize = 64;
/// Publishes that were not read back yet; beyond this the oldest is no longer watched.
pub(super) const IN_FLIGHT_MAX: usize = 100_000;
/// How long a reader whose cursor is on a lost branch waits for a node that brings the lost events back.
pub(super) const REPAIR_WAIT: Duration = Duration::from_millis(1_500);
/// How often such a reader asks.
pub(super) const REPAIR_LOOK: Duration = Duration::from_millis(50);
/// Histories through which a cursor is followed.
pub(super) const HISTORIES: usize = 16;
/// How long a probe may take through the log and back.
pub(super) const PROBE: Duration = Duration::from_secs(2);
/// How long a successful probe stays valid, so that many callers share one.
pub(super) const PROOF: Duration = Duration::from_millis(500);
/// How often old entries and mail are swept away. Every node does it; once would do.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// Bounded steps of one sweep.
pub(super) const SWEEP_STEPS: usize = 20;
/// Mailboxes of one sweep.
pub(super) const SWEEP_BOXES: usize = 64;
/// Steps of one sweep that drop mail, of up to [`SWEEP_BOXES`] mailboxes each.
pub(super) const DROP_STEPS: usize = 1_000;
/// Pages that wait between the follower's task and its caller.
pub(super) const PAGES: usize = 2;
