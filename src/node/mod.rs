//! The server. One task, the *tail*, follows the log and puts every event, encoded once, into the *window*. Every
//! open stream has a *feed*: a cursor that moves through the window, or through the log where the window does not
//! reach. The *writer* brings what the feed finds to the socket.
//!
//! ```text
//! POST ──► http/publish ──► broker (the log) ──► tail ──► window ◄── feed ◄── stream ──► writer ──► socket
//!                                 └──────────── replay: pages after a cursor ────┘
//! ```
//!
//! Read `feed` first; `node` builds everything and takes it apart.

mod admission;
mod claims;
pub mod cli;
mod close;
pub mod config;
mod connections;
mod drain;
mod feed;
mod http;
pub mod limits;
mod mailbox;
mod metrics;
#[expect(clippy::module_inception, reason = "the node itself, in the room of the node")]
mod node;
mod peers;
mod quiet;
mod rebalance;
mod roster;
#[cfg(test)]
mod simulation;
mod stream;
mod tail;
mod window;
mod writer;

pub use node::{NodeError, run};
pub use writer::StreamEnd;
