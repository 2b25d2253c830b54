//! One sealed piece of evidence: a header, a checksum, and compressed bytes. What was damaged on a disk, or cut off in a
//! pipe, is refused by name and never half read. Knows nothing of what is inside. Read [`close`] first.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Version of everything that is sealed: the header, and the form of what is inside. Raised with every change, so that
/// another version is refused instead of misread.
pub const FORMAT: u16 = 4;
/// First bytes of a seal.
const MAGIC: [u8; 4] = *b"SSEB";
/// Magic, format, kind, bytes of the body, checksum of kind and body.
const HEADER: usize = 15;
/// Longest body. A thousand clients that went through a hundred faults each stay far below.
const BODY_MAX: u32 = 1 << 30;
/// Longest content, once it is no longer compressed.
const CONTENT_MAX: u64 = 4 << 30;

/// Why something sealed cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CorruptFrame {
    /// It ends too early.
    #[error("it ends in the middle")]
    Cut,
    /// Something else.
    #[error("it is no evidence of sse-bench")]
    Foreign,
    /// Of another version.
    #[error("it has format {found}, and this sse-bench reads format {FORMAT}")]
    Format {
        /// The format it has.
        found: u16,
    },
    /// Bits that are not what they were.
    #[error("its checksum does not fit")]
    Checksum,
    /// Longer than anything that is written.
    #[error("it claims to be longer than anything that sse-bench writes")]
    TooLong,
    /// The bytes are whole, and make no sense all the same.
    #[error("it cannot be read: {0}")]
    Content(postcard::Error),
    /// The disk or the pipe.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for CorruptFrame {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Cut,
            _ => Self::Io(error),
        }
    }
}

/// What was sealed, still compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What is inside; the writer's word.
    pub kind: u8,
    body: Vec<u8>,
}

/// Seals a value.
///
/// # Errors
/// What the writer says.
pub fn close<T: Serialize>(out: &mut impl Write, kind: u8, content: &T) -> io::Result<()> {
    let packer = DeflateEncoder::new(Vec::new(), Compression::fast());
    let packer = postcard::to_io(content, packer).map_err(io::Error::other)?;
    let body = packer.finish()?;
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= BODY_MAX);
    let length = length.ok_or_else(|| io::Error::other(CorruptFrame::TooLong))?;
    let mut header = Vec::with_capacity(HEADER);
    header.extend(MAGIC);
    header.extend(FORMAT.to_le_bytes());
    header.push(kind);
    header.extend(length.to_le_bytes());
    header.extend(checksum(kind, &body).to_le_bytes());
    out.write_all(&header)?;
    out.write_all(&body)
}

fn checksum(kind: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(body);
    hasher.finalize()
}

/// Reads what comes next; `None` where nothing comes any more.
///
/// # Errors
/// [`CorruptFrame`].
pub fn read(from: &mut impl Read) -> Result<Option<Frame>, CorruptFrame> {
    let mut header = [0; HEADER];
    if from.read(&mut header[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut header[1..])?;
    let [m0, m1, m2, m3, f0, f1, kind, l0, l1, l2, l3, c0, c1, c2, c3] = header;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(CorruptFrame::Foreign);
    }
    let found = u16::from_le_bytes([f0, f1]);
    if found != FORMAT {
        return Err(CorruptFrame::Format { found });
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    if length > BODY_MAX {
        return Err(CorruptFrame::TooLong);
    }
    // Grows with what really comes: a damaged length must not take a gigabyte.
    let mut body = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut body)?;
    if body.len() as u64 != u64::from(length) {
        return Err(CorruptFrame::Cut);
    }
    if checksum(kind, &body) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(CorruptFrame::Checksum);
    }
    Ok(Some(Frame { kind, body }))
}

impl Frame {
    /// What is inside.
    ///
    /// # Errors
    /// [`CorruptFrame`].
    pub fn open<T: DeserializeOwned>(&self) -> Result<T, CorruptFrame> {
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
