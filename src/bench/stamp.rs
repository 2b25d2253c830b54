//! The stamp in the payload of every published event: run, publisher, address, number and times. Parsed for each delivery,
//! so parsing borrows, allocates nothing and reads the envelope once.
//! Read [`Stamp`] first.

use serde::{Deserialize, Serialize};
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
    #[serde(default)]
    pad: Pad,
}

/// Padding: skipped when parsed.
#[derive(Default)]
struct Pad(usize);

impl Serialize for Pad {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&"x".repeat(self.0))
    }
}

impl<'de> Deserialize<'de> for Pad {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self(0))
    }
}

#[derive(Deserialize)]
struct EnvelopeOf<'a> {
    #[serde(borrow)]
    data: Wire<'a>,
}

/// An event that no run published: its `data` is not an envelope around a [`Stamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event of any run")]
pub struct Foreign;

impl Stamp {
    /// The payload as JSON, padded to `bytes` bytes; longer where the stamp alone is longer.
    #[must_use]
    pub fn encode(&self, bytes: u32) -> Box<RawValue> {
        let run = self.run.to_string();
        let wire = |pad| {
            let wire = Wire {
                run: &run,
                publisher: self.publisher.0,
                address: self.address.0,
                seq: self.seq,
                due: self.due.as_nanos(),
                sent: self.sent.as_nanos(),
                pad: Pad(pad),
            };
            serde_json::to_string(&wire).expect("numbers and plain text always make JSON")
        };
        let bare = wire(0);
        let missing = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(bare.len());
        let text = if missing == 0 { bare } else { wire(missing) };
        RawValue::from_string(text).expect("what serde_json wrote is JSON")
    }

    /// Parses the `data:` of an event: the envelope with the payload inside.
    ///
    /// # Errors
    /// [`Foreign`]: not JSON, not an envelope, or without a stamp.
    pub fn decode(data: &str) -> Result<Self, Foreign> {
        let envelope: EnvelopeOf<'_> = serde_json::from_str(data).map_err(|_| Foreign)?;
        envelope.data.try_into()
    }

    /// Parses a payload without an envelope.
    ///
    /// # Errors
    /// [`Foreign`]: it has no stamp.
    pub fn decode_bare(payload: &str) -> Result<Self, Foreign> {
        serde_json::from_str::<Wire<'_>>(payload).map_err(|_| Foreign)?.try_into()
    }
}

impl TryFrom<Wire<'_>> for Stamp {
    type Error = Foreign;

    fn try_from(wire: Wire<'_>) -> Result<Self, Foreign> {
        Ok(Self {
            run: wire.run.parse().map_err(|InvalidRunId| Foreign)?,
            publisher: PublisherId(wire.publisher),
            address: AddressId(wire.address),
            seq: wire.seq,
            due: RunTime::from_nanos(wire.due),
            sent: RunTime::from_nanos(wire.sent),
        })
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
            r#"{{"id":"01J","type":"MESSAGE","data":{data},"timestamp":"2026-01-01T00:00:00.000Z","source":"n1","metadata":null}}"#
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
            &envelope(r#"{"run":"short","pub":1,"adr":1,"seq":1,"due":1,"sent":1}"#),
            &envelope(r#"{"run":"00abcdef01234567","pub":1,"adr":1,"due":1,"sent":1}"#),
            &envelope(r#"{"run":"00abcdef01234567","pub":1,"adr":1,"seq":1,"due":1}"#),
            &envelope(r#"{"run":"00abcdef01234567","pub":70000,"adr":1,"seq":1,"due":1,"sent":1}"#),
        ];
        for data in other {
            assert_eq!(Stamp::decode(data), Err(Foreign), "{data}");
        }
    }
}
