//! An SSE client: connects, reads, reconnects as browsers, fetch-based clients or tolerant clients do.
//!
//! Three layers, each usable alone: [`connect`] opens one connection and gives a [`Stream`]; [`Reconnect`] decides what
//! a kind of client does when a stream ends, without a clock or a socket; [`EventSource`] joins both and is the one to
//! use unless you need more control. Read [`EventSource`] first, or [`Stream`] to drive ten thousand of them.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use sse_lab::client::{EventSource, HttpOptions, Policy, Reconnect, ReconnectOptions, Request, Signal};
//!
//! let http = HttpOptions::default().build()?;
//! let request = Request::new("http://127.0.0.1:8080/api/sse/stream?topics=orders".parse()?);
//! let reconnect = Reconnect::new(Policy::Tolerant, ReconnectOptions::default());
//! let mut source = EventSource::new(http, request, reconnect);
//! while let Some(signal) = source.next().await {
//!     match signal {
//!         Signal::Event(event) => println!("{} {}", event.event, event.data),
//!         Signal::Reconnecting { after, because } => eprintln!("{because}; again in {after:?}"),
//!         Signal::GaveUp { why, because } => eprintln!("{because}; {why}"),
//!         Signal::Open { .. } | Signal::Heartbeat => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod certificates;
mod coding;
mod connect;
mod framing;
mod head;
mod http;
mod intake;
mod plain_http;
mod reader;
mod reconnect;
mod small_buffer_http;
mod source;
mod stream;

pub use certificates::{CertificateError, read_identity};
pub use coding::{BROWSERS_ACCEPT, Coding};
pub use connect::{Cause, ConnectError, Request, connect, is_tls_failure};
pub use head::Head;
pub use http::{HttpOptions, HttpOptionsError, Trust};
pub use intake::Intake;
pub use plain_http::{Connection, Opened, PlainHttp};
pub use reader::{CrateFault, DecoderKind};
pub use reconnect::{Decision, End, GiveUp, Policy, Reconnect, ReconnectOptions};
pub use small_buffer_http::{SmallBufferHttp, SmallBufferOptions};
pub use source::{EventSource, Interruption, Signal};
pub use stream::{Ending, Event, Received, Stream};

#[cfg(test)]
mod tests;
