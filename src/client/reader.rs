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
    /// mark ([`Ending::DecoderPanicked`]), falls silent on malformed UTF-8, sees no comments, loses an id or a `retry`
    /// without data. [`CrateFault`] names what it got wrong.
    EventsourceStream,
}

/// What `eventsource-stream` makes of a stream that the standard allows, and what programs that use it therefore do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrateFault {
    /// It panics: the stream begins with a byte order mark.
    ByteOrderMark,
    /// It sees nothing more: the stream is not UTF-8.
    NotUtf8,
    /// It sees an event only with the bytes after it: a line ends with CR alone.
    CarriageReturn,
    /// It forgets the last event id: one in a block without data, or one that it resumed from.
    ForgottenId,
    /// It takes another reconnection time than the server gave.
    OtherRetry,
}

impl CrateFault {
    /// What happens, as a sentence about the clients and the bytes that lead to it.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::ByteOrderMark => {
                "crash at the first bytes: the stream begins with a byte order mark (EF BB BF), which the server can leave out"
            }
            Self::NotUtf8 => "see no event any more: the stream has bytes that are not UTF-8",
            Self::CarriageReturn => {
                "see an event only with the bytes after it: its blank line ends with CR, and LF would do"
            }
            Self::ForgottenId => {
                "forget the last event id, and resume elsewhere: each event needs an id, and each id an event"
            }
            Self::OtherRetry => "wait another time than retry says: it needs to stand in a block with data",
        }
    }
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

    /// As [`Self::read_all`], of bytes that somebody else keeps.
    pub(super) fn read_all_of(&mut self, bytes: &[u8], sink: impl FnMut(Item<'_>)) -> Result<(), Ending> {
        match self {
            Self::Strict(decoder) => Ok(decoder.feed(bytes, sink)?),
            Self::EventsourceStream(_) => self.read_all(Bytes::copy_from_slice(bytes), sink),
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

    /// What `eventsource-stream` got wrong so far, in order; nothing with the strict decoder.
    pub(super) fn crate_faults(&self) -> &[CrateFault] {
        match self {
            Self::Strict(_) => &[],
            Self::EventsourceStream(guarded) => &guarded.faults,
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
    /// Bytes of a byte order mark at the start of the body; `None`: it has begun with others. The crate must not see a
    /// mark: a panic is caught here, but the panic hook would print a backtrace for every client.
    mark: Option<usize>,
    /// Reads the same bytes, to know what the crate gets wrong.
    standard: Decoder,
    /// Events that the crate has not seen yet, and the standard has.
    behind: i64,
    /// The reconnection time by the standard as of the last event.
    told_retry: Option<Duration>,
    /// A `retry` since the last event.
    next_retry: Option<Duration>,
    /// The end of the last chunk, where it may be the first part of a character.
    cut: Vec<u8>,
    faults: Vec<CrateFault>,
}

const BYTE_ORDER_MARK: &[u8; 3] = b"\xef\xbb\xbf";

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
        Self {
            events,
            inbox,
            held: None,
            reconnection_time: None,
            limits,
            bytes_since_event: 0,
            mark: Some(0),
            standard: Decoder::resume(limits, last_event_id),
            behind: 0,
            told_retry: None,
            next_retry: None,
            cut: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn note(&mut self, fault: CrateFault) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// The chunk behind what may be a byte order mark; `None`: more bytes decide.
    fn behind_mark(&mut self, chunk: Bytes) -> Result<Option<Bytes>, Ending> {
        let Some(seen) = self.mark else { return Ok(Some(chunk)) };
        let more = BYTE_ORDER_MARK[seen..].iter().zip(&chunk).take_while(|(mark, byte)| mark == byte).count();
        if seen + more == BYTE_ORDER_MARK.len() {
            self.note(CrateFault::ByteOrderMark);
            let reason = "the stream begins with a byte order mark".to_owned();
            return Err(Ending::DecoderPanicked { reason });
        }
        if more == chunk.len() {
            self.mark = Some(seen + more);
            return Ok(None);
        }
        self.mark = None;
        let whole = if seen == 0 { chunk } else { [&BYTE_ORDER_MARK[..seen], &chunk].concat().into() };
        Ok(Some(whole))
    }

    /// Before the next bytes come, or at the end: what the crate should have seen by now, and has not.
    fn compare(&mut self, next: &[u8]) {
        if self.behind > 0 {
            // The LF of a CRLF that was cut in two completes the event at once.
            if !self.faults.contains(&CrateFault::NotUtf8) && next.first() != Some(&b'\n') {
                self.note(CrateFault::CarriageReturn);
            }
            return;
        }
        if self.standard.last_event_id() != self.events.last_event_id() {
            self.note(CrateFault::ForgottenId);
        }
        if self.told_retry != self.reconnection_time || (next.is_empty() && self.next_retry.is_some()) {
            self.note(CrateFault::OtherRetry);
        }
    }

    /// Reads the chunk as the standard has it.
    fn follow(&mut self, chunk: &[u8]) {
        let (behind, next, told) = (&mut self.behind, &mut self.next_retry, &mut self.told_retry);
        let followed = self.standard.feed(chunk, |item| match item {
            Item::Event { .. } => {
                *behind += 1;
                *told = next.take().or(*told);
            }
            Item::Retry(time) => *next = Some(time),
            Item::Comment(_) | Item::IdCommitted(_) => {}
        });
        if let Err(limit) = followed {
            tracing::debug!(%limit, "the crate has no limits of its own");
        }
        self.cut.extend_from_slice(chunk);
        match std::str::from_utf8(&self.cut) {
            Ok(_) => self.cut.clear(),
            Err(error) if error.error_len().is_some() => {
                self.note(CrateFault::NotUtf8);
                self.cut.clear();
            }
            Err(error) => {
                self.cut.drain(..error.valid_up_to());
            }
        }
    }

    fn read(&mut self, chunk: Bytes) -> Result<Option<Received>, Ending> {
        if let Some(event) = self.held.take() {
            debug_assert!(chunk.is_empty(), "a chunk is fed when the one before it is used up");
            return Ok(Some(Received::Event(event)));
        }
        if !chunk.is_empty() {
            self.compare(&chunk);
            let Some(chunk) = self.behind_mark(chunk)? else { return Ok(None) };
            self.bytes_since_event += chunk.len();
            self.follow(&chunk);
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
        self.behind -= 1;
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
        self.compare(b"");
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
