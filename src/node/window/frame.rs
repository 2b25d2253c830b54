//! One event as bytes, encoded once for all connections of a format. Read [`WindowFrame`] first.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use bytes::{Bytes, BytesMut};
use http::Version;
use tokio::time::Instant;

use crate::broker::Origins;
use crate::protocol::encode::put_payload;
use crate::protocol::event::control;
use crate::protocol::{Address, Cursor, EncodedEvent, EventType, Format};

/// How the body of a response is delimited (RFC 9112, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// HTTP/1.1: chunks, so that an end without the last chunk counts as an abort.
    Chunked,
    /// HTTP/1.0: the end of the connection ends the body. HTTP/2: its frames do.
    Close,
}

impl Framing {
    /// The framing for a client of this HTTP version.
    pub(crate) fn for_version(version: Version) -> Self {
        if version == Version::HTTP_11 { Self::Chunked } else { Self::Close }
    }

    /// A part of the body as it goes over the wire.
    pub(crate) fn wrap(self, body: Bytes) -> Bytes {
        match self {
            Self::Chunked => chunked(&body).0,
            Self::Close => body,
        }
    }
}

/// How the bytes of a stream look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) framing: Framing,
    pub(crate) format: Format,
}

impl Form {
    /// Number of forms.
    pub(crate) const COUNT: usize = 4;

    /// Its number, below [`Self::COUNT`].
    pub(crate) fn index(self) -> usize {
        2 * usize::from(self.framing == Framing::Close) + usize::from(self.format == Format::Data)
    }
}

/// One event as encoded bytes, wrapped in an HTTP/1.1 chunk, so that most connections get the same bytes.
#[derive(Debug)]
pub(crate) struct WindowFrame {
    /// Position in the log.
    pub(crate) cursor: Cursor,
    /// The address that the event was published to.
    pub(crate) address: Address,
    /// Earlier positions of the message, from before it was lost and appended again.
    pub(crate) origins: Origins,
    /// The event in its envelope.
    in_envelope: Bytes,
    /// Its payload alone, made for the first stream that wants it.
    alone: OnceLock<Bytes>,
    /// What that is made of.
    alone_from: Alone,
    tailed_at: Instant,
    age_at_tail_us: u64,
    /// Number of connections that the event was written to.
    pub(crate) written: AtomicU64,
    /// Number of confirmations of the event.
    pub(crate) confirmed: AtomicU64,
}

/// What `format=data` sends of an event.
#[derive(Debug)]
struct Alone {
    /// `None`: no `event:` line.
    event: Option<EventType>,
    /// A part of [`WindowFrame::in_envelope`].
    lines: Range<u32>,
}

/// What the tail knows of an event, beside its bytes.
#[derive(Debug)]
pub(crate) struct FrameMeta {
    /// Position in the log.
    pub(crate) cursor: Cursor,
    /// The address that the event was published to.
    pub(crate) address: Address,
    /// The type that the event was published with.
    pub(crate) event_type: EventType,
    /// Earlier positions of the message, from before it was lost and appended again.
    pub(crate) origins: Origins,
    /// When the tail read the event.
    pub(crate) tailed_at: Instant,
    /// Age of the event when the tail read it, in microseconds.
    pub(crate) age_at_tail_us: u64,
}

impl WindowFrame {
    /// Wraps an encoded event.
    pub(crate) fn new(meta: FrameMeta, encoded: &EncodedEvent) -> Self {
        let (in_envelope, head) = chunked(&encoded.bytes);
        let FrameMeta { cursor, address, event_type, origins, tailed_at, age_at_tail_us } = meta;
        let alone_from = Alone::of(&address, event_type, encoded, head);
        Self {
            cursor,
            address,
            origins,
            in_envelope,
            alone: OnceLock::new(),
            alone_from,
            tailed_at,
            age_at_tail_us,
            written: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
        }
    }

    /// About how many bytes it has on the wire: as many as its envelope.
    pub(super) fn size(&self) -> usize {
        self.in_envelope.len()
    }

    fn wire(&self, format: Format) -> &Bytes {
        match format {
            Format::Envelope => &self.in_envelope,
            Format::Data => self.alone.get_or_init(|| {
                let lines = self.alone_from.lines.start as usize..self.alone_from.lines.end as usize;
                let event = self.alone_from.event.as_ref().map(EventType::as_str);
                let mut body = BytesMut::with_capacity(lines.len() + 96);
                put_payload(self.cursor, event, &self.in_envelope[lines], &mut body);
                chunked(&body).0
            }),
        }
    }

    /// The event as it goes over the wire.
    pub(crate) fn bytes(&self, form: Form) -> &[u8] {
        let wire = self.wire(form.format);
        match form.framing {
            Framing::Chunked => wire,
            Framing::Close => body_of(wire),
        }
    }

    /// Microseconds since the publishing node accepted the message.
    pub(crate) fn age_us(&self, now: Instant) -> u64 {
        let since_tail = now.saturating_duration_since(self.tailed_at).as_micros();
        self.age_at_tail_us.saturating_add(u64::try_from(since_tail).unwrap_or(u64::MAX))
    }

    /// The same bytes without the first `done`, shared with this frame.
    pub(crate) fn rest(&self, form: Form, done: usize) -> Bytes {
        self.wire(form.format).slice_ref(&self.bytes(form)[done..])
    }
}

impl Alone {
    /// The payload, without a type that the publisher did not choose. An event needs its envelope if it has no payload, or
    /// if its type says that it comes in one.
    fn of(address: &Address, event_type: EventType, encoded: &EncodedEvent, chunk_head: usize) -> Self {
        let is_default = event_type.as_str() == address.default_type();
        let (event, lines) = match &encoded.payload {
            Some(lines) if event_type.as_str() != control::ENVELOPE => {
                ((!is_default).then_some(event_type), lines.clone())
            }
            Some(_) | None => (Some(EventType::envelope()), encoded.envelope()),
        };
        let at = |index: usize| u32::try_from(chunk_head + index).unwrap_or(u32::MAX);
        Self { event, lines: at(lines.start)..at(lines.end) }
    }
}

/// The bytes within a chunk.
fn body_of(wire: &[u8]) -> &[u8] {
    let head = memchr::memchr(b'\n', wire).map_or(0, |end| end + 1);
    &wire[head..wire.len() - 2]
}

/// Wraps bytes in an HTTP/1.1 chunk (RFC 9112, 7.1). Also returns the length of the chunk's head.
pub(crate) fn chunked(body: &[u8]) -> (Bytes, usize) {
    let head = format!("{:x}\r\n", body.len());
    let mut wire = BytesMut::with_capacity(head.len() + body.len() + 2);
    wire.extend_from_slice(head.as_bytes());
    wire.extend_from_slice(body);
    wire.extend_from_slice(b"\r\n");
    (wire.freeze(), head.len())
}
