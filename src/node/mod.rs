//! The server. One task, the *tail*, follows the log, encodes every event once and puts it into the *window*. The *loops*
//! own the streams: each writes what is new to those of its streams that have everything before. A stream that has not
//! has a *feed*: a cursor that moves through the window, or through the log where the window does not reach.
//!
//! ```text
//! POST ──► http/publish ──► broker (the log) ──► tail ──► window ──► loops ──► sockets
//!                                 └── replay: pages after a cursor ──► feed ──┘
//! ```
//!
//! Read `loops` first; `node` builds all parts and ends them.

pub(crate) mod access;
mod admission;
pub mod cli;
mod close;
pub mod config;
mod connections;
#[cfg(feature = "counts")]
pub mod counted;
mod drain;
mod feed;
pub(crate) mod http;
pub mod limits;
mod listen;
mod loops;
mod mailbox;
mod metrics;
#[expect(clippy::module_inception, reason = "the type that the module is named after")]
mod node;
mod peer_signature;
mod peers;
mod rebalance;
mod revoker;
mod roster;
mod sockets;
mod stream_context;
mod tail;
mod takeover;
#[cfg(test)]
mod tests;
mod tls;
mod token_bucket;
mod window;

pub use loops::StreamEnd;
pub use node::{NodeError, run};
