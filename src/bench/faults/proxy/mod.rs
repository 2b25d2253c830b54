//! A TCP proxy with toxiproxy's faults and more: it can stop a link without losing a byte, lose everything without closing
//! anything, and reset idle connections; and one seed gives one schedule. It needs neither root nor kernel
//! support. It reads HTTP/1 and text/event-stream, so that a toxic can meet one event.
//!
//! The decisions are pure: [`pipeline`] is one direction of a connection as a row of toxics; chunks and times go in, chunks
//! and times come out. [`http`] stands before both and knows events. [`connection`] and [`listener`] carry them out. All memory is bounded, and a full pipeline holds
//! its sender back. [`api`] is toxiproxy's REST API over a [`ProxyCollection`].
//! Read [`Toxic`], then [`pipeline::Pipeline`], then [`ProxyTask`].

pub mod api;
mod connection;
pub mod http;
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
