//! One event as bytes, encoded once for all connections. Read [`WindowFrame`] first.

use std::sync::atomic::AtomicU64;

use bytes::{Bytes, BytesMut};
use http::Version;
use tokio::time::Instant;

use crate::broker::Origins;
use crate::protocol::{Address, Cursor};

/// How the body of a response is delimited (RFC 9112, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// HTTP/1.1: chunks, so that an end without the last chunk counts as an abort.
    Chunked,
    /// HTTP/1.0: the end of the connection ends the body.
    Close,
}

impl Framing {
    /// The framing for a client of this HTTP version.
    pub(crate) fn for_version(version: Version) -> Self {
        if version == Version::HTTP_10 || version == Version::HTTP_09 { Self::Close } else { Self::Chunked }
    }

    /// A part of the body as it goes over the wire.
    pub(crate) fn wrap(self, body: Bytes) -> Bytes {
        match self {
            Self::Chunked => chunked(&body).0,
            Self::Close => body,
        }
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
    pub(super) wire: Bytes,
    chunk_head: usize,
    tailed_at: Instant,
    age_at_tail_us: u64,
    /// Number of connections that the event was written to.
    pub(crate) written: AtomicU64,
    /// Number of confirmations of the event.
    pub(crate) confirmed: AtomicU64,
}

/// What the tail knows of an event, beside its bytes.
#[derive(Debug)]
pub(crate) struct FrameMeta {
    /// Position in the log.
    pub(crate) cursor: Cursor,
    /// The address that the event was published to.
    pub(crate) address: Address,
    /// Earlier positions of the message, from before it was lost and appended again.
    pub(crate) origins: Origins,
    /// When the tail read the event.
    pub(crate) tailed_at: Instant,
    /// Age of the event when the tail read it, in microseconds.
    pub(crate) age_at_tail_us: u64,
}

impl WindowFrame {
    /// Wraps an encoded event.
    pub(crate) fn new(meta: FrameMeta, encoded: &[u8]) -> Self {
        let (wire, chunk_head) = chunked(encoded);
        let FrameMeta { cursor, address, origins, tailed_at, age_at_tail_us } = meta;
        Self {
            cursor,
            address,
            origins,
            wire,
            chunk_head,
            tailed_at,
            age_at_tail_us,
            written: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
        }
    }

    /// The event as it goes over the wire.
    pub(crate) fn bytes(&self, framing: Framing) -> &[u8] {
        match framing {
            Framing::Chunked => &self.wire,
            Framing::Close => &self.wire[self.chunk_head..self.wire.len() - 2],
        }
    }

    /// Microseconds since the publishing node accepted the message.
    pub(crate) fn age_us(&self, now: Instant) -> u64 {
        let since_tail = now.saturating_duration_since(self.tailed_at).as_micros();
        self.age_at_tail_us.saturating_add(u64::try_from(since_tail).unwrap_or(u64::MAX))
    }

    /// The same bytes without the first `done`, shared with this frame.
    pub(crate) fn rest(&self, framing: Framing, done: usize) -> Bytes {
        self.wire.slice_ref(&self.bytes(framing)[done..])
    }
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
