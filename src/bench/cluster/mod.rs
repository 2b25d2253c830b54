//! The nodes of a run: child processes that this bench starts, breaks and ends, or nodes that are there already and
//! can only be talked to. Children never outlive the bench: their handles kill them on drop and on a panic, and the
//! flag `--die-with-parent` does when the bench itself is killed. Read [`Cluster`] first.

#[expect(clippy::module_inception, reason = "the cluster itself, in the room of the cluster")]
mod cluster;
pub mod load_balancer;
pub mod netns;
pub mod node;
pub mod ports;
pub mod process;
pub mod program;
pub mod ready;
pub mod redis;
pub mod usage;

pub use netns::{Namespaces, NetnsError};
pub use node::NodeTask;
pub use node::{Done, NodeError, NodeHandle, Order};
pub use process::Ended;
pub use process::Launch;
pub use ready::{NotReady, Probe, Readiness, Sign};
pub use usage::Usage;

pub use cluster::{Cluster, ClusterError, ClusterSpec, Member, NODE_BIN_ENV, node_binary};
