//! Writes `text/event-stream` (HTML standard 9.2.5). Whole frames only, LF only, infallible: every field was checked
//! when its value was made, and `data` may hold anything, since it is split at every line end.
//! Read [`Frame`] first.

use std::fmt::Write as _;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::cursor::{Cursor, SpelledId};
use super::event::Skimmed;
use super::format::Format;

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
    pub id: Option<SpelledId>,
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

/// An event of the log, encoded in its envelope.
#[derive(Debug, Clone)]
pub struct EncodedEvent {
    /// Everything up to the blank line that dispatches it.
    pub bytes: Bytes,
    /// Where the lines of the envelope begin within the bytes.
    begin: usize,
    /// Where the lines of the payload are within the bytes: each begins with `data: ` but the first. `None`: the envelope
    /// has no payload.
    pub payload: Option<Range<usize>>,
}

impl EncodedEvent {
    /// Encodes an envelope, whose parts are known, unless it cannot be read.
    #[must_use]
    pub fn of(id: Cursor, event: &str, envelope: &str, parts: Option<&Skimmed<'_>>) -> Self {
        let mut out = BytesMut::with_capacity(envelope.len() + 96);
        write_display(&mut out, format_args!("id: {}\nevent: {event}\ndata: ", id.spelled(Format::Envelope)));
        let begin = out.len();
        let payload = match parts.and_then(|parts| parts.around_payload(envelope)) {
            Some([before, payload, behind]) => {
                put_lines(before, &mut out);
                let from = out.len();
                put_lines(payload, &mut out);
                let to = out.len();
                put_lines(behind, &mut out);
                Some(from..to)
            }
            None => {
                put_lines(envelope, &mut out);
                None
            }
        };
        out.put_slice(b"\n\n");
        Self { bytes: out.freeze(), begin, payload }
    }

    /// As [`Self::payload`], of the whole envelope.
    #[must_use]
    pub fn envelope(&self) -> Range<usize> {
        self.begin..self.bytes.len() - 2
    }
}

/// Appends an event whose payload is in lines already, as [`EncodedEvent::payload`] has it. Without a type it is for
/// `onmessage`.
pub fn put_payload(id: Cursor, event: Option<&str>, lines: &[u8], out: &mut BytesMut) {
    write_display(out, format_args!("id: {}\n", id.spelled(Format::Data)));
    if let Some(event) = event {
        write_display(out, format_args!("event: {event}\n"));
    }
    out.put_slice(b"data: ");
    out.put_slice(lines);
    out.put_slice(b"\n\n");
}

fn write_display(out: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    // `BytesMut` grows; writing into it fails only when a `Display` does, and those of numbers and cursors do not.
    out.write_fmt(text).expect("numbers and cursors always format");
}

/// CRLF, CR and LF all end a line for the reader (9.2.6), so each becomes its own `data:` line, and a payload can
/// never start a field of its own. The reader joins the lines with LF.
fn put_data(text: &str, out: &mut BytesMut) {
    out.put_slice(b"data: ");
    put_lines(text, out);
    out.put_u8(b'\n');
}

/// Goes on with a `data:` line that has begun, and leaves the last one open.
fn put_lines(mut rest: &str, out: &mut BytesMut) {
    while let Some(end) = memchr::memchr2(b'\n', b'\r', rest.as_bytes()) {
        out.put_slice(&rest.as_bytes()[..end]);
        out.put_slice(b"\ndata: ");
        let line_end = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + line_end..];
    }
    out.put_slice(rest.as_bytes());
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
        let id = "a-1-2".parse::<Cursor>().unwrap().spelled(Format::Data);
        let frame =
            Frame { retry: Some(RetryMs::clamped(2000)), id: Some(id), event: "CONNECTION", data: "{}" };
        assert_eq!(frame.encode(), "retry: 2000\nid: a-1-2\nevent: CONNECTION\ndata: {}\n\n");
    }

    #[track_caller]
    fn check_event(envelope: &str, in_envelope: &str, alone: Option<&str>) {
        let id: Cursor = "k3f9qa-1795303903002-4".parse().unwrap();
        let parts = Skimmed::of(envelope);
        let encoded = EncodedEvent::of(id, "MESSAGE", envelope, parts.as_ref());
        assert_eq!(encoded.bytes, format!("id: {id}\nevent: MESSAGE\n{in_envelope}\n"));
        let payload = encoded.payload.map(|lines| {
            let mut out = BytesMut::new();
            put_payload(id, None, &encoded.bytes[lines], &mut out);
            String::from_utf8(out.to_vec()).unwrap()
        });
        let id = id.spelled(Format::Data);
        assert_eq!(payload, alone.map(|alone| format!("id: {id}\n{alone}\n")));
    }

    #[test]
    fn the_payload_of_an_event_is_found_with_its_lines() {
        let whole = r#"{"data":{"a":"\n b"},"timestamp":"t"}"#;
        check_event(whole, &format!("data: {whole}\n"), Some("data: {\"a\":\"\\n b\"}\n"));
        check_event(r#"{"id":1,"data":null}"#, "data: {\"id\":1,\"data\":null}\n", Some("data: null\n"));
        check_event(
            "{\r\n\"data\": [1,\r\n2,\n\n3]\r}",
            "data: {\ndata: \"data\": [1,\ndata: 2,\ndata: \ndata: 3]\ndata: }\n",
            Some("data: [1,\ndata: 2,\ndata: \ndata: 3]\n"),
        );
        for without in ["{}", "no json", "", r#"{"data":1,"data":2}"#] {
            check_event(without, &format!("data: {without}\n"), None);
        }
    }

    #[test]
    fn retry_stays_where_every_browser_behaves() {
        assert_eq!(RetryMs::clamped(0), RetryMs::MIN);
        assert_eq!(RetryMs::clamped(u64::MAX), RetryMs::MAX);
    }
}
