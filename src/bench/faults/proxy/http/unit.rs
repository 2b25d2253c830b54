//! One unit of an event stream: its fields, and the ways in which a toxic changes its bytes. Bytes that a change does not
//! name stay as they are. Read [`Unit`] first.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt as _;
use rand::rngs::ChaCha8Rng;

use super::lines::Shape;
use crate::protocol::event::control;

/// A piece of a stream on its way through the toxics.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) bytes: Bytes,
    pub(super) shape: Shape,
    /// Does not leave before this.
    pub(super) due: Duration,
}

/// What the lines of a block say.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// The value of the last `event:`.
    pub(super) event: Option<Range<usize>>,
    /// The value of the last `id:`.
    pub(super) id: Option<Range<usize>>,
    /// The values of all `data:`.
    pub(super) data: Vec<Range<usize>>,
}

impl Unit {
    pub(super) fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        for line in lines(&self.bytes) {
            let text = &self.bytes[line.clone()];
            let colon = memchr::memchr(b':', text).unwrap_or(text.len());
            let value = match text.get(colon + 1) {
                Some(b' ') => colon + 2,
                Some(_) => colon + 1,
                None => text.len(),
            };
            let value = line.start + value..line.end;
            match &text[..colon] {
                b"event" => fields.event = Some(value),
                b"id" if memchr::memchr(0, &self.bytes[value.clone()]).is_none() => fields.id = Some(value),
                b"data" => fields.data.push(value),
                _ => {}
            }
        }
        fields
    }

    /// The type of an event; `None` for anything that is not dispatched.
    pub(super) fn event_type(&self) -> Option<String> {
        if self.shape != Shape::Block {
            return None;
        }
        let fields = self.fields();
        let named = fields.event.map(|range| String::from_utf8_lossy(&self.bytes[range]).into_owned());
        let named = named.filter(|name| !name.is_empty());
        (!fields.data.is_empty()).then(|| named.unwrap_or_else(|| "message".to_owned()))
    }

    /// Its own id.
    pub(super) fn id(&self) -> Option<String> {
        let range = self.fields().id.filter(|_| self.shape == Shape::Block)?;
        Some(String::from_utf8_lossy(&self.bytes[range]).into_owned())
    }

    /// It does not leave before this either.
    pub(super) fn not_before(self, time: Duration) -> Self {
        Self { due: self.due.max(time), ..self }
    }

    /// With other bytes.
    pub(super) fn with(&self, bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), ..self.clone() }
    }

    fn replaced(&self, range: Range<usize>, by: &[u8]) -> Self {
        let mut bytes = self.bytes.to_vec();
        bytes.splice(range, by.iter().copied());
        self.with(bytes)
    }

    /// With another letter or digit in the longest word of its data, so that JSON stays JSON; `None`: it has no data.
    pub(super) fn corrupted(&self, rng: &mut ChaCha8Rng) -> Option<Self> {
        let fields = self.fields();
        let word = fields.data.iter().flat_map(|range| words(&self.bytes, range)).max_by_key(Range::len);
        let place = match word {
            Some(word) => rng.random_range(word),
            None => fields.data.iter().find(|range| !range.is_empty())?.start,
        };
        let other = other_than(self.bytes[place]);
        Some(self.replaced(place..place + 1, &[other]))
    }

    /// With another id; `None`: it has none. Without a value the last digit of the id is another one.
    pub(super) fn with_id(&self, value: &str) -> Option<Self> {
        let range = self.fields().id?;
        if !value.is_empty() {
            return Some(self.replaced(range, value.as_bytes()));
        }
        let digit = self.bytes[range.clone()].iter().rposition(u8::is_ascii_digit);
        let Some(place) = digit.map(|place| range.start + place) else {
            return Some(self.replaced(range.end..range.end, b"1"));
        };
        Some(self.replaced(place..place + 1, &[other_than(self.bytes[place])]))
    }

    /// With another type.
    pub(super) fn with_type(&self, value: &str) -> Self {
        let value = if value.is_empty() { "changed" } else { value };
        match self.fields().event {
            Some(range) => self.replaced(range, value.as_bytes()),
            None => self.replaced(0..0, format!("event: {value}\n").as_bytes()),
        }
    }

    /// Without its end: so many bytes less, or broken off anywhere.
    pub(super) fn truncated(&self, missing: u64, rng: &mut ChaCha8Rng) -> Self {
        let length = self.bytes.len();
        let missing = usize::try_from(missing).unwrap_or(length).min(length);
        let kept = if missing == 0 { rng.random_range(1..length.max(2)) } else { length - missing };
        Self { shape: Shape::Rest, ..self.with(self.bytes.slice(..kept.min(length))) }
    }
}

/// Whether a node itself sends events of this type.
pub(super) fn is_of_the_node(event: &str) -> bool {
    control::ALL.contains(&event)
}

/// The lines of a block without their ends.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = at..at + end;
        let ends = if rest.get(end..end + 2) == Some(b"\r\n") { 2 } else { 1 };
        at += end + ends;
        Some(line)
    })
}

/// The runs of letters and digits in a part of the bytes.
fn words(bytes: &[u8], range: &Range<usize>) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    for place in range.clone().filter(|place| bytes[*place].is_ascii_alphanumeric()) {
        match words.last_mut() {
            Some(word) if word.end == place => word.end += 1,
            _ => words.push(place..place + 1),
        }
    }
    words
}

/// Another letter for a letter, another digit for a digit; never a line end.
fn other_than(byte: u8) -> u8 {
    match byte {
        b'9' => b'8',
        b'z' => b'y',
        b'Z' => b'Y',
        _ if byte.is_ascii_alphanumeric() => byte + 1,
        _ => b'x',
    }
}
