//! A real balancer in front of the nodes: nginx or HAProxy, configured as people should configure theirs, started by
//! the run and ended with it. Read [`LoadBalancer`] first, then [`nginx`] for what the configuration must have.

mod haproxy;
mod nginx;
mod process;

pub use process::{LoadBalancer, LoadBalancerError, LoadBalancerSpec, open_files};
