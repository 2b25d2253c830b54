//! A frame: a header with length and checksum, and a compressed value. A frame that was damaged on a disk or truncated in
//! a pipe is refused with the reason and never read in part. Knows nothing of the values. Read [`write`] first.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Version of the header and of all values in frames. Raised with every change, so that another version is refused and not
/// misread.
pub const FORMAT: u16 = 5;
/// The oldest version that is still read.
pub(super) const OLDEST_FORMAT: u16 = 4;
/// First bytes of a frame.
const MAGIC: [u8; 4] = *b"SSEB";
/// Magic, format, kind, bytes of the body, checksum of kind and body.
const HEADER: usize = 15;
/// Longest body, in bytes. A thousand clients that went through a hundred faults each need far less.
const BODY_MAX: u32 = 1 << 30;
/// Longest value, in bytes before compression.
const CONTENT_MAX: u64 = 4 << 30;

/// Why a frame cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CorruptFrame {
    /// The bytes end within the frame.
    #[error("it is truncated")]
    Truncated,
    /// The first bytes are not those of a frame, or bytes follow it.
    #[error("not an sse-bench evidence file")]
    NotAFrame,
    /// The frame is of another version.
    #[error("its format is {found}; this sse-bench reads formats {OLDEST_FORMAT} to {FORMAT}")]
    Format { found: u16 },
    /// The body is not the one that was written.
    #[error("its checksum is wrong")]
    Checksum,
    /// The header claims a length that is never written.
    #[error("its length is more than sse-bench ever writes")]
    TooLong,
    /// The body is intact but not a valid value.
    #[error("its content is not valid: {0}")]
    Content(postcard::Error),
    /// Reading from the disk or the pipe failed.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for CorruptFrame {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}

/// A frame that was read, its value still compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// The version of the value.
    pub(super) format: u16,
    /// The type of the value, chosen by the writer.
    pub(super) kind: u8,
    body: Vec<u8>,
}

/// Writes a value as a frame.
///
/// # Errors
/// Those of `out`, and a value that is too long.
pub(super) fn write<T: Serialize>(out: &mut impl Write, kind: u8, content: &T) -> io::Result<()> {
    let packer = DeflateEncoder::new(Vec::new(), Compression::fast());
    let packer = postcard::to_io(content, packer).map_err(io::Error::other)?;
    let body = packer.finish()?;
    out.write_all(&header(FORMAT, kind, &body)?)?;
    out.write_all(&body)
}

/// What stands before a body.
pub(super) fn header(format: u16, kind: u8, body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= BODY_MAX);
    let length = length.ok_or_else(|| io::Error::other(CorruptFrame::TooLong))?;
    let mut header = Vec::with_capacity(HEADER);
    header.extend(MAGIC);
    header.extend(format.to_le_bytes());
    header.push(kind);
    header.extend(length.to_le_bytes());
    header.extend(checksum(kind, body).to_le_bytes());
    Ok(header)
}

fn checksum(kind: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(body);
    hasher.finalize()
}

/// Reads the next frame; `None` at the end of the input.
///
/// # Errors
/// [`CorruptFrame`].
pub(super) fn read(from: &mut impl Read) -> Result<Option<Frame>, CorruptFrame> {
    let mut header = [0; HEADER];
    if from.read(&mut header[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut header[1..])?;
    let [m0, m1, m2, m3, f0, f1, kind, l0, l1, l2, l3, c0, c1, c2, c3] = header;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(CorruptFrame::NotAFrame);
    }
    let found = u16::from_le_bytes([f0, f1]);
    if !(OLDEST_FORMAT..=FORMAT).contains(&found) {
        return Err(CorruptFrame::Format { found });
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    if length > BODY_MAX {
        return Err(CorruptFrame::TooLong);
    }
    // The buffer grows with the bytes that arrive: a damaged length must not allocate a gigabyte.
    let mut body = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut body)?;
    if body.len() as u64 != u64::from(length) {
        return Err(CorruptFrame::Truncated);
    }
    if checksum(kind, &body) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(CorruptFrame::Checksum);
    }
    Ok(Some(Frame { format: found, kind, body }))
}

impl Frame {
    /// The value.
    ///
    /// # Errors
    /// [`CorruptFrame`].
    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, CorruptFrame> {
        let mut content = Vec::new();
        let read = DeflateDecoder::new(self.body.as_slice()).take(CONTENT_MAX).read_to_end(&mut content)?;
        if read as u64 == CONTENT_MAX {
            return Err(CorruptFrame::TooLong);
        }
        match postcard::take_from_bytes(&content) {
            Ok((value, [])) => Ok(value),
            Ok((_, _)) => Err(CorruptFrame::Content(postcard::Error::DeserializeBadEncoding)),
            Err(error) => Err(CorruptFrame::Content(error)),
        }
    }
}
