//! A TCP proxy that breaks links on purpose, as toxiproxy does and as it does not: it can also stop a link without the
//! loss of a byte, lose everything without closing anything, reset what is silent; and one seed gives one schedule.
//! Without root, without the kernel's help.
//!
//! What is decided is pure: [`pipeline`] is one direction of one connection, a row of toxics, chunks and times in, chunks
//! and times out. [`link`] and [`listener`] only carry that out. Everything that waits is bounded, and a full lane holds
//! its sender back. [`api`] is toxiproxy's REST API over a [`ProxyCollection`] of proxies.
//! Read [`Toxic`], then [`pipeline::Pipeline`], then [`ProxyTask`].

pub mod api;
mod connection;
mod listener;
mod metrics;
pub mod pipeline;
mod registry;
#[cfg(test)]
mod tests;
mod toxic_stage;

pub use connection::Traffic;
pub use listener::{Changed, ProxyError, ProxyHandle, ProxySpec, ProxyTask};
pub use registry::{ProxyCollection, ProxyCollectionError, ProxyConfig};
pub use toxic_stage::{Chunk, Outcome};
