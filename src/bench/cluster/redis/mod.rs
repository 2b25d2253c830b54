//! The Redis that the nodes of a run share: servers that the run starts, looks at, breaks and ends. They never outlive
//! the bench, even one that is killed. Read [`RedisDeployment`] first, then [`Servers`].

mod bootstrap;
pub mod commandstats;
mod config;
mod deployment;
pub mod resp;
mod servers;

pub use bootstrap::ClusterNotFormed;
pub use servers::{RedisUnavailable, Server, Servers};

pub use deployment::{RedisDeployment, RedisStartError};
