//! A real load balancer in front of the nodes: nginx or HAProxy, configured as in production. The run starts and stops
//! it. Read [`process::LoadBalancer`] first, then [`nginx`] for what the configuration must have.

mod haproxy;
mod layout;
mod nginx;
mod process;

pub use layout::open_files;
pub use process::{LoadBalancer, LoadBalancerError, LoadBalancerSpec};
