//! HTTP/1 and text/event-stream as a proxy must know them, so that a toxic can meet one event, one request for a stream
//! or one publish. Pure: bytes and times go in, bytes and times come out. Without event toxics every byte passes as it
//! came and the parser only follows; a stream that one of them may meet gets chunks of its own, and the bytes of what is
//! not met stay as they were. What cannot be read (TLS, HTTP/2, compression) passes, and the toxic says why it did nothing.
//! Read [`Http`] first, then [`stage::EventStage`].

mod body;
mod connection;
mod findings;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod head;
mod lines;
mod requests;
mod responses;
mod stage;
mod stream;
#[cfg(test)]
mod tests;
mod unit;

pub use connection::Http;
pub use findings::{Finding, Findings};
