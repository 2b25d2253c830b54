//! The servers of a run: nodes, Redis and load balancer as child processes that the bench starts, breaks and stops, or
//! running nodes that it can only send requests to. Children never outlive the bench: their handles kill them on drop and
//! on a panic, and the flag `--die-with-parent` does when the bench itself is killed. Read [`cluster::Cluster`] first.

#[expect(clippy::module_inception, reason = "the type that the module is named after")]
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
pub use node::{CommandResult, NodeCommand, NodeError, NodeHandle};
pub use ports::TAKEN as PORT_TAKEN;
pub use process::Ended;
pub use process::Launch;
pub use ready::{NotReady, Probe, Readiness, Sign};
pub use usage::Usage;

pub use cluster::{Cluster, ClusterError, ClusterSpec, Member, NODE_BIN_ENV, node_binary};
