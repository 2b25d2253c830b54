//! The values of a load balancer's configuration, of any kind. Read [`Layout`] first.

use std::net::SocketAddr;
use std::path::Path;

use crate::bench::scenario::LbPolicy;

/// Its open files besides two for each connection: one to the client, one to the node.
pub(super) const FILES_BESIDES: u64 = 256;

/// The values of a configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout<'a> {
    pub(super) listen: SocketAddr,
    /// Address of each node, as `host:port`.
    pub(super) nodes: &'a [&'a str],
    pub(super) policy: LbPolicy,
    pub(super) connections: u64,
    pub(super) dir: &'a Path,
}

#[cfg(test)]
impl Layout<'static> {
    /// Two nodes, as the configurations' tests see them.
    pub(super) fn example(policy: LbPolicy) -> Self {
        Self {
            listen: ([127, 0, 0, 1], 7_000).into(),
            nodes: &["127.0.0.1:7001", "127.0.0.1:7002"],
            policy,
            connections: 1_024,
            dir: Path::new("/r"),
        }
    }
}

/// Open files of a load balancer with this many connections.
#[must_use]
pub fn open_files(connections: u64) -> u64 {
    connections.saturating_mul(2).saturating_add(FILES_BESIDES)
}
