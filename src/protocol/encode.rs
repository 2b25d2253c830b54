//! Writes `text/event-stream` (HTML standard 9.2.5). Whole frames only, LF only, infallible: every field was checked
//! when its value was made, and `data` may hold anything, since it is split at every line end.
//! Read [`Frame`] first.

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};

use super::cursor::Cursor;

/// The heartbeat: one comment line and *no* blank line after it. With one, some clients report an empty event for
/// every heartbeat (measured: fetch-event-source, httpx-sse).
pub const HEARTBEAT: &[u8] = b":\n";

/// A `retry:` value in milliseconds, 1,000 to 600,000. Zero makes Chromium reconnect in a hot loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RetryMs(u32);

impl RetryMs {
    /// Smallest value that is sent.
    pub const MIN: Self = Self(1_000);
    /// Largest value that is sent.
    pub const MAX: Self = Self(600_000);

    /// The nearest allowed value.
    #[must_use]
    pub fn clamped(ms: u64) -> Self {
        let ms = ms.clamp(u64::from(Self::MIN.0), u64::from(Self::MAX.0));
        Self(u32::try_from(ms).unwrap_or(Self::MAX.0))
    }

    /// The value in milliseconds.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

/// One event to be written. Field order on the wire: `retry`, `id`, `event`, `data`.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Reconnection time for the client, if it is to change.
    pub retry: Option<RetryMs>,
    /// Only a true position of the log; it becomes the client's `Last-Event-ID`.
    pub id: Option<Cursor>,
    /// The event type. Holds no line end and no NUL: it comes from an [`super::EventType`] or [`super::event::control`].
    pub event: &'a str,
    /// The payload. Always written, also when empty: an event without a `data:` line is not dispatched.
    pub data: &'a str,
}

impl Frame<'_> {
    /// The bytes, ended by the blank line that dispatches the event.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.data.len() + 96);
        self.encode_into(&mut out);
        out.freeze()
    }

    /// Appends the bytes to a buffer.
    pub fn encode_into(&self, out: &mut BytesMut) {
        debug_assert!(!self.event.contains(['\n', '\r', '\0']), "event types are checked when they are made");
        if let Some(retry) = self.retry {
            write_display(out, format_args!("retry: {}\n", retry.0));
        }
        if let Some(id) = self.id {
            write_display(out, format_args!("id: {id}\n"));
        }
        out.put_slice(b"event: ");
        out.put_slice(self.event.as_bytes());
        out.put_u8(b'\n');
        put_data(self.data, out);
        out.put_u8(b'\n');
    }
}

fn write_display(out: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    // `BytesMut` grows; writing into it fails only when a `Display` does, and those of numbers and cursors do not.
    out.write_fmt(text).expect("numbers and cursors always format");
}

/// CRLF, CR and LF all end a line for the reader (9.2.6), so each becomes its own `data:` line, and a payload can
/// never start a field of its own. The reader joins the lines with LF.
fn put_data(mut rest: &str, out: &mut BytesMut) {
    loop {
        out.put_slice(b"data: ");
        let Some(end) = memchr::memchr2(b'\n', b'\r', rest.as_bytes()) else {
            out.put_slice(rest.as_bytes());
            out.put_u8(b'\n');
            return;
        };
        out.put_slice(&rest.as_bytes()[..end]);
        out.put_u8(b'\n');
        let line_end = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + line_end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(data: &str, expected: &str) {
        let frame = Frame { retry: None, id: None, event: "MESSAGE", data };
        assert_eq!(frame.encode(), format!("event: MESSAGE\n{expected}\n"));
    }

    #[test]
    fn every_line_of_the_payload_is_a_data_line() {
        check("", "data: \n");
        check("a", "data: a\n");
        check("a\nb", "data: a\ndata: b\n");
        check("a\r\nb\rc\n", "data: a\ndata: b\ndata: c\ndata: \n");
        check("\n\nid: forged", "data: \ndata: \ndata: id: forged\n");
        check(" a", "data:  a\n");
    }

    #[test]
    fn fields_stand_in_one_order() {
        let id = "a-1-2".parse().unwrap();
        let frame =
            Frame { retry: Some(RetryMs::clamped(2000)), id: Some(id), event: "CONNECTION", data: "{}" };
        assert_eq!(frame.encode(), "retry: 2000\nid: a-1-2\nevent: CONNECTION\ndata: {}\n\n");
    }

    #[test]
    fn retry_stays_where_every_browser_behaves() {
        assert_eq!(RetryMs::clamped(0), RetryMs::MIN);
        assert_eq!(RetryMs::clamped(u64::MAX), RetryMs::MAX);
    }
}
