//! One open connection: waits for bytes, returns the items in them, and how the stream ended. Never reconnects. Read
//! [`Stream::next`] first.

use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, Sleep};

use super::connect::Request;
use super::intake::Intake;
use crate::protocol::{Item, LimitExceeded};
use crate::runtime::error_chain;

/// An item of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A dispatched event.
    Event(Event),
    /// A comment line; heartbeats are comments. The text behind the colon.
    Comment(String),
    /// The server set the reconnection time.
    Retry(Duration),
    /// The server moved the last event ID without an event.
    IdCommitted(String),
}

impl Received {
    /// The same, borrowed.
    #[must_use]
    pub fn as_item(&self) -> Item<'_> {
        match self {
            Self::Event(Event { event, data, last_event_id, id_in_block }) => {
                Item::Event { event, data, last_event_id, id_in_block: *id_in_block }
            }
            Self::Comment(text) => Item::Comment(text),
            Self::Retry(time) => Item::Retry(*time),
            Self::IdCommitted(id) => Item::IdCommitted(id),
        }
    }
}

/// An event as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The type; `message` when none was given.
    pub event: String,
    /// The payload, its lines joined with LF.
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
        /// The error of the transport with its causes.
        reason: String,
    },
    /// No data came within the idle timeout.
    #[error("no data for {after:?}")]
    Idle {
        /// The idle timeout.
        after: Duration,
    },
    /// A line or an event was too large.
    #[error(transparent)]
    LimitExceeded(#[from] LimitExceeded),
    /// The decoder refused the bytes; the strict one never does.
    #[error("the decoder refused the stream: {reason}")]
    Malformed {
        /// The error of the decoder.
        reason: String,
    },
    /// The decoder has a bug; the strict one never panics.
    #[error("the decoder panicked: {reason}")]
    DecoderPanicked {
        /// The message of the panic.
        reason: String,
    },
}

/// An open connection. Dropping it closes the connection.
///
/// Small, as a process may hold ten thousand: no task, no queue, one timer that is left alone while bytes come, and no
/// byte of the body once it was handed out.
#[derive(Debug)]
pub struct Stream {
    body: reqwest::Body,
    /// What arrived last, as far as it was not handed out.
    chunk: Bytes,
    intake: Intake,
    idle_timeout: Option<Duration>,
    /// Since when the caller has waited without a byte. Only time spent waiting counts: a slow caller must not take its
    /// own pauses for silence of the server.
    waiting_since: Option<Instant>,
    /// Goes off no later than the silence is too long. Set anew only when it goes off: a busy stream must not pay for
    /// a timer with every event.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    pub(super) fn new(body: reqwest::Body, intake: Intake, request: &Request) -> Self {
        let idle_timeout = request.idle_timeout;
        Self { body, chunk: Bytes::new(), intake, idle_timeout, waiting_since: None, alarm: None }
    }

    /// The next item. Cancel safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Ending`] says how the stream ended, on this call and every one after it.
    pub async fn next(&mut self) -> Result<Received, Ending> {
        loop {
            if let Some(ending) = self.intake.ending() {
                return Err(ending.clone());
            }
            match self.intake.read(&mut self.chunk) {
                Ok(Some(received)) => return Ok(received),
                Ok(None) => match self.wait().await {
                    Ok(chunk) => self.chunk = chunk,
                    Err(ending) => self.end(ending),
                },
                Err(ending) => self.end(ending),
            }
        }
    }

    /// Waits until there are unread bytes, for [`Self::take`]; the two together are [`Self::next`] without a copy.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Ending`] says how the stream ended, on this call and every one after it.
    pub async fn ready(&mut self) -> Result<(), Ending> {
        if let Some(ending) = self.intake.ending() {
            return Err(ending.clone());
        }
        if self.chunk.is_empty() {
            match self.wait().await {
                Ok(chunk) => self.chunk = chunk,
                Err(ending) => {
                    self.end(ending.clone());
                    return Err(ending);
                }
            }
        }
        Ok(())
    }

    /// Passes every item in the received bytes to `sink`.
    ///
    /// # Errors
    /// [`Ending`], as the other calls.
    pub fn take(&mut self, sink: impl FnMut(Item<'_>)) -> Result<(), Ending> {
        let chunk = std::mem::take(&mut self.chunk);
        self.intake.read_all(chunk, sink).inspect_err(|ending| self.end(ending.clone()))
    }

    /// The next decoded bytes of the body.
    async fn wait(&mut self) -> Result<Bytes, Ending> {
        // An empty chunk may still hold on to the buffer it was cut from.
        self.chunk = Bytes::new();
        loop {
            if let Some(chunk) = self.intake.unpacked()? {
                return Ok(chunk);
            }
            let chunk = self.receive().await?;
            if !self.intake.is_packed() {
                return Ok(chunk);
            }
            self.intake.unpack(chunk);
        }
    }

    /// The next bytes of the body as they come over the wire.
    async fn receive(&mut self) -> Result<Bytes, Ending> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let data = poll_fn(|context| self.poll_data(since, context)).await?;
        self.waiting_since = None;
        match data {
            Some(Ok(chunk)) => {
                self.intake.count(&chunk);
                Ok(chunk)
            }
            Some(Err(error)) => Err(Ending::Aborted { reason: error_chain(&error) }),
            None => Err(self.intake.finish_reader()),
        }
    }

    fn poll_data(
        &mut self,
        since: Instant,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Result<Bytes, reqwest::Error>>, Ending>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body.frame()).poll(context) {
            // A frame without data is a trailer, which has no meaning here.
            let data = frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default()));
            return Poll::Ready(Ok(data));
        }
        let Some(after) = self.idle_timeout else { return Poll::Pending };
        let until = since + after;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        while alarm.as_mut().poll(context).is_ready() {
            // The timer may have been set for an earlier silence.
            if Instant::now() >= until {
                return Poll::Ready(Err(Ending::Idle { after }));
            }
            alarm.as_mut().reset(until);
        }
        Poll::Pending
    }

    fn end(&mut self, ending: Ending) {
        self.intake.end(ending);
        self.chunk = Bytes::new();
        // Closes the connection, unless the server has done so.
        self.body = reqwest::Body::default();
        self.alarm = None;
    }

    /// What has been read so far.
    #[must_use]
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    /// As [`Self::intake`], to take the head out.
    pub fn intake_mut(&mut self) -> &mut Intake {
        &mut self.intake
    }

    /// Value of `Last-Event-ID` for a reconnect. Empty: do not send the header.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        self.intake.last_event_id()
    }

    /// The reconnection time of the last `retry:` on this connection; `None` before the first one.
    #[must_use]
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.intake.reconnection_time()
    }

    /// Address of the other end: of a load balancer, or of the server itself.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.intake.peer()
    }
}
