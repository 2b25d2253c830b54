//! sse-lab: Server-Sent Events across several instances, and the proof of what they deliver.
//!
//! **One log, many cursors.** A broker keeps one ordered log; a node follows it once and encodes each event once;
//! a connection is a cursor into it, and so is a client's `Last-Event-ID`. Live delivery, reconnect, a slow reader
//! and an outage are one operation: *read the log after my cursor*. What cannot be replayed is announced as a `GAP`.
//!
//! | room | what lives there |
//! |---|---|
//! | [`protocol`] | words on the wire: addresses, events, cursors, encoder, decoder, JSON bodies. Pure |
//! | [`runtime`] | what every binary needs: shutdown, tasks, backoff, limits of the process, exit codes |
//! | `net` | what a loop of epoll needs |
//! | [`broker`] | the log, embedded (`memory:`, `file:DIR`) or in Redis; publishing without a node |
//! | [`client`] | an SSE client that reconnects as browsers, fetch clients or tolerant clients do |
//! | [`node`] | the server: tail, window, loops, HTTP |
//! | [`bench`] | the swarm: scenarios, faults, ledger, verdict |
//! | [`tui`] | the console |
//!
//! Who may import whom, and the invariants with the test that holds each, stand in ARCHITECTURE.md.

pub mod bench;
pub mod broker;
pub mod client;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod net;
pub mod node;
pub mod protocol;
pub mod runtime;
#[cfg(feature = "console")]
pub mod tui;
