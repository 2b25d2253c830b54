//! One event as bytes, encoded once for all connections. Read [`WindowFrame`] first.

use std::sync::atomic::AtomicU64;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::broker::Origins;
use crate::protocol::{Address, Cursor};

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
    /// When the tail read the event.
    pub(crate) tailed_at: Instant,
    /// Age of the event when the tail read it, in microseconds.
    pub(crate) age_at_tail_us: u64,
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

    /// The encoded event as one HTTP/1.1 chunk.
    pub(crate) fn chunk(&self) -> &[u8] {
        &self.wire
    }

    /// The encoded event without the chunk.
    pub(crate) fn body(&self) -> &[u8] {
        &self.wire[self.chunk_head..self.wire.len() - 2]
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
