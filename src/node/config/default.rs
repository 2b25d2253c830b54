//! The defaults of the settings, in the notation of the user. Read [`super::settings`] first.

/// A loopback address, since this version checks no tokens.
pub const LISTEN: &str = "127.0.0.1:8080";
/// URL of a node with the default address, from the same machine.
pub const URL: &str = "http://127.0.0.1:8080";
/// The default of switches.
pub const OFF: &str = "false";
/// Bytes of a request's head: the most topics with the longest names, and a large cookie.
pub const MAX_HEAD: &str = "64KiB";
/// Topics of one stream.
pub const MAX_TOPICS: &str = "256";
/// A log in memory, which does not survive the process.
pub const BROKER: &str = "memory:";
/// An acknowledged event is in the log, but maybe not on the disk.
pub const DURABILITY: &str = "accepted";
/// Entries kept in the log.
pub const KEEP_EVENTS: &str = "1000000";
/// Bytes kept in the log.
pub const KEEP_BYTES: &str = "1GiB";
/// Age of entries kept in the log.
pub const KEEP_AGE: &str = "24h";
/// How long a message id is remembered.
pub const IDEMPOTENCY_WINDOW: &str = "10m";
/// Messages in one mailbox.
pub const MAILBOX_MESSAGES: &str = "1000";
/// Messages in all mailboxes together.
pub const MAILBOX_TOTAL: &str = "1000000";
/// Bytes in all mailboxes together.
pub const MAILBOX_TOTAL_BYTES: &str = "256MiB";
/// Age of messages in a mailbox.
pub const MAILBOX_AGE: &str = "7d";
/// Message ids that the log remembers.
pub const IDEMPOTENCY_IDS: &str = "1000000";
/// Free space that a log leaves on its disk.
pub const MIN_FREE_DISK: &str = "256MiB";
/// Time that a client waits before it reconnects.
pub const RETRY: &str = "2s";
/// Longest random addition to `retry`.
pub const RETRY_JITTER: &str = "1s";
/// Every client understands it.
pub const FORMAT: &str = "envelope";
/// Time without events before a heartbeat.
pub const HEARTBEAT: &str = "15s";
/// Time without events before a `CURSOR` event.
pub const CURSOR_EVERY: &str = "30s";
/// Events in the window.
pub const WINDOW_FRAMES: &str = "200000";
/// Bytes in the window.
pub const WINDOW_BYTES: &str = "64MiB";
/// Streams that read the log at the same time.
pub const REPLAY_PERMITS: &str = "32";
/// Entries read from the log at a time.
pub const REPLAY_PAGE: &str = "500";
/// Threads that serve streams.
pub const LOOPS: &str = "0";
/// Events that a stream may be behind.
pub const LAG_LIMIT: &str = "100000";
/// Longest time without progress of a write.
pub const WRITE_STALL: &str = "10s";
/// Bytes that a client has not acknowledged.
pub const SEND_BUFFER: &str = "64KiB";
/// Streams of one node.
pub const MAX_CONNECTIONS: &str = "10000";
/// The value that means no limit.
pub const NO_LIMIT: &str = "0";
/// Browsers recover from a soft refusal.
pub const REJECT: &str = "soft";
/// Bytes of a request's body.
pub const MAX_BODY: &str = "256KiB";
/// Bytes of an event's data and metadata.
pub const MAX_PAYLOAD: &str = "64KiB";
/// Publishes that wait for the log.
pub const PUBLISH_QUEUE: &str = "4096";
/// Time over which a drain spreads the end of open streams.
pub const DRAIN_OVER: &str = "10s";
/// How streams end on the wire.
pub const DRAIN_CLOSE: &str = "abort";
/// Time that a drain waits for streams that do not end.
pub const DRAIN_GRACE: &str = "5s";
/// A client may have several streams.
pub const TAKEOVER: &str = "off";
/// A log format for people.
pub const LOG_FORMAT: &str = "text";
/// `info`, but only warnings of the embedded store.
pub const LOG_LEVEL: &str = "info,fjall=warn,lsm_tree=warn";
/// How far the clocks of the issuer and of the node may differ.
pub const TOKEN_LEEWAY: &str = "10s";
/// The cookie that carries a token.
pub const TOKEN_COOKIE: &str = "sse_token";
