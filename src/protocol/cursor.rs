//! Positions in the log. A [`Cursor`] is the value, an [`EventId`] its text `<epoch>-<ms>-<seq>`: the SSE `id:` of an
//! event and the `Last-Event-ID` of a client. The `id:` lines of a stream with `format=data` have a shorter spelling
//! ([`Cursor::spelled`]); both are read wherever an id is. Clients must treat the text as opaque.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::format::Format;
use super::short_id::{self, ShortId};

/// Longest text that is parsed as a cursor, in bytes; a longer one is malformed.
pub const EVENT_ID_MAX_BYTES: usize = 128;

/// Identity of one history of the log. A log that lost its tail, or began anew, has another epoch, so a cursor of
/// the old history cannot be mistaken for a position in the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(u64);

const BASE36: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

impl Epoch {
    /// An epoch from random bits. Six base-36 digits: short on the wire, and two histories of one log collide
    /// once in two thousand million.
    #[must_use]
    pub fn from_random(bits: u64) -> Self {
        Self(Self::SMALLEST + bits % (Self::END - Self::SMALLEST))
    }
}

impl Epoch {
    const SMALLEST: u64 = 36_u64.pow(5);
    const END: u64 = 36_u64.pow(6);

    /// The bits that it was made from.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The inverse of [`Self::bits`].
    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether [`Self::from_random`] can have made it.
    pub(super) fn is_usual(self) -> bool {
        (Self::SMALLEST..Self::END).contains(&self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0_u8; 13];
        let mut rest = self.0;
        let mut at = digits.len();
        loop {
            at -= 1;
            // `% 36` is below 36, so the cast and the index are exact.
            digits[at] = BASE36[usize::try_from(rest % 36).unwrap_or(0)];
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        f.write_str(std::str::from_utf8(&digits[at..]).unwrap_or("0"))
    }
}

impl FromStr for Epoch {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let canonical = !text.is_empty()
            && text.len() <= 13
            && (text == "0" || !text.starts_with('0'))
            && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        if !canonical {
            return Err(InvalidCursor);
        }
        u64::from_str_radix(text, 36).map(Self).map_err(|_| InvalidCursor)
    }
}

/// A place within one history: milliseconds since 1970 when the event was appended, and a counter within that
/// millisecond, as Redis Streams number their entries (XADD).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Position {
    /// Milliseconds since 1970-01-01 UTC.
    pub ms: u64,
    /// Counter within the millisecond.
    pub seq: u64,
}

impl Position {
    /// Before every event of a history.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };

    /// The smallest position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        match self.seq.checked_add(1) {
            Some(seq) => Self { ms: self.ms, seq },
            None => Self { ms: self.ms.saturating_add(1), seq: 0 },
        }
    }
}

/// A position in one history of the log: *I have everything up to here*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The history that the position belongs to.
    pub epoch: Epoch,
    /// Position within that history.
    pub position: Position,
}

/// A text that is not a cursor of this system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event id; copy it as it stands in an `id:` line, such as <epoch>-<ms>-<seq>")]
pub struct InvalidCursor;

impl Cursor {
    /// The start of a history: every event of it comes after.
    #[must_use]
    pub fn start_of(epoch: Epoch) -> Self {
        Self { epoch, position: Position::ZERO }
    }

    /// A position in a history.
    #[must_use]
    pub fn new(epoch: Epoch, position: Position) -> Self {
        Self { epoch, position }
    }

    /// The text that goes on the wire.
    #[must_use]
    pub fn to_event_id(self) -> EventId {
        EventId(Arc::from(self.to_string()))
    }

    /// The text of `id:` lines in a stream of this format.
    #[must_use]
    pub fn spelled(self, format: Format) -> SpelledId {
        SpelledId { cursor: self, format }
    }
}

/// A cursor as text, in the spelling of a format.
#[derive(Debug, Clone, Copy)]
pub struct SpelledId {
    cursor: Cursor,
    format: Format,
}

impl fmt::Display for SpelledId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ShortId::of(self.cursor).filter(|_| self.format == Format::Data) {
            Some(short) => f.write_str(short.as_str()),
            None => self.cursor.fmt(f),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.epoch, self.position.ms, self.position.seq)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    /// Accepts only the canonical text of each spelling, so that one position has one id of each.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        fn number(text: &str) -> Result<u64, InvalidCursor> {
            let canonical = !text.is_empty()
                && (text == "0" || !text.starts_with('0'))
                && text.bytes().all(|b| b.is_ascii_digit());
            if canonical { text.parse().map_err(|_| InvalidCursor) } else { Err(InvalidCursor) }
        }
        if text.len() > EVENT_ID_MAX_BYTES {
            return Err(InvalidCursor);
        }
        if let Some(cursor) = short_id::parse(text) {
            return Ok(cursor);
        }
        let mut parts = text.split('-');
        let (Some(epoch), Some(ms), Some(seq), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidCursor);
        };
        Ok(Self { epoch: epoch.parse()?, position: Position { ms: number(ms)?, seq: number(seq)? } })
    }
}

/// A cursor as text, as it stands in `id:` lines, in `Last-Event-ID` and in JSON bodies. Printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EventId(Arc<str>);

impl EventId {
    /// The text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The position that the text names.
    ///
    /// # Errors
    /// [`InvalidCursor`] when it came from elsewhere and is not an id of this system.
    pub fn cursor(&self) -> Result<Cursor, InvalidCursor> {
        self.0.parse()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The place from which a client asks to continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// No cursor: from now on.
    Live,
    /// The word `earliest`: everything that is kept.
    Earliest,
    /// After this event.
    After(Cursor),
    /// A text that is not an id of this system. Answered with a `GAP`, never with an HTTP error, since a browser never
    /// comes back after one.
    Malformed(String),
}

impl Resume {
    /// Reads a `Last-Event-ID`. Ids that start with `~` are reserved for a vector over several partitions; this
    /// version keeps one partition and treats them as malformed.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "" => Self::Live,
            "earliest" => Self::Earliest,
            _ => text.parse().map_or_else(
                |InvalidCursor| Self::Malformed(text.chars().take(EVENT_ID_MAX_BYTES).collect()),
                Self::After,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch() -> Epoch {
        "k3f9qa".parse().unwrap()
    }

    #[test]
    fn an_id_is_the_stream_id_behind_the_epoch() {
        let cursor = Cursor::new(epoch(), Position { ms: 1_795_303_903_002, seq: 4 });
        assert_eq!(cursor.to_event_id().as_str(), "k3f9qa-1795303903002-4");
        assert_eq!(cursor.to_event_id().cursor(), Ok(cursor));
    }

    /// Clients hold such texts for as long as they like: this table may grow, and nothing in it may ever change.
    #[test]
    fn cursors_that_clients_hold_stay_valid_for_ever() {
        for (text, epoch, ms, seq) in [
            ("k3f9qa-1795303903002-4", "k3f9qa", 1_795_303_903_002, 4),
            ("zzzzzz-0-0", "zzzzzz", 0, 0),
            ("1-18446744073709551615-18446744073709551615", "1", u64::MAX, u64::MAX),
            ("BKEKSw0UeDhGs4", "k3f9qa", 1_795_303_903_002, 4),
            ("A45i0u0000000", "100000", 1_767_225_600_000, 0),
            ("CNJYWVzzzzzzz1000", "zzzzzz", 5_288_840_206_207, 238_328),
        ] {
            let cursor = Cursor::new(epoch.parse().unwrap(), Position { ms, seq });
            assert_eq!(text.parse(), Ok(cursor), "{text}");
            let format = if text.contains('-') { Format::Envelope } else { Format::Data };
            assert_eq!(cursor.spelled(format).to_string(), text);
        }
    }

    #[test]
    fn a_position_without_a_short_spelling_keeps_its_long_one() {
        for text in ["k3f9qa-0-0", "a-1795303903002-4"] {
            let cursor: Cursor = text.parse().unwrap();
            assert_eq!(cursor.spelled(Format::Data).to_string(), text);
        }
    }

    #[test]
    fn only_the_canonical_text_is_an_id() {
        for text in [
            "", "-", "a-1", "a-1-2-3", "a-01-2", "a-1-02", "A-1-2", "a--2", "0a-1-2", "a-1-+2", "~a.1.2",
            "a-1-2 ",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text:?}");
        }
        let huge = format!("a-{}-1", "9".repeat(40));
        assert_eq!(huge.parse::<Cursor>(), Err(InvalidCursor));
    }

    #[test]
    fn the_longest_id_fits_forty_bytes_until_the_year_2286() {
        let epoch = Epoch::from_random(u64::MAX);
        let cursor = Cursor::new(epoch, Position { ms: 9_999_999_999_999, seq: 9_999_999_999_999_999_999 });
        assert!(cursor.to_string().len() <= 41, "{cursor}");
    }

    #[test]
    fn resume_tells_absent_earliest_known_and_malformed_apart() {
        assert_eq!(Resume::parse(""), Resume::Live);
        assert_eq!(Resume::parse("earliest"), Resume::Earliest);
        assert!(matches!(Resume::parse("k3f9qa-5-0"), Resume::After(_)));
        assert!(matches!(Resume::parse("17"), Resume::Malformed(_)));
        assert!(matches!(Resume::parse("~e1.5.0"), Resume::Malformed(_)));
    }

    proptest::proptest! {
        #[test]
        fn every_cursor_round_trips(bits: u64, ms: u64, seq: u64) {
            let cursor = Cursor::new(Epoch::from_random(bits), Position { ms, seq });
            for format in [Format::Envelope, Format::Data] {
                proptest::prop_assert_eq!(cursor.spelled(format).to_string().parse::<Cursor>(), Ok(cursor));
            }
        }

        #[test]
        fn no_text_panics_the_parser(text: String) {
            let kept = matches!(Resume::parse(&text), Resume::Malformed(part) if text.starts_with(&part));
            proptest::prop_assert!(kept || text.is_empty() || text == "earliest" || text.parse::<Cursor>().is_ok());
        }
    }
}
