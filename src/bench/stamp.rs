//! The stamp in the payload of every published event: run, publisher, address, number and times, and a checksum of all that
//! and of the padding. Parsed for each delivery, so parsing borrows, allocates nothing and reads the envelope once.
//! Read [`Stamp`] first, then [`Unreadable`].

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::ids::{AddressId, InvalidRunId, PublisherId, RunId};
use super::metrics::time::RunTime;

/// Identifies an event of a run. In payloads it has another form, see [`Stamp::encode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    pub run: RunId,
    /// [`PublisherId::SENTINEL`] for a sentinel.
    pub publisher: PublisherId,
    pub address: AddressId,
    /// Number within its publisher and address, from 1.
    pub seq: u64,
    /// When it was due. Latencies are measured from here.
    pub due: RunTime,
    /// When it was first sent. Later than `due` where the bench could not keep up.
    pub sent: RunTime,
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    run: &'a str,
    #[serde(rename = "pub")]
    publisher: u16,
    #[serde(rename = "adr")]
    address: u32,
    seq: u64,
    due: u64,
    sent: u64,
    /// [`Checksum`] as hexadecimal digits. A text: a number of 64 bits would not survive a server that reads numbers as
    /// doubles.
    #[serde(borrow)]
    sum: Cow<'a, str>,
    #[serde(default, borrow)]
    pad: Cow<'a, str>,
}

/// The names of the fields, by which a damaged stamp is recognised.
const FIELDS: [&str; 7] = ["run", "pub", "adr", "seq", "due", "sent", "sum"];
/// So many of these names make a stamp: one that is damaged or cut off lacks a few.
const FIELDS_OF_A_STAMP: usize = 4;
/// Largest depth of values in which a stamp is searched.
const DEPTH_MAX: u32 = 16;

/// Padding repeats this text from a place that depends on the number of the event, so that no two neighbours have the same.
/// It has characters that forms, URLs and HTML escape, and none that JSON must escape. Its length is a prime number.
const PADDING: &str =
    "sse-lab 0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ <a href='#'>&amp;%20+/=?:;[]{}";

/// Checksum of a stamp: the lower half of everything, the upper half of everything but the padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Checksum(u64);

impl Checksum {
    fn digits(self) -> [u8; 16] {
        let bytes = self.0.to_be_bytes();
        let half = |place: usize| {
            if place.is_multiple_of(2) { bytes[place / 2] >> 4 } else { bytes[place / 2] & 15 }
        };
        std::array::from_fn(|place| b"0123456789abcdef"[usize::from(half(place))])
    }

    /// Whether the digits agree with everything.
    fn is(self, digits: &str) -> bool {
        digits.as_bytes() == self.digits()
    }

    /// Whether the digits agree with everything but the padding.
    fn is_but_for_padding(self, digits: &str) -> bool {
        digits.as_bytes().get(..8) == Some(&self.digits()[..8])
    }
}

#[derive(Deserialize)]
struct EnvelopeOf<'a> {
    /// `None`: a server that sends no envelopes of `sse-node`.
    #[serde(default, borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Wire<'a>,
}

/// Why a payload has no stamp that can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// An event that no run published: there is no stamp in its place.
    #[error("not an event of any run")]
    Foreign,
    /// The payload is not the one that was published. With the stamp, where only the padding was altered.
    #[error("the payload of an event was altered")]
    Altered(Option<Stamp>),
}

impl Unreadable {
    /// The stamp of an event that is known although its payload was altered.
    #[must_use]
    pub fn stamp(&self) -> Option<&Stamp> {
        match self {
            Self::Altered(stamp) => stamp.as_ref(),
            Self::Foreign => None,
        }
    }
}

impl Stamp {
    /// The payload as JSON, padded to `bytes` bytes; longer where the stamp alone is longer.
    #[must_use]
    pub fn encode(&self, bytes: u32) -> Box<RawValue> {
        let run = self.run.to_string();
        let wire = |pad: &str| {
            let wire = Wire {
                run: &run,
                publisher: self.publisher.0,
                address: self.address.0,
                seq: self.seq,
                due: self.due.as_nanos(),
                sent: self.sent.as_nanos(),
                sum: String::from_utf8_lossy(&self.checksum(pad).digits()).into_owned().into(),
                pad: pad.into(),
            };
            serde_json::to_string(&wire).expect("numbers and plain text always make JSON")
        };
        let bare = wire("");
        let missing = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(bare.len());
        let text = if missing == 0 { bare } else { wire(&padding(self.seq, missing)) };
        RawValue::from_string(text).expect("what serde_json wrote is JSON")
    }

    /// The id of the event's message: the same at each attempt to publish it.
    #[must_use]
    pub fn message_id(&self) -> String {
        MessageId(self).to_string()
    }

    /// Parses the `data:` of an event: the envelope with the payload inside.
    ///
    /// # Errors
    /// [`Unreadable`]: it is not the envelope of an event of a run, or not as it was published.
    pub fn decode(data: &str) -> Result<Self, Unreadable> {
        let Ok(envelope) = serde_json::from_str::<EnvelopeOf<'_>>(data) else { return Err(unreadable(data)) };
        let stamp = Self::checked(&envelope.data)?;
        match envelope.id {
            Some(id) if !MessageId(&stamp).is(&id) => Err(Unreadable::Altered(Some(stamp))),
            Some(_) | None => Ok(stamp),
        }
    }

    /// Parses a payload without an envelope.
    ///
    /// # Errors
    /// [`Unreadable`]: it has no stamp, or is not as it was published.
    pub fn decode_bare(payload: &str) -> Result<Self, Unreadable> {
        match serde_json::from_str::<Wire<'_>>(payload) {
            Ok(wire) => Self::checked(&wire),
            Err(_) => Err(unreadable(payload)),
        }
    }

    fn checked(wire: &Wire<'_>) -> Result<Self, Unreadable> {
        let stamp = Self {
            run: wire.run.parse().map_err(|InvalidRunId| Unreadable::Altered(None))?,
            publisher: PublisherId(wire.publisher),
            address: AddressId(wire.address),
            seq: wire.seq,
            due: RunTime::from_nanos(wire.due),
            sent: RunTime::from_nanos(wire.sent),
        };
        let checksum = stamp.checksum(&wire.pad);
        match &*wire.sum {
            sum if checksum.is(sum) => Ok(stamp),
            sum if checksum.is_but_for_padding(sum) => Err(Unreadable::Altered(Some(stamp))),
            _ => Err(Unreadable::Altered(None)),
        }
    }

    fn checksum(&self, pad: &str) -> Checksum {
        let Self { run, publisher, address, seq, due, sent } = self;
        let mut bytes = [0; 38];
        bytes[..8].copy_from_slice(&run.bits().to_le_bytes());
        bytes[8..10].copy_from_slice(&publisher.0.to_le_bytes());
        bytes[10..14].copy_from_slice(&address.0.to_le_bytes());
        bytes[14..22].copy_from_slice(&seq.to_le_bytes());
        bytes[22..30].copy_from_slice(&due.as_nanos().to_le_bytes());
        bytes[30..].copy_from_slice(&sent.as_nanos().to_le_bytes());
        let of_stamp = crc32fast::hash(&bytes);
        let mut of_all = crc32fast::Hasher::new_with_initial(of_stamp);
        of_all.update(pad.as_bytes());
        Checksum(u64::from(of_stamp) << 32 | u64::from(of_all.finalize()))
    }
}

/// The id of an event's message as text.
struct MessageId<'a>(&'a Stamp);

impl MessageId<'_> {
    /// Whether a text is this id. Compared for each delivery, so by numbers: to format the id first costs more.
    fn is(&self, text: &str) -> bool {
        let Stamp { run, publisher, address, seq, .. } = self.0;
        let mut parts = text.splitn(4, '-');
        let is_run = parts.next().is_some_and(|part| part.parse() == Ok(*run));
        let mut next_is = |number: u64| {
            let is_padded = |part: &str| part.len() > 1 && part.starts_with(['0', '+']);
            parts.next().is_some_and(|part| part.parse() == Ok(number) && !is_padded(part))
        };
        is_run && next_is(publisher.0.into()) && next_is(address.0.into()) && next_is(*seq)
    }
}

impl fmt::Display for MessageId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stamp { run, publisher, address, seq, .. } = self.0;
        write!(f, "{run}-{}-{}-{seq}", publisher.0, address.0)
    }
}

/// The padding of an event.
fn padding(seq: u64, bytes: usize) -> String {
    let from = usize::try_from(seq % PADDING.len() as u64).unwrap_or(0);
    let mut text = String::with_capacity(bytes + 2 * PADDING.len());
    text.push_str(&PADDING[from..]);
    while text.len() < bytes {
        text.push_str(PADDING);
    }
    text.truncate(bytes);
    text
}

/// Tells a damaged payload from an event that has none: from another publisher's, and from one that carries a whole stamp in
/// another place, or several in as many lines.
#[must_use]
pub fn unreadable(data: &str) -> Unreadable {
    let has_stamp =
        |json: &str| serde_json::from_str::<Value>(json).is_ok_and(|value| has_stamp(&value, DEPTH_MAX));
    let is_elsewhere = || has_stamp(data) || (data.contains('\n') && data.lines().any(has_stamp));
    if is_damaged_stamp(data) && !is_elsewhere() { Unreadable::Altered(None) } else { Unreadable::Foreign }
}

/// Where a payload that was altered differs from the one that was published, in words. Of a damaged stamp nobody knows what
/// it was: then, what came.
#[must_use]
pub fn difference(data: &str) -> String {
    difference_of_padding(data).unwrap_or_else(|| format!("it came as {data}"))
}

/// `None`: the padding is whole, or cannot be found.
fn difference_of_padding(data: &str) -> Option<String> {
    let behind = |name: &str| {
        let (_, rest) = data.split_once(name)?;
        Some(rest.trim_start_matches(['\\', '"', ':', ' ']))
    };
    let digits = behind("\"seq").or_else(|| behind("\\\"seq"))?;
    let seq = digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    let seen = behind("\"pad").or_else(|| behind("\\\"pad"))?;
    let seen = &seen[..seen.find(['"', '\\']).unwrap_or(seen.len())];
    let expected = padding(seq, seen.len());
    let at = seen.bytes().zip(expected.bytes()).position(|(seen, expected)| seen != expected)?;
    // Some characters before and behind it; the text that was published is ASCII.
    let (from, until) = (at.saturating_sub(8), (at + 9).min(seen.len()));
    let part = |text: &str| String::from_utf8_lossy(&text.as_bytes()[from..until]).into_owned();
    Some(format!("byte {} of pad: expected {:?}, seen {:?}", at + 1, part(&expected), part(seen)))
}

/// Whether a text has the fields of a stamp, as JSON or as JSON within a JSON text, even if it is no JSON any more.
fn is_damaged_stamp(data: &str) -> bool {
    let is_named = |name: &&&str| {
        data.match_indices(**name).any(|(at, _)| {
            let behind = &data[at + name.len()..];
            data[..at].ends_with('"') && (behind.starts_with('"') || behind.starts_with("\\\""))
        })
    };
    FIELDS.iter().filter(is_named).count() >= FIELDS_OF_A_STAMP
}

/// Whether a whole stamp stands anywhere within a value.
fn has_stamp(value: &Value, depth: u32) -> bool {
    if depth == 0 {
        return false;
    }
    match value {
        Value::Object(fields) => {
            Wire::deserialize(value).is_ok_and(|wire| Stamp::checked(&wire).is_ok())
                || fields.values().any(|inner| has_stamp(inner, depth - 1))
        }
        Value::Array(list) => list.iter().any(|inner| has_stamp(inner, depth - 1)),
        Value::String(text) => {
            is_damaged_stamp(text)
                && serde_json::from_str(text).is_ok_and(|inner| has_stamp(&inner, depth - 1))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        Stamp {
            run: RunId::from_random(0x00ab_cdef_0123_4567),
            publisher: PublisherId(3),
            address: AddressId(70_000),
            seq: 88_123,
            due: RunTime::from_nanos(123_456_789),
            sent: RunTime::from_nanos(123_456_999),
        }
    }

    fn envelope(data: &str) -> String {
        format!(
            r#"{{"id":"00abcdef01234567-3-70000-88123","type":"MESSAGE","data":{data},"timestamp":"2026-01-01T00:00:00.000Z","source":"n1","metadata":null}}"#
        )
    }

    #[test]
    fn a_stamp_survives_the_envelope_at_every_size() {
        for bytes in [0, 1, 80, 95, 96, 97, 256, 8_192] {
            let payload = stamp().encode(bytes);
            assert_eq!(Stamp::decode(&envelope(payload.get())), Ok(stamp()), "{bytes} bytes");
        }
    }

    #[test]
    fn an_altered_byte_is_told_with_its_place_and_a_damaged_stamp_as_it_came() {
        let text = stamp().encode(400).get().to_owned();
        let pad = text.find("\"pad\":\"").unwrap() + 7;
        let mut altered = text.clone();
        altered.replace_range(pad + 20..=pad + 20, "!");
        let told = difference(&altered);
        let expected = &text[pad + 12..pad + 29];
        assert_eq!(
            told,
            format!("byte 21 of pad: expected {expected:?}, seen {:?}", &altered[pad + 12..pad + 29])
        );
        for wrapped in [envelope(&altered), Value::from(altered.clone()).to_string()] {
            assert_eq!(difference(&wrapped), told);
        }
        assert!(difference(&text.replacen("\"due\"", "\"dve\"", 1)).starts_with("it came as {"));
        assert_eq!(difference("{"), "it came as {");
    }

    #[test]
    fn padding_reaches_the_size_exactly() {
        let bare = stamp().encode(0).get().len();
        for bytes in [bare, bare + 1, 256, 8_192] {
            assert_eq!(stamp().encode(u32::try_from(bytes).unwrap()).get().len(), bytes);
        }
    }

    #[test]
    fn what_no_run_published_is_foreign() {
        let other = [
            "",
            "hello",
            "{}",
            "[]",
            r#"{"data":1}"#,
            &envelope("null"),
            &envelope(r#"{"run":"nightly","seq":4}"#),
            &format!(r#"{{"replayed":[{}]}}"#, stamp().encode(0).get()),
            &Value::from(envelope(stamp().encode(0).get())).to_string(),
        ];
        for data in other {
            assert_eq!(Stamp::decode(data), Err(Unreadable::Foreign), "{data}");
        }
    }

    #[test]
    fn a_byte_that_changed_anywhere_is_found() {
        let payload = stamp().encode(256);
        let whole = payload.get();
        let padding_begins = whole.find("\"pad\":\"").unwrap() + 7;
        for (at, byte) in whole.bytes().enumerate() {
            for other in [byte ^ 1, b'0', b' ', b'"'] {
                let mut altered = whole.as_bytes().to_vec();
                altered[at] = other;
                let altered = String::from_utf8(altered).unwrap();
                if altered == whole {
                    continue;
                }
                let told = Stamp::decode_bare(&altered);
                assert!(matches!(told, Err(Unreadable::Altered(_))), "{altered}: {told:?}");
                assert!(Stamp::decode(&envelope(&altered)).is_err(), "{altered}");
                let is_padding = (padding_begins + 1..whole.len() - 2).contains(&at);
                if is_padding && !matches!(other, b'"' | b'\\') {
                    assert_eq!(told, Err(Unreadable::Altered(Some(stamp()))), "{altered}");
                }
            }
        }
    }

    #[test]
    fn a_byte_that_is_missing_added_or_moved_is_found() {
        let payload = stamp().encode(256);
        let whole = payload.get();
        for at in 0..whole.len() {
            let (before, after) = whole.split_at(at);
            let without = format!("{before}{}", &after[1..]);
            let twice = format!("{before}{}{after}", &after[..1]);
            for altered in [without, twice, before.to_owned()] {
                let told = Stamp::decode_bare(&altered);
                assert!(told.is_err(), "{altered}");
                if at > 60 {
                    assert!(matches!(told, Err(Unreadable::Altered(_))), "{altered}: {told:?}");
                }
            }
        }
        let (one, other) =
            (&whole[whole.len() - 50..whole.len() - 30], &whole[whole.len() - 30..whole.len() - 10]);
        let moved = whole.replace(&format!("{one}{other}"), &format!("{other}{one}"));
        assert_eq!(Stamp::decode_bare(&moved), Err(Unreadable::Altered(Some(stamp()))));
    }

    #[test]
    fn the_id_of_the_envelope_is_checked_too() {
        for (part, other) in [
            ("-88123\"", "-88124\""),
            ("-88123\"", "-088123\""),
            ("-3-", "-+3-"),
            ("4567-", "4568-"),
            ("-88123\"", "\""),
        ] {
            let other = envelope(stamp().encode(0).get()).replacen(part, other, 1);
            assert_eq!(Stamp::decode(&other), Err(Unreadable::Altered(Some(stamp()))), "{other}");
        }
        let none = envelope(stamp().encode(0).get()).replace("\"id\"", "\"x\"");
        assert_eq!(Stamp::decode(&none), Ok(stamp()));
    }

    #[test]
    fn a_server_that_writes_the_json_anew_is_honest() {
        let payload = stamp().encode(300);
        let value: Value = serde_json::from_str(payload.get()).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let fields: Vec<_> = value.as_object().unwrap().iter().collect();
        let backwards: Vec<_> =
            fields.iter().rev().map(|(name, value)| format!("{name:?} : {value}")).collect();
        let escaped = payload.get().replace('/', "\\/").replace('<', "\\u003c").replace('&', "\\u0026");
        assert_ne!(escaped, payload.get());
        for honest in [pretty, format!("{{ {} }}", backwards.join(" ,\t")), escaped] {
            assert_eq!(Stamp::decode_bare(&honest), Ok(stamp()), "{honest}");
            assert_eq!(Stamp::decode(&envelope(&honest)), Ok(stamp()), "{honest}");
        }
    }

    #[test]
    fn neighbours_have_other_padding() {
        let padding = |seq| padding(seq, 500);
        assert_ne!(padding(1), padding(2));
        assert!((1..200).all(|seq| padding(seq).len() == 500 && !padding(seq).contains(['"', '\\'])));
    }
}
