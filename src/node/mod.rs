//! The server. One task, the *tail*, follows the log, encodes every event once and puts it into the *window*. Every
//! open stream has a *feed*: a cursor that moves through the window, or through the log where the window does not
//! reach. The *writer* writes the frames that the feed finds to the socket.
//!
//! ```text
//! POST ──► http/publish ──► broker (the log) ──► tail ──► window ◄── feed ◄── stream ──► writer ──► socket
//!                                 └──────────── replay: pages after a cursor ────┘
//! ```
//!
//! Read `feed` first; `node` builds all parts and ends them.

mod admission;
pub mod cli;
mod close;
pub mod config;
mod connections;
mod drain;
mod feed;
mod http;
mod keepalive;
pub mod limits;
mod mailbox;
mod metrics;
#[expect(clippy::module_inception, reason = "the type that the module is named after")]
mod node;
mod peers;
mod rebalance;
mod roster;
mod stream;
mod stream_context;
mod tail;
mod takeover;
#[cfg(test)]
mod tests;
mod window;
mod writer;

pub use node::{NodeError, run};
pub use writer::StreamEnd;
