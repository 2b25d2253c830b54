//! One event as bytes, encoded once for all connections. Read [`WindowFrame`] first.

use std::sync::atomic::AtomicU64;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::broker::Origins;
use crate::protocol::{Address, Cursor};

/// One event, encoded once for all connections, with an HTTP/1.1 chunk around it so that most connections can be
/// sent the very same bytes.
#[derive(Debug)]
pub(crate) struct WindowFrame {
    /// Position in the log.
    pub(crate) cursor: Cursor,
    /// Whom it is for.
    pub(crate) address: Address,
    /// Where the message stood before it was lost and appended again.
    pub(crate) origins: Origins,
    pub(super) wire: Bytes,
    chunk_head: usize,
    /// When the tail read it.
    pub(crate) tailed_at: Instant,
    /// How long it had been in the log by then, microseconds.
    pub(crate) age_at_tail_us: u64,
    /// Connections that it was written to.
    pub(crate) written: AtomicU64,
    /// Connections that confirmed it.
    pub(crate) confirmed: AtomicU64,
}

/// What the tail knows of an event when it puts it into the window.
#[derive(Debug)]
pub(crate) struct FrameOrigin {
    /// Position in the log.
    pub(crate) cursor: Cursor,
    /// Whom it is for.
    pub(crate) address: Address,
    /// Where the message stood before it was lost and appended again.
    pub(crate) origins: Origins,
    /// When the tail read it.
    pub(crate) tailed_at: Instant,
    /// How long it had been in the log by then, microseconds.
    pub(crate) age_at_tail_us: u64,
}

impl WindowFrame {
    /// A frame around encoded bytes.
    pub(crate) fn new(origin: FrameOrigin, encoded: &[u8]) -> Self {
        let (wire, chunk_head) = chunked(encoded);
        let FrameOrigin { cursor, address, origins, tailed_at, age_at_tail_us } = origin;
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

    /// The bytes as one HTTP/1.1 chunk.
    pub(crate) fn chunk(&self) -> &[u8] {
        &self.wire
    }

    /// The bytes alone.
    pub(crate) fn body(&self) -> &[u8] {
        &self.wire[self.chunk_head..self.wire.len() - 2]
    }
}

/// Wraps bytes in an HTTP/1.1 chunk (RFC 9112, 7.1). Returns the length of the head in front of the bytes too.
pub(crate) fn chunked(body: &[u8]) -> (Bytes, usize) {
    let head = format!("{:x}\r\n", body.len());
    let mut wire = BytesMut::with_capacity(head.len() + body.len() + 2);
    wire.extend_from_slice(head.as_bytes());
    wire.extend_from_slice(body);
    wire.extend_from_slice(b"\r\n");
    (wire.freeze(), head.len())
}
