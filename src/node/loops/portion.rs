//! Bytes that a stream must write before anything else, and what is to be noted once they are written. Knows HTTP/1.1
//! framing and the events of the node itself. Read [`Portion`] first.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use crate::broker::{Entry, Synced};
use crate::node::close::{CloseCode, close_frame};
use crate::node::connections::{AckMode, Identity};
use crate::node::window::{Form, Framing, WindowFrame};
use crate::protocol::api::{GapEvent, SyncEvent};
use crate::protocol::event::control;
use crate::protocol::{Address, Cursor, Format, Frame, RetryMs, SpelledId};

/// How a stream ends on the wire.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum StreamEnd {
    /// Without the last chunk. Every client that reconnects at all does so after an abort; some stop after a clean end
    /// (measured: fetch-event-source, sse.js). Proxies log an error.
    #[default]
    Abort,
    /// With the last chunk.
    Clean,
}

/// A part of a stream, framed for its client.
#[derive(Debug, Default)]
pub(crate) struct Portion {
    /// What is written.
    pub(crate) wire: Bytes,
    /// Events of the log among them.
    pub(crate) events: u64,
    /// The last `id:` among them, which the client knows then.
    pub(crate) told: Option<Cursor>,
    /// The messages of these mailboxes up to these positions are confirmed when this is written.
    pub(crate) confirms: Vec<(Address, Cursor)>,
    /// These are the last bytes of this frame of the window.
    pub(crate) frame: Option<Arc<WindowFrame>>,
}

impl Portion {
    /// What comes behind this, in one piece with it.
    pub(crate) fn then(mut self, next: Self) -> Self {
        let wire = [self.wire, next.wire];
        self.wire = match &wire {
            [first, empty] if empty.is_empty() => first.clone(),
            [empty, second] if empty.is_empty() => second.clone(),
            both => both.concat().into(),
        };
        self.events += next.events;
        self.told = next.told.or(self.told);
        self.confirms.extend(next.confirms);
        self
    }

    /// Bytes that are no event of the log.
    pub(crate) fn new(wire: Bytes, told: Option<Cursor>) -> Self {
        Self { wire, told, ..Self::default() }
    }

    /// What a socket has not taken of a frame.
    pub(crate) fn rest_of(frame: &Arc<WindowFrame>, form: Form, done: usize) -> Self {
        Self {
            wire: frame.rest(form, done),
            events: 1,
            told: Some(frame.cursor),
            confirms: Vec::new(),
            frame: Some(Arc::clone(frame)),
        }
    }
}

/// Messages of mailboxes, in log order. Without an `id:`: a later frame carries their position. In their envelopes, since
/// the identity of the message is the only one that such an event has.
pub(crate) fn mail_portion(messages: &[Entry], form: Form, (ack, identity): (AckMode, &Identity)) -> Portion {
    let mut out = BytesMut::new();
    for message in messages {
        let event = match form.format {
            Format::Envelope => message.event_type.as_str(),
            Format::Data => control::ENVELOPE,
        };
        Frame { retry: None, id: None, event, data: &message.envelope }.encode_into(&mut out);
    }
    let wire = if out.is_empty() { Bytes::new() } else { form.framing.wrap(out.freeze()) };
    let confirms = confirmed(ack, identity, &messages.iter().map(|entry| (&entry.address, entry.cursor)));
    Portion { wire, events: messages.len() as u64, confirms, ..Portion::default() }
}

/// With `ack=written`, each mailbox of this stream, up to the newest position that is written for its owner.
pub(super) fn confirmed<'a>(
    ack: AckMode,
    identity: &Identity,
    written: &(impl DoubleEndedIterator<Item = (&'a Address, Cursor)> + Clone),
) -> Vec<(Address, Cursor)> {
    if ack != AckMode::Written {
        return Vec::new();
    }
    let newest = |owner: Address| {
        let (_, cursor) = written.clone().rev().find(|(address, _)| **address == owner)?;
        Some((owner, cursor))
    };
    identity.mailboxes().into_iter().filter_map(newest).collect()
}

/// The `CLOSE` that ends a stream, and the last chunk if its end is to be clean.
pub(crate) fn close_portion(
    code: CloseCode,
    reason: &str,
    retry: RetryMs,
    (framing, end): (Framing, StreamEnd),
) -> Portion {
    let mut wire = BytesMut::from(framing.wrap(close_frame(code, reason, retry)));
    if (framing, end) == (Framing::Chunked, StreamEnd::Clean) {
        wire.extend_from_slice(b"0\r\n\r\n");
    }
    Portion::new(wire.freeze(), None)
}

/// A `GAP` event. `id` is the position that it moves the client to; `None` leaves the client where it is.
pub(crate) fn gap_frame(event: &GapEvent, id: Option<SpelledId>) -> Bytes {
    let data = serde_json::to_string(event).expect("a struct of text and numbers always becomes JSON");
    Frame { retry: None, id, event: control::GAP, data: &data }.encode()
}

/// A `SYNC` event. Without an `id:`: a client that reconnects now sends its cursor of the lost history, which says what
/// it has had. With a cursor of the new history it would get those events again.
pub(crate) fn sync_frame(sync: &Synced) -> Bytes {
    let event = SyncEvent {
        old_epoch: sync.from.epoch.to_string(),
        new_epoch: sync.to.epoch.to_string(),
        from: sync.from.to_event_id(),
        to: sync.to.to_event_id(),
        appended_again: sync.appended_again,
    };
    let data = serde_json::to_string(&event).expect("a struct of text and numbers always becomes JSON");
    Frame { retry: None, id: None, event: control::SYNC, data: &data }.encode()
}

/// The head of a response with a stream as its body.
pub(crate) fn response_head(status: StatusCode, headers: &HeaderMap, framing: Framing) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    let mut put = |name: &[u8], value: &[u8]| {
        head.extend_from_slice(name);
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    };
    for (name, value) in headers {
        if name != http::header::CONTENT_LENGTH && name != http::header::TRANSFER_ENCODING {
            put(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    put(b"date", httpdate::fmt_http_date(SystemTime::now()).as_bytes());
    match framing {
        Framing::Chunked => put(b"transfer-encoding", b"chunked"),
        Framing::Close => put(b"connection", b"close"),
    }
    head.extend_from_slice(b"\r\n");
    head
}
