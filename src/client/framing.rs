//! Where the body of a response lies among the bytes of its connection (RFC 9112, 6 and 7). Pure; borrows, and copies
//! nothing. Read [`Framing::next`] first.

use reqwest::Version;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};

/// Most bytes of a line that says how long a chunk is, its extensions included, and of all lines behind the last chunk.
const LINE_MAX: u32 = 16 * 1024;

/// How the body of one response is framed, and how far it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing(State);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The body ends with the connection.
    UntilClose,
    /// So many bytes follow.
    Length(u64),
    /// In the size of a chunk; `None` before its first digit.
    Size(Option<u64>),
    /// Behind the size of a chunk, up to the end of the line; how many bytes of it were seen.
    Extension(u64, u32),
    /// In a chunk with so many bytes left.
    Chunk(u64),
    /// The end of a chunk: CR, then LF.
    ChunkEnd { has_cr: bool },
    /// Behind the last chunk: whether the line is empty so far, and how many bytes were seen.
    Trailer { is_blank: bool, seen: u32 },
    /// The body has ended.
    Over,
}

/// The bytes are not of this framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FramingError {
    /// The size of a chunk is no hexadecimal number below 2^64.
    #[error("the size of a chunk is no number")]
    Size,
    /// A chunk does not end with CR LF.
    #[error("a chunk is longer than its size")]
    ChunkEnd,
    /// The line with the size of a chunk, or the lines behind the last chunk, do not end.
    #[error("a line beside the chunks is too long")]
    TooLong,
    /// The connection was closed in the middle of the body.
    #[error("the connection was closed before the end of the body")]
    Closed,
    /// Several lengths, or one that is no number.
    #[error("the length of the body is unclear")]
    Length,
    /// `Transfer-Encoding` in a response of HTTP/1.0.
    #[error("HTTP/1.0 knows no Transfer-Encoding")]
    OldVersion,
}

impl Framing {
    /// The framing of a response with status 200 to a `GET`.
    ///
    /// # Errors
    /// The head does not say where the body ends.
    pub(super) fn of(version: Version, headers: &HeaderMap) -> Result<Self, FramingError> {
        if let Some(last) = headers.get_all(TRANSFER_ENCODING).iter().next_back() {
            if version == Version::HTTP_10 {
                return Err(FramingError::OldVersion);
            }
            let last = last.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
            let is_chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
            return Ok(Self(if is_chunked { State::Size(None) } else { State::UntilClose }));
        }
        let mut length = None;
        for value in headers.get_all(CONTENT_LENGTH) {
            for part in value.to_str().map_err(|_| FramingError::Length)?.split(',') {
                let digits = Some(part.trim()).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
                let part =
                    digits.and_then(|digits| digits.parse::<u64>().ok()).ok_or(FramingError::Length)?;
                if length.replace(part).is_some_and(|before| before != part) {
                    return Err(FramingError::Length);
                }
            }
        }
        Ok(Self(match length {
            None => State::UntilClose,
            Some(0) => State::Over,
            Some(length) => State::Length(length),
        }))
    }

    /// The next bytes of the body; `input` is consumed up to them. `None`: all of it was consumed, or the body has ended.
    ///
    /// # Errors
    /// [`FramingError`], and then the rest of the connection means nothing.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, FramingError> {
        loop {
            match &mut self.0 {
                State::Over => return Ok(None),
                _ if input.is_empty() => return Ok(None),
                State::UntilClose => return Ok(Some(std::mem::take(input))),
                State::Length(left) => {
                    let piece = take(input, left);
                    if *left == 0 {
                        self.0 = State::Over;
                    }
                    return Ok(Some(piece));
                }
                State::Chunk(left) => {
                    let piece = take(input, left);
                    if *left == 0 {
                        self.0 = State::ChunkEnd { has_cr: false };
                    }
                    return Ok(Some(piece));
                }
                _ => {
                    let (byte, rest) = input.split_first().unwrap_or((&0, &[]));
                    *input = rest;
                    self.0 = self.0.after(*byte)?;
                }
            }
        }
    }

    /// Whether the body has ended by itself.
    #[must_use]
    pub(super) fn is_over(&self) -> bool {
        self.0 == State::Over
    }

    /// The connection was closed.
    ///
    /// # Errors
    /// [`FramingError::Closed`]: in the middle of the body.
    pub(super) fn close(&self) -> Result<(), FramingError> {
        match self.0 {
            State::UntilClose | State::Over => Ok(()),
            _ => Err(FramingError::Closed),
        }
    }
}

/// At most `left` bytes off the front.
fn take<'a>(input: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    let (piece, rest) = input.split_at(length);
    *left -= length as u64;
    *input = rest;
    piece
}

impl State {
    /// The state behind a byte that is not of the body.
    fn after(self, byte: u8) -> Result<Self, FramingError> {
        let line = |seen: u32| if seen < LINE_MAX { Ok(seen + 1) } else { Err(FramingError::TooLong) };
        Ok(match self {
            Self::Size(size) => match (char::from(byte).to_digit(16), size) {
                (Some(digit), size) => {
                    let shifted = size.unwrap_or(0).checked_mul(16).ok_or(FramingError::Size)?;
                    Self::Size(Some(shifted | u64::from(digit)))
                }
                (None, Some(size)) if matches!(byte, b'\r' | b';' | b' ' | b'\t') => Self::Extension(size, 0),
                (None, _) => return Err(FramingError::Size),
            },
            Self::Extension(size, seen) => match (byte, size) {
                (b'\n', 0) => Self::Trailer { is_blank: true, seen: 0 },
                (b'\n', size) => Self::Chunk(size),
                (_, size) => Self::Extension(size, line(seen)?),
            },
            Self::ChunkEnd { has_cr } => match (has_cr, byte) {
                (false, b'\r') => Self::ChunkEnd { has_cr: true },
                (true, b'\n') => Self::Size(None),
                _ => return Err(FramingError::ChunkEnd),
            },
            Self::Trailer { is_blank, seen } => match byte {
                b'\n' if is_blank => Self::Over,
                b'\n' => Self::Trailer { is_blank: true, seen: line(seen)? },
                b'\r' => Self::Trailer { is_blank, seen: line(seen)? },
                _ => Self::Trailer { is_blank: false, seen: line(seen)? },
            },
            Self::UntilClose | Self::Length(_) | Self::Chunk(_) | Self::Over => self,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(version: Version, headers: &[(&'static str, &'static str)]) -> Result<Framing, FramingError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Framing::of(version, &map)
    }

    /// The body, whether it ended by itself, and what a close says then; read in pieces of `step` bytes.
    fn read(mut framing: Framing, bytes: &[u8], step: usize) -> Result<(Vec<u8>, bool, bool), FramingError> {
        let mut body = Vec::new();
        for mut part in bytes.chunks(step) {
            while let Some(piece) = framing.next(&mut part)? {
                body.extend_from_slice(piece);
            }
        }
        Ok((body, framing.is_over(), framing.close().is_ok()))
    }

    #[track_caller]
    fn check(
        headers: &[(&'static str, &'static str)],
        bytes: &str,
        expected: Result<(&str, bool, bool), FramingError>,
    ) {
        let framing = framing(Version::HTTP_11, headers).unwrap();
        for step in 1..=bytes.len() {
            let expected = expected.map(|(body, over, closes)| (body.as_bytes().to_vec(), over, closes));
            assert_eq!(read(framing, bytes.as_bytes(), step), expected, "{bytes:?} in steps of {step}");
        }
    }

    #[test]
    fn a_body_is_found_however_its_bytes_are_cut() {
        const CHUNKED: &[(&str, &str)] = &[("transfer-encoding", "gzip, Chunked")];
        check(CHUNKED, "5\r\nhello\r\n0006;a=b\r\n world\r\n", Ok(("hello world", false, false)));
        check(CHUNKED, "5\r\nhello\r\n0\r\n\r\nrest", Ok(("hello", true, true)));
        check(CHUNKED, "1 \r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", Ok(("x", true, true)));
        check(CHUNKED, "1\r\nx\r\n0\r\nA: b\r\n", Ok(("x", false, false)));
        check(&[("content-length", "3, 3")], "hello", Ok(("hel", true, true)));
        check(&[("content-length", "9")], "hello", Ok(("hello", false, false)));
        check(&[], "hello", Ok(("hello", false, true)));
        check(&[("transfer-encoding", "gzip")], "hello", Ok(("hello", false, true)));
    }

    #[test]
    fn what_is_no_chunk_is_told() {
        const CHUNKED: &[(&str, &str)] = &[("transfer-encoding", "chunked")];
        check(CHUNKED, "x\r\n", Err(FramingError::Size));
        check(CHUNKED, "\r\n", Err(FramingError::Size));
        check(CHUNKED, "11111111111111111\r\n", Err(FramingError::Size));
        check(CHUNKED, "1\r\nxy", Err(FramingError::ChunkEnd));
        let long = format!("1;{}\r\n", "x".repeat(20_000));
        let framing = framing(Version::HTTP_11, CHUNKED).unwrap();
        assert_eq!(read(framing, long.as_bytes(), 999), Err(FramingError::TooLong));
    }

    #[test]
    fn a_head_that_does_not_say_where_its_body_ends_is_refused() {
        let length = |value| framing(Version::HTTP_11, &[("content-length", value)]);
        assert_eq!(length("3, 4"), Err(FramingError::Length));
        assert_eq!(length("-1"), Err(FramingError::Length));
        assert!(length("0").unwrap().is_over());
        let chunked = [("transfer-encoding", "chunked")];
        assert_eq!(framing(Version::HTTP_10, &chunked), Err(FramingError::OldVersion));
    }
}
