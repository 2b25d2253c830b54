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

use super::coding::{Coding, Unpacker};
use super::connect::Request;
use super::head::Head;
use super::reader::{CrateFault, Reader};
use crate::protocol::{Item, LimitExceeded, Pending};
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
    reader: Reader,
    /// `None`: the body is not encoded.
    unpacker: Option<Box<Unpacker>>,
    idle_timeout: Option<Duration>,
    /// Since when the caller has waited without a byte. Only time spent waiting counts: a slow caller must not take its
    /// own pauses for silence of the server.
    waiting_since: Option<Instant>,
    /// Goes off no later than the silence is too long. Set anew only when it goes off: a busy stream must not pay for
    /// a timer with every event.
    alarm: Option<Pin<Box<Sleep>>>,
    bytes_received: u64,
    peer: Option<SocketAddr>,
    cookies: Box<[String]>,
    /// `None` once it was taken.
    head: Option<Box<Head>>,
    /// What was unfinished when the body ended.
    unfinished: Pending,
    ending: Option<Ending>,
}

impl Stream {
    pub(super) fn new(
        (body, coding): (reqwest::Body, Option<Coding>),
        peer: Option<SocketAddr>,
        (cookies, head): (Box<[String]>, Box<Head>),
        request: &Request,
    ) -> Self {
        Self {
            body,
            cookies,
            head: Some(head),
            unfinished: Pending::Nothing,
            chunk: Bytes::new(),
            unpacker: coding.map(|coding| Box::new(Unpacker::new(coding))),
            reader: Reader::new(request.decoder, request.limits, &request.last_event_id),
            idle_timeout: request.idle_timeout,
            waiting_since: None,
            alarm: None,
            bytes_received: 0,
            peer,
            ending: None,
        }
    }

    /// The next item. Cancel safe: dropping the future loses nothing.
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

    /// Waits until there are unread bytes, for [`Self::take`]; the two together are [`Self::next`] without a copy.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Ending`] says how the stream ended, on this call and every one after it.
    pub async fn ready(&mut self) -> Result<(), Ending> {
        if let Some(ending) = &self.ending {
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
        self.reader.read_all(chunk, sink).inspect_err(|ending| self.end(ending.clone()))
    }

    /// The next decoded bytes of the body.
    async fn wait(&mut self) -> Result<Bytes, Ending> {
        // An empty chunk may still hold on to the buffer it was cut from.
        self.chunk = Bytes::new();
        loop {
            if let Some(unpacker) = &mut self.unpacker {
                // As a browser takes it: the connection is broken.
                let unpacked = unpacker.next().map_err(|reason| Ending::Aborted { reason })?;
                if let Some(chunk) = unpacked {
                    return Ok(chunk);
                }
            }
            let chunk = self.receive().await?;
            match &mut self.unpacker {
                Some(unpacker) => unpacker.feed(chunk),
                None => return Ok(chunk),
            }
        }
    }

    /// The next bytes of the body as they come over the wire.
    async fn receive(&mut self) -> Result<Bytes, Ending> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let data = poll_fn(|context| self.poll_data(since, context)).await?;
        self.waiting_since = None;
        match data {
            Some(Ok(chunk)) => {
                self.bytes_received += chunk.len() as u64;
                Ok(chunk)
            }
            Some(Err(error)) => Err(Ending::Aborted { reason: error_chain(&error) }),
            None => {
                self.unfinished = self.reader.pending();
                Err(self.reader.finish())
            }
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
        self.ending = Some(ending);
        self.chunk = Bytes::new();
        // Closes the connection, unless the server has done so.
        self.body = reqwest::Body::default();
        self.alarm = None;
    }

    /// What the decoder [`super::DecoderKind::EventsourceStream`] got wrong so far.
    #[must_use]
    pub fn crate_faults(&self) -> &[CrateFault] {
        self.reader.crate_faults()
    }

    /// Value of `Last-Event-ID` for a reconnect. Empty: do not send the header.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        self.reader.last_event_id()
    }

    /// The reconnection time of the last `retry:` on this connection; `None` before the first one.
    #[must_use]
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.reader.reconnection_time()
    }

    /// The content coding of the body; `None`: it is not encoded.
    #[must_use]
    pub fn coding(&self) -> Option<Coding> {
        self.unpacker.as_ref().map(|unpacker| unpacker.coding())
    }

    /// Bytes of the body so far, as they came over the wire.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.bytes_received
    }

    /// Cookies that came with the head of the response, as `name=value`.
    #[must_use]
    pub fn cookies(&self) -> &[String] {
        &self.cookies
    }

    /// What the head of the response said; `None` once it was taken. Ten thousand streams need not keep it.
    pub fn take_head(&mut self) -> Option<Head> {
        self.head.take().map(|head| *head)
    }

    /// What has arrived of an event that is not complete: now, or when the body ended.
    #[must_use]
    pub fn pending(&self) -> Pending {
        if self.ending.is_some() { self.unfinished } else { self.reader.pending() }
    }

    /// Address of the other end: of a load balancer, or of the server itself.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }
}
