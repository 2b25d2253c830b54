//! The Redis that the nodes of a run share: servers that the run starts, asks, breaks and stops. They never outlive
//! the bench, even if it is killed. Read [`RedisDeployment`] first, then [`Servers`].

mod bootstrap;
pub mod command;
pub mod commandstats;
mod config;
mod deployment;
mod servers;

pub use bootstrap::ClusterNotFormed;
pub use servers::{RedisUnavailable, Server, Servers};

pub use deployment::{RedisDeployment, RedisStartError};
