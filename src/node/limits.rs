//! Every queue, wait, body and loop of a node that is not configured has its limit here.

use std::time::Duration;

/// Limits that nobody needs to tune.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Entries that the tail takes from the log at once.
    pub tail_page: usize,
    /// Sockets beyond those of streams: publishers, probes, consoles.
    pub spare_sockets: usize,
    pub head_bytes: usize,
    pub head_timeout: Duration,
    /// What was sent to a peer may stay unacknowledged for this long (TCP_USER_TIMEOUT).
    pub peer_timeout: Duration,
    pub publish_deadline: Duration,
    pub log_read_deadline: Duration,
    pub health_deadline: Duration,
    pub topics_per_stream: usize,
    pub batch_frames: usize,
    pub batch_bytes: usize,
    pub ready_lag_ms: u64,
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
            peer_timeout: Duration::from_secs(60),
            publish_deadline: Duration::from_secs(5),
            log_read_deadline: Duration::from_secs(10),
            health_deadline: Duration::from_secs(2),
            topics_per_stream: 256,
            batch_frames: 64,
            batch_bytes: 256 * 1024,
            ready_lag_ms: 5_000,
        }
    }
}
