//! The meaning of one line of a stream. Works on bytes, since field names are compared literally and line ends are
//! ASCII; must never allocate.

/// A line without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Dispatches the block before it.
    Blank,
    /// Starts with a colon; the text behind it, untrimmed.
    Comment(&'a [u8]),
    /// A piece of the payload.
    Data(&'a [u8]),
    /// The event type.
    Event(&'a [u8]),
    /// The last event ID.
    Id(&'a [u8]),
    /// The reconnection time in milliseconds, saturated.
    Retry(u64),
    /// A field of another name, an `id` that holds NUL, a `retry` that is not a number: ignored.
    Ignored,
}

impl<'a> Line<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Self {
        // The first byte tells the fields apart, so the search for the colon is never needed.
        match line.first() {
            None => Self::Blank,
            Some(b':') => Self::Comment(&line[1..]),
            Some(b'd') => value(line, b"data").map_or(Self::Ignored, Self::Data),
            Some(b'e') => value(line, b"event").map_or(Self::Ignored, Self::Event),
            Some(b'i') => match value(line, b"id") {
                Some(id) if memchr::memchr(0, id).is_none() => Self::Id(id),
                Some(_) | None => Self::Ignored,
            },
            Some(b'r') => value(line, b"retry").and_then(digits).map_or(Self::Ignored, Self::Retry),
            Some(_) => Self::Ignored,
        }
    }
}

/// The value of the field if it has this name: the text behind the first colon, less exactly one space.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

/// A number in ASCII digits only. An empty one is ignored: the standard leaves it open, and engines differ (reset to 3
/// s, or 500 ms). One beyond 64 bits is the largest there is.
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, digit| {
        digit.is_ascii_digit().then(|| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Line<'_>) {
        assert_eq!(Line::parse(line.as_bytes()), expected, "{line:?}");
    }

    #[test]
    fn one_space_behind_the_first_colon_is_not_part_of_the_value() {
        check("data:  a: b", Line::Data(b" a: b"));
        check("data:a", Line::Data(b"a"));
        check("data:\ta", Line::Data(b"\ta"));
        check("data: ", Line::Data(b""));
        check("data", Line::Data(b""));
        check(": hi", Line::Comment(b" hi"));
    }

    #[test]
    fn names_are_compared_literally() {
        for line in ["Data: a", " data: a", "data : a", "dat: a", "datas: a", "\u{feff}data: a", "comment: a"]
        {
            check(line, Line::Ignored);
        }
    }

    #[test]
    fn only_digits_are_a_reconnection_time() {
        check("retry: 0010", Line::Retry(10));
        check("retry: 99999999999999999999999", Line::Retry(u64::MAX));
        for line in
            ["retry", "retry:", "retry: ", "retry: +5", "retry: 5 ", "retry:  5", "retry: 1e3", "retry: ٣"]
        {
            check(line, Line::Ignored);
        }
    }

    #[test]
    fn an_id_with_nul_is_ignored() {
        check("id: a\0", Line::Ignored);
        check("id", Line::Id(b""));
    }
}
