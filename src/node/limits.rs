//! Limits of queues, waits, bodies and loops that nobody needs to tune. Limits that users may tune are settings, in
//! [`super::config`]. No other file may define a limit.

use std::time::Duration;

use crate::broker::PageLimit;

/// The longest spread of a drain. The limit also keeps the spread within the range that a clock can add.
pub(crate) const SPREAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a stream waits before its next read, once it has read to the end of a history and the tail has not.
pub(crate) const TAIL_PAUSE: Duration = Duration::from_millis(20);

/// Pause between the last frame and an abort. A page that reads with `fetch` loses the bytes that it has not read when
/// the abort arrives (measured in Chromium: without a pause one `CLOSE` in three was lost, with its `retry:`).
pub(crate) const ABORT_PAUSE: Duration = Duration::from_millis(100);

/// What is still read, and dropped, from a client whose request was no request. A socket that is closed with bytes unread
/// takes the answer back.
pub(crate) const LINGER_BYTES: usize = 1024 * 1024;

/// How long that may take.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// Most bytes of a request from one node to another.
pub(crate) const CLUSTER_BODY_BYTES: usize = 1024 * 1024;

/// How far the clocks of two nodes may differ, and how long a request of one to another may be on its way.
pub(crate) const PEER_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// How often the files of TLS are looked at.
pub(crate) const TLS_FILES_EVERY: Duration = Duration::from_secs(10);

/// Bytes that wait between a loop and a stream over HTTP/2 (`SO_SNDBUF`, which the kernel doubles).
pub(crate) const PIPE_BYTES: usize = 16 * 1024;

/// Bytes that a client may send ahead in a request over HTTP/2, and on a connection. What it may be sent is its own affair.
pub(crate) const H2_STREAM_WINDOW: u32 = 64 * 1024;
pub(crate) const H2_CONNECTION_WINDOW: u32 = 256 * 1024;

/// Bytes of one stream over HTTP/2 that wait for the window of its client.
pub(crate) const H2_SEND_BUFFER: usize = 32 * 1024;

/// Requests and streams at once on one connection of HTTP/2: every tab of a browser is one.
pub(crate) const H2_STREAMS: u32 = 128;

/// A connection of HTTP/2 is asked whether it lives after this time without a frame, and ended when the answer does not come.
pub(crate) const H2_PING_EVERY: Duration = Duration::from_secs(20);
pub(crate) const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Claims in one request to another node. With names of the longest kind they fit into [`CLUSTER_BODY_BYTES`].
pub(crate) const CLAIMS_PER_REQUEST: usize = 1_000;

/// Most rows that a list of all nodes asks of each node: page number times rows per page.
pub(crate) const CLUSTER_ROWS_MAX: u64 = 100_000;

/// Most events of one batch: as many as a page of the history. With the queue of the log's writer nearly empty, all of
/// them find room in it.
pub(crate) const BATCH_EVENTS_MAX: usize = 1_000;

/// Most bytes that a client may send into its open stream, in all. They mean nothing; browsers send none.
pub(crate) const STREAM_INPUT_BYTES: usize = 8 * 1024;

/// The time over which a reader must take [`READER_BYTES`], counted only while its socket takes no more.
pub(crate) const READER_TIME: Duration = Duration::from_secs(30);

/// The bytes that a reader must take in [`READER_TIME`]: 1 KiB a second.
pub(crate) const READER_BYTES: u64 = 30 * 1024;

/// Most bytes of a token, before any of it is decoded.
pub(crate) const TOKEN_BYTES: usize = 8 * 1024;

/// Most patterns in the claims of a token.
pub(crate) const TOKEN_PATTERNS_MAX: usize = 64;

/// Longest name of a key (`kid`).
pub(crate) const TOKEN_KEY_ID_BYTES: usize = 64;

/// Most keys of an issuer.
pub(crate) const TOKEN_KEYS_MAX: usize = 100;

/// Fewest bytes of a secret that tokens are signed with, as RFC 7518 3.2 asks for HS256.
pub(crate) const TOKEN_SECRET_BYTES: usize = 32;

/// How often files of keys are read again.
pub(crate) const KEY_FILES_EVERY: Duration = Duration::from_secs(10);

/// How often a file of keys is read at most because a token names a key that it did not have.
pub(crate) const KEY_FILES_ASKED_EVERY: Duration = Duration::from_secs(1);

/// How often a JWKS is fetched again while its keys are enough.
pub(crate) const KEY_URL_EVERY: Duration = Duration::from_secs(5 * 60);

/// How often a JWKS is fetched at most because a token names a key that it did not have.
pub(crate) const KEYS_ASKED_EVERY: Duration = Duration::from_secs(10);

/// How long a JWKS may take to be fetched.
pub(crate) const KEY_URL_DEADLINE: Duration = Duration::from_secs(5);

/// Most bytes of a JWKS.
pub(crate) const KEY_URL_BYTES: usize = 1024 * 1024;

/// How long a request waits for newer keys when its token names one that is not known.
pub(crate) const KEYS_WAIT: Duration = Duration::from_secs(6);

/// How long the kept revocations may take to be read.
pub(crate) const REVOCATIONS_READ: Duration = Duration::from_secs(2);

/// Most revocations that a node remembers.
pub(crate) const REVOCATIONS_MAX: usize = 100_000;

/// How long a revocation is remembered unless it says so.
pub(crate) const REVOCATION_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A token that expired up to this long ago, in a cookie or URL, gets a stream that says so and ends: a browser never comes
/// back after a status, and may have a new cookie soon. Seconds.
pub(crate) const EXPIRED_SOFTLY: u64 = 5 * 60;

/// When a client with such a token comes again.
pub(crate) const EXPIRED_RETRY: Duration = Duration::from_secs(30);

/// Streams end up to this long before their tokens do, each at another moment, so that those whose tokens were made
/// together do not come back together. Never more than a tenth of what is left.
pub(crate) const EXPIRY_SPREAD: Duration = Duration::from_secs(30);

/// Messages of a mailbox that a stream holds at once, as it holds one page of the log.
pub(crate) const MAIL_PAGE: PageLimit = PageLimit { entries: 500, bytes: 256 * 1024 };

/// Bytes of an answer with events; the next page is another answer.
pub(crate) const ANSWER_BYTES: u64 = 1024 * 1024;

/// Answers with events that are under way at once.
pub(crate) const READS: usize = 32;

/// Lists of streams that are under way at once.
pub(crate) const LISTS: usize = 8;

/// Publishers whose rates the node keeps apart.
pub(crate) const PACED_PUBLISHERS: usize = 10_000;

/// How long a connection that was asked to end for others may take before the next one is asked.
pub(crate) const SHED_TIME: Duration = Duration::from_secs(1);

/// Open files that sockets leave to the rest of the node: sorted files and journals of a log in a directory, loops,
/// pipes. Where fewer than twice as many are allowed, half of them.
pub(crate) const SPARE_FILES: u64 = 512;

/// Sockets of one address are a part of all, and at least so many.
pub(crate) const ADDRESS_SOCKETS_MIN: usize = 64;

/// Limits of a running node. See [`Limits::default`] for their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries that the tail reads from the log at once. It encodes them before it reads more, so this limits how long
    /// live events wait behind a burst.
    pub tail_page: usize,
    /// Sockets beyond those of streams, for publishers, probes and consoles.
    pub spare_sockets: usize,
    /// How long a client may take to send the head of a request, from its first byte on, and as long to begin.
    pub head_timeout: Duration,
    /// How long a client may take to send a request's body.
    pub body_timeout: Duration,
    /// How long a client may take to read an answer, from the first write on that it does not take at once.
    pub answer_timeout: Duration,
    /// How long sent data may stay unacknowledged by a peer (`TCP_USER_TIMEOUT`). Nothing else notices a peer that
    /// vanished without closing, since heartbeats fit into the socket's buffer for an hour.
    pub peer_timeout: Duration,
    /// Bytes that a socket takes beyond those that its peer has room for (`TCP_NOTSENT_LOWAT`). A peer that reads nothing
    /// costs the system this much, and not the whole send buffer.
    pub unsent_bytes: u32,
    /// How long a publish may wait for the log. After that its outcome is unknown, and the answer says so.
    pub publish_deadline: Duration,
    /// How long a stream may wait for a page of the log.
    pub log_read_deadline: Duration,
    /// How long a health probe may wait for the log.
    pub health_deadline: Duration,
    /// How long the broker may take to record a beat of this node, or to list the nodes that are alive.
    pub roster_deadline: Duration,
    /// How long another node may take to answer.
    pub peer_deadline: Duration,
    /// Nodes that one request asks at the same time.
    pub peers_at_once: usize,
    /// Most bytes of another node's answer.
    pub peer_answer_bytes: usize,
    /// Frames that a stream takes from the window at once.
    pub batch_frames: usize,
    /// Bytes that a stream takes from the window or the log at once, to be written together.
    pub batch_bytes: usize,
    /// How long the tail may be behind the log before the node is `degraded` and refuses publishes.
    pub ready_lag: Duration,
}

impl Limits {
    /// Sockets that may be open at once.
    #[must_use]
    pub fn sockets(&self, max_connections: usize) -> usize {
        max_connections + self.spare_sockets
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tail_page: 500,
            spare_sockets: 1_024,
            head_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(60),
            peer_timeout: Duration::from_secs(60),
            unsent_bytes: 16 * 1024,
            // The broker takes up to 5 s to fail over, and gives up by itself after 8 s.
            publish_deadline: Duration::from_secs(9),
            log_read_deadline: Duration::from_secs(10),
            health_deadline: Duration::from_secs(3),
            roster_deadline: Duration::from_secs(2),
            peer_deadline: Duration::from_secs(2),
            peers_at_once: 16,
            peer_answer_bytes: 64 * 1024 * 1024,
            batch_frames: 64,
            batch_bytes: 256 * 1024,
            ready_lag: Duration::from_secs(5),
        }
    }
}
