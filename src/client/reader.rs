//! Turns chunks of a body into items for the caller, with the chosen decoder. No I/O. Read [`Reader`] first.

use std::convert::Infallible;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use eventsource_stream::EventStream;
use serde::{Deserialize, Serialize};

use super::stream::{Ending, Event, Received};
use crate::protocol::{Decoder, Item, LimitExceeded, Limits, Pending};
use crate::runtime::panic_message;

/// The decoder for the body of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DecoderKind {
    /// Our own, to the letter of the standard.
    #[default]
    Strict,
    /// The crate `eventsource-stream` 0.2, used as Rust programs use it, bugs included: it panics on a byte order
    /// mark (guarded: [`Ending::DecoderPanicked`]; the panic hook still runs), falls silent on malformed UTF-8, sees
    /// no comments, forgets the id it resumed from, loses a `retry` without data.
    EventsourceStream,
}

/// One of the decoders, in the middle of a body.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all readers are strict; a box would cost them an allocation"
)]
pub(super) enum Reader {
    Strict(Decoder),
    EventsourceStream(Box<Guarded>),
}

impl Reader {
    pub(super) fn new(kind: DecoderKind, limits: Limits, last_event_id: &str) -> Self {
        match kind {
            DecoderKind::Strict => Self::Strict(Decoder::resume(limits, last_event_id)),
            DecoderKind::EventsourceStream => {
                Self::EventsourceStream(Box::new(Guarded::new(limits, last_event_id)))
            }
        }
    }

    /// The next thing in the chunk, which is consumed up to it. `None`: all of it was consumed.
    pub(super) fn read(&mut self, chunk: &mut Bytes) -> Result<Option<Received>, Ending> {
        match self {
            Self::Strict(decoder) => {
                let mut rest: &[u8] = chunk;
                let received = decoder.decode(&mut rest)?.map(Received::from);
                let consumed = chunk.len() - rest.len();
                chunk.advance(consumed);
                Ok(received)
            }
            Self::EventsourceStream(guarded) => guarded.read(std::mem::take(chunk)),
        }
    }

    /// Everything in the chunk, borrowed from it where that can be.
    pub(super) fn read_all(
        &mut self,
        mut chunk: Bytes,
        mut sink: impl FnMut(Item<'_>),
    ) -> Result<(), Ending> {
        match self {
            Self::Strict(decoder) => Ok(decoder.feed(&chunk, sink)?),
            Self::EventsourceStream(guarded) => {
                while let Some(received) = guarded.read(std::mem::take(&mut chunk))? {
                    sink(received.as_item());
                }
                Ok(())
            }
        }
    }

    /// How the stream ended, now that the body has ended cleanly.
    pub(super) fn finish(&mut self) -> Ending {
        match self {
            Self::Strict(decoder) => {
                decoder.finish();
                Ending::Clean
            }
            Self::EventsourceStream(guarded) => guarded.finish(),
        }
    }

    /// What is unfinished. The crate does not say.
    pub(super) fn pending(&self) -> Pending {
        match self {
            Self::Strict(decoder) => decoder.pending(),
            Self::EventsourceStream(_) => Pending::Nothing,
        }
    }

    pub(super) fn last_event_id(&self) -> &str {
        match self {
            Self::Strict(decoder) => decoder.last_event_id(),
            Self::EventsourceStream(guarded) => guarded.events.last_event_id(),
        }
    }

    pub(super) fn reconnection_time(&self) -> Option<Duration> {
        match self {
            Self::Strict(decoder) => decoder.reconnection_time(),
            Self::EventsourceStream(guarded) => guarded.reconnection_time,
        }
    }
}

impl From<Item<'_>> for Received {
    fn from(item: Item<'_>) -> Self {
        match item {
            Item::Event { event, data, last_event_id, id_in_block } => Self::Event(Event {
                event: event.to_owned(),
                data: data.to_owned(),
                last_event_id: last_event_id.to_owned(),
                id_in_block,
            }),
            Item::Comment(text) => Self::Comment(text.to_owned()),
            Item::Retry(time) => Self::Retry(time),
            Item::IdCommitted(id) => Self::IdCommitted(id.to_owned()),
        }
    }
}

/// `eventsource-stream`, fed by hand and kept from harming its host.
pub(super) struct Guarded {
    events: EventStream<Inbox>,
    inbox: Inbox,
    /// An event that waits until its own `retry` was handed out.
    held: Option<Event>,
    reconnection_time: Option<Duration>,
    limits: Limits,
    /// The crate has no limits, and keeps everything behind one malformed byte.
    bytes_since_event: usize,
}

/// Where the crate takes its chunks from: at most one lies there. Shared, because the crate gives no access to the
/// stream that it was given; never contended, because both ends are one task.
#[derive(Debug, Clone, Default)]
struct Inbox(Arc<Mutex<Slot>>);

#[derive(Debug, Default)]
struct Slot {
    chunk: Option<Bytes>,
    is_over: bool,
}

impl Inbox {
    fn with<T>(&self, change: impl FnOnce(&mut Slot) -> T) -> T {
        // The slot is consistent at any moment, also after a panic.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl futures_util::Stream for Inbox {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // No waker: the code that fills the slot polls.
        self.with(|slot| match slot.chunk.take() {
            Some(chunk) => Poll::Ready(Some(Ok(chunk))),
            None if slot.is_over => Poll::Ready(None),
            None => Poll::Pending,
        })
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("inbox", &self.inbox)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl Guarded {
    fn new(limits: Limits, last_event_id: &str) -> Self {
        let inbox = Inbox::default();
        let mut events = EventStream::new(inbox.clone());
        events.set_last_event_id(last_event_id);
        Self { events, inbox, held: None, reconnection_time: None, limits, bytes_since_event: 0 }
    }

    fn read(&mut self, chunk: Bytes) -> Result<Option<Received>, Ending> {
        if let Some(event) = self.held.take() {
            debug_assert!(chunk.is_empty(), "a chunk is fed when the one before it is used up");
            return Ok(Some(Received::Event(event)));
        }
        if !chunk.is_empty() {
            self.bytes_since_event += chunk.len();
            self.inbox.with(|slot| slot.chunk = Some(chunk));
        }
        let before = self.events.last_event_id().to_owned();
        let Some(event) = self.poll()? else {
            return if self.bytes_since_event > self.limits.max_event {
                Err(Ending::LimitExceeded(LimitExceeded::Event { max: self.limits.max_event }))
            } else {
                Ok(None)
            };
        };
        self.bytes_since_event = 0;
        let retry = event.retry;
        let event = Event {
            // The crate does not say; a changed id must have stood in the block.
            id_in_block: event.id != before,
            event: event.event,
            data: event.data,
            last_event_id: event.id,
        };
        Ok(Some(match retry {
            Some(time) => {
                self.held = Some(event);
                self.reconnection_time = Some(time);
                Received::Retry(time)
            }
            None => Received::Event(event),
        }))
    }

    fn finish(&mut self) -> Ending {
        self.inbox.with(|slot| slot.is_over = true);
        match self.poll() {
            // Whole events were taken before the body was read to its end.
            Ok(_) => Ending::Clean,
            Err(ending) => ending,
        }
    }

    fn poll(&mut self) -> Result<Option<eventsource_stream::Event>, Ending> {
        let events = &mut self.events;
        let poll = || {
            use futures_util::Stream as _;
            Pin::new(events).poll_next(&mut Context::from_waker(Waker::noop()))
        };
        // After a panic the stream ends and its parser is never polled again, so a broken state is not seen.
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Ready(Some(Ok(event)))) => Ok(Some(event)),
            Ok(Poll::Ready(Some(Err(error)))) => Err(Ending::Malformed { reason: error.to_string() }),
            Ok(Poll::Ready(None) | Poll::Pending) => Ok(None),
            Err(panic) => {
                let reason = panic_message(panic.as_ref()).unwrap_or("no message").to_owned();
                Err(Ending::DecoderPanicked { reason })
            }
        }
    }
}
