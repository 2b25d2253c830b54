//! One open connection: waits for bytes, hands out what they mean, says how it ended. Never reconnects.
//! Read [`Stream::next`] first.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::connect::Request;
use super::reader::Reader;
use crate::protocol::LimitExceeded;

/// What came over a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// An event.
    Event(Event),
    /// A comment line; heartbeats are comments. The text behind the colon.
    Comment(String),
    /// The server set the reconnection time.
    Retry(Duration),
    /// The server moved the last event ID without an event.
    IdCommitted(String),
}

/// An event as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The type; `message` when none was given.
    pub event: String,
    /// The payload.
    pub data: String,
    /// The last event ID as of this event, its own or an earlier one's. Empty: none.
    pub last_event_id: String,
    /// Whether the event itself carried the id.
    pub id_in_block: bool,
}

/// How a stream ended that had been open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// The server ended the body properly.
    #[error("the server ended the stream")]
    Clean,
    /// The connection broke, or was closed in the middle of the body.
    #[error("the connection broke: {reason}")]
    Aborted {
        /// What the transport said.
        reason: String,
    },
    /// Nothing came for too long.
    #[error("nothing came for {after:?}")]
    Idle {
        /// The longest silence that is allowed.
        after: Duration,
    },
    /// A line or an event was too large.
    #[error(transparent)]
    LimitExceeded(#[from] LimitExceeded),
    /// The decoder refused the bytes; the strict one never does.
    #[error("the decoder refused the stream: {reason}")]
    Malformed {
        /// What the decoder said.
        reason: String,
    },
    /// The decoder has a bug; the strict one never panics.
    #[error("the decoder panicked: {reason}")]
    DecoderPanicked {
        /// What the panic said.
        reason: String,
    },
}

/// An open connection. Dropping it closes the connection.
///
/// Small, as a process may hold ten thousand: no task, no timer while it is idle, no queue, and no byte of the body
/// once it was handed out.
#[derive(Debug)]
pub struct Stream {
    body: reqwest::Body,
    /// What arrived last, as far as it was not handed out.
    chunk: Bytes,
    reader: Reader,
    idle_timeout: Option<Duration>,
    /// Since when the caller has waited without a byte. Time in which nobody waits does not count: a caller that is
    /// slow must not take its own pauses for silence of the server.
    waiting_since: Option<Instant>,
    bytes_received: u64,
    peer: Option<SocketAddr>,
    ending: Option<Ending>,
}

impl Stream {
    pub(super) fn new(response: reqwest::Response, request: &Request) -> Self {
        let peer = response.remote_addr();
        Self {
            // The head is dropped: its values would pin the buffer that they were read into.
            body: response.into(),
            chunk: Bytes::new(),
            reader: Reader::new(request.decoder, request.limits, &request.last_event_id),
            idle_timeout: request.idle_timeout,
            waiting_since: None,
            bytes_received: 0,
            peer,
            ending: None,
        }
    }

    /// The next thing that was received. Cancel safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Ending`] says how the stream ended, on this call and every one after it.
    pub async fn next(&mut self) -> Result<Received, Ending> {
        loop {
            if let Some(ending) = &self.ending {
                return Err(ending.clone());
            }
            match self.reader.read(&mut self.chunk) {
                Ok(Some(received)) => return Ok(received),
                Ok(None) => match self.wait().await {
                    Ok(chunk) => self.chunk = chunk,
                    Err(ending) => self.end(ending),
                },
                Err(ending) => self.end(ending),
            }
        }
    }

    /// The next bytes of the body.
    async fn wait(&mut self) -> Result<Bytes, Ending> {
        // An empty chunk may still hold on to the buffer it was cut from.
        self.chunk = Bytes::new();
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let frame = match self.idle_timeout {
            Some(after) => tokio::time::timeout_at(since + after, self.body.frame())
                .await
                .map_err(|_elapsed| Ending::Idle { after })?,
            None => self.body.frame().await,
        };
        self.waiting_since = None;
        match frame {
            // Anything but data is a trailer, which says nothing here.
            Some(Ok(frame)) => {
                let chunk = frame.into_data().unwrap_or_default();
                self.bytes_received += chunk.len() as u64;
                Ok(chunk)
            }
            Some(Err(error)) => Err(Ending::Aborted { reason: whole_chain(&error) }),
            None => Err(self.reader.finish()),
        }
    }

    fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
        self.chunk = Bytes::new();
        // Closes the connection, which matters when it was not the server who ended.
        self.body = reqwest::Body::default();
    }

    /// What a reconnect should send as `Last-Event-ID`, as the decoder has it. Empty: nothing.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        self.reader.last_event_id()
    }

    /// The reconnection time that this connection was told, if any.
    #[must_use]
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.reader.reconnection_time()
    }

    /// Bytes of the body so far.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.bytes_received
    }

    /// Who is at the other end: a load balancer, or the server itself.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }
}

/// An error and its causes in one line: the outermost of the HTTP stack says little more than that there was one.
pub(crate) fn whole_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
