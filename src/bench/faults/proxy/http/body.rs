//! Where a body of HTTP/1 ends, and which of its bytes are the payload. Never holds payload. Read [`Framing::next`].

use bytes::Bytes;

/// Longest line that frames a chunk, in bytes.
const LINE_MAX: usize = 4_096;

/// How a body is framed, and what is left of it.
#[derive(Debug)]
pub(super) enum Framing {
    /// There is no body.
    None,
    /// So many bytes are left.
    Length(u64),
    Chunked(Chunks),
    /// The body ends with the connection.
    UntilClose,
}

/// A chunked body.
#[derive(Debug)]
pub(super) struct Chunks {
    place: Place,
    /// The unfinished line that frames a chunk.
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Size,
    /// So many bytes of the chunk are left.
    Data(u64),
    DataEnd,
    Trailer,
    End,
}

/// A piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Payload(Bytes),
    /// Bytes that only frame a chunk.
    Frame(Bytes),
    /// Bytes behind the last chunk.
    Tail(Bytes),
    /// The body is over.
    End,
    /// The body is not framed as its head says.
    Broken,
}

impl Framing {
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunks { place: Place::Size, line: Vec::new() })
    }

    /// Whether the next byte of payload begins a chunk, or the body has none.
    pub(super) fn is_between_chunks(&self) -> bool {
        match self {
            Self::Chunked(chunks) => matches!(chunks.place, Place::Size) && chunks.line.is_empty(),
            Self::None | Self::Length(_) | Self::UntilClose => true,
        }
    }

    /// Whether the body is known to be over.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::None | Self::Length(0) => true,
            Self::Chunked(chunks) => chunks.place == Place::End,
            Self::Length(_) | Self::UntilClose => false,
        }
    }

    /// Takes the next piece off the front; `None`: more bytes are needed.
    pub(super) fn next(&mut self, input: &mut Bytes) -> Option<Part> {
        match self {
            Self::None | Self::Length(0) => Some(Part::End),
            Self::Length(left) => {
                let piece = take(input, *left)?;
                *left -= piece.len() as u64;
                Some(Part::Payload(piece))
            }
            Self::UntilClose => take(input, u64::MAX).map(Part::Payload),
            Self::Chunked(chunks) => chunks.next(input),
        }
    }
}

impl Chunks {
    fn next(&mut self, input: &mut Bytes) -> Option<Part> {
        match self.place {
            Place::End => Some(Part::End),
            Place::Data(left) => {
                let piece = take(input, left)?;
                let left = left - piece.len() as u64;
                self.place = if left == 0 { Place::DataEnd } else { Place::Data(left) };
                Some(Part::Payload(piece))
            }
            Place::Size | Place::DataEnd | Place::Trailer => self.next_line(input),
        }
    }

    fn next_line(&mut self, input: &mut Bytes) -> Option<Part> {
        let end = memchr::memchr(b'\n', input).map(|end| end + 1);
        let piece = input.split_to(end.unwrap_or(input.len()));
        self.line.extend_from_slice(&piece);
        if self.line.len() > LINE_MAX {
            return Some(Part::Broken);
        }
        end?;
        let line = std::mem::take(&mut self.line);
        let is_blank = line == b"\r\n" || line == b"\n";
        match self.place {
            Place::Size => {
                let Ok(httparse::Status::Complete((_, size))) = httparse::parse_chunk_size(&line) else {
                    return Some(Part::Broken);
                };
                self.place = if size == 0 { Place::Trailer } else { Place::Data(size) };
                Some(if size == 0 { Part::Tail(line.into()) } else { Part::Frame(line.into()) })
            }
            Place::DataEnd if !is_blank => Some(Part::Broken),
            Place::DataEnd => {
                self.place = Place::Size;
                Some(Part::Frame(line.into()))
            }
            Place::Trailer | Place::Data(_) | Place::End => {
                if is_blank {
                    self.place = Place::End;
                }
                Some(Part::Tail(line.into()))
            }
        }
    }
}

fn take(input: &mut Bytes, most: u64) -> Option<Bytes> {
    let length = input.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    (length > 0).then(|| input.split_to(length))
}
