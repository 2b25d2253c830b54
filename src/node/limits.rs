//! Every queue, wait, body and loop of a node has a limit. What somebody may want to tune is a setting, in
//! [`super::config`]; the rest stands here. Nowhere else.

use std::time::Duration;

/// The longest spread of a drain. A day is more than anybody waits for; far more is no time that a clock can add.
pub(crate) const SPREAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a stream waits that has read to the end of a history which the tail has yet to reach.
pub(crate) const TAIL_PAUSE: Duration = Duration::from_millis(20);

/// Between the last frame and an abort. A page that reads with `fetch` loses what it has not read when the abort
/// arrives (measured in Chromium: without a pause one `CLOSE` of three, and with it the time to come back).
pub(crate) const ABORT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of what one node tells another.
pub(crate) const CLUSTER_BODY_BYTES: usize = 1024 * 1024;

/// Claims to clients that one node tells another at once: with the longest names they fit into a body.
pub(crate) const CLAIMS_AT_ONCE: usize = 1_000;

/// Rows of a list of connections that every node is asked for: page and rows a page, multiplied.
pub(crate) const CLUSTER_ROWS_MAX: u64 = 100_000;

/// Limits that nobody needs to tune.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries that the tail takes from the log at once. It encodes them before it takes more, so this bounds how
    /// long live events wait behind a burst.
    pub tail_page: usize,
    /// Sockets beyond those of streams: publishers, probes, consoles.
    pub spare_sockets: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// How long a client may take to send a request's head, also the first one after connecting.
    pub head_timeout: Duration,
    /// How long a client may take to send a request's body.
    pub body_timeout: Duration,
    /// How long what was sent to a peer may stay unacknowledged (`TCP_USER_TIMEOUT`).
    pub peer_timeout: Duration,
    /// How long a publish may wait for the log. After that its outcome is unknown, and the publisher is told so.
    pub publish_deadline: Duration,
    /// How long a stream may wait for a page of the log.
    pub log_read_deadline: Duration,
    /// How long a probe may wait for the log.
    pub health_deadline: Duration,
    /// How long the broker may take to hear that this node is alive, or to tell who else is.
    pub roster_deadline: Duration,
    /// How long another node may take to answer.
    pub peer_deadline: Duration,
    /// Nodes that are asked at the same time.
    pub peers_at_once: usize,
    /// Bytes of another node's answer.
    pub peer_answer_bytes: usize,
    /// Topics of one stream.
    pub topics_per_stream: usize,
    /// Frames that a stream takes from the window at once.
    pub batch_frames: usize,
    /// Bytes that a stream takes from the window or the log at once: what one write brings to the socket.
    pub batch_bytes: usize,
    /// How long the tail may be behind the log before the node calls itself degraded and refuses publishes.
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
            head_bytes: 16 * 1024,
            head_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(30),
            peer_timeout: Duration::from_secs(60),
            // A broker that fails over needs up to 5 s, and gives up by itself after 8.
            publish_deadline: Duration::from_secs(9),
            log_read_deadline: Duration::from_secs(10),
            health_deadline: Duration::from_secs(3),
            roster_deadline: Duration::from_secs(2),
            peer_deadline: Duration::from_secs(2),
            peers_at_once: 16,
            peer_answer_bytes: 64 * 1024 * 1024,
            topics_per_stream: 256,
            batch_frames: 64,
            batch_bytes: 256 * 1024,
            ready_lag: Duration::from_secs(5),
        }
    }
}
