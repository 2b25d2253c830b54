//! Content codings of a response: gzip, deflate, br and zstd, decoded as a stream. What the server has flushed comes out
//! at once. No I/O. Read [`Unpacker::next`] first.

use std::fmt;
use std::io;
use std::ops::{Index, IndexMut};

use brotli_decompressor::{
    Allocator, BrotliDecompressStream, BrotliResult, BrotliState, SliceWrapper, SliceWrapperMut,
};
use bytes::{Buf as _, Bytes};
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

/// What browsers send in `Accept-Encoding`.
pub const BROWSERS_ACCEPT: &str = "gzip, deflate, br, zstd";
/// Bytes that one step decodes at most: a few bytes may stand for gigabytes.
const STEP_OUT: usize = 32 * 1024;
/// Bytes that one step of deflate takes, which at its largest ratio (1,032) are 4 MiB of output.
const STEP_IN: usize = 4 * 1024;
/// Largest window of zstd, as logarithm: 8 MiB (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;

/// A content coding that is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952, also in several members.
    Gzip,
    /// RFC 1950, or RFC 1951 as some servers send it.
    Deflate,
    /// Brotli, RFC 7932.
    Brotli,
    /// Zstandard, RFC 8878.
    Zstd,
}

impl Coding {
    /// In the order of [`BROWSERS_ACCEPT`].
    pub const ALL: [Self; 4] = [Self::Gzip, Self::Deflate, Self::Brotli, Self::Zstd];

    /// As in `Accept-Encoding` and `Content-Encoding`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// A value of `Accept-Encoding` that only names what is decoded here, or `identity`.
    ///
    /// # Errors
    /// The word that is not known, and those that are.
    pub fn accept(text: &str) -> Result<String, String> {
        let is_known =
            |word: &str| word == "identity" || Self::ALL.iter().any(|coding| coding.name() == word);
        match text.split(',').map(str::trim).find(|word| !is_known(word)) {
            None => Ok(text.to_owned()),
            Some(word) => {
                Err(format!("{word:?} is not known; allowed are {BROWSERS_ACCEPT} in one text, and identity"))
            }
        }
    }

    /// The coding of a response; `None`: it is not encoded. The error is the value of a header that cannot be decoded.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, String> {
        let values = headers.get_all(CONTENT_ENCODING).into_iter();
        let values: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let all = values.join(", ");
        let word = all.trim().to_ascii_lowercase();
        if word.is_empty() || word == "identity" {
            return Ok(None);
        }
        // RFC 9110, 8.4.1.3: x-gzip is gzip.
        let word = word.strip_prefix("x-").filter(|word| *word == "gzip").unwrap_or(&word);
        Self::ALL.into_iter().find(|coding| coding.name() == word).map(Some).ok_or(all)
    }
}

/// Decodes the body of one response.
pub(super) struct Unpacker {
    coding: Coding,
    /// Received and not decoded yet.
    input: Bytes,
    /// Whether the last step filled its room, so that the decoder may hold more.
    is_full: bool,
    decoder: Decoder,
}

enum Decoder {
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    /// The first byte says whether there is a zlib header.
    Deflate(Option<Deflate>),
    Brotli(Box<BrotliState<Heap, Heap, Heap>>),
    Zstd(DCtx<'static>),
}

enum Deflate {
    Zlib(Box<ZlibDecoder<Vec<u8>>>),
    Raw(Box<DeflateDecoder<Vec<u8>>>),
}

impl Unpacker {
    pub(super) fn new(coding: Coding) -> Self {
        let decoder = match coding {
            Coding::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Coding::Deflate => Decoder::Deflate(None),
            Coding::Brotli => Decoder::Brotli(Box::new(BrotliState::new_strict(Heap, Heap, Heap))),
            Coding::Zstd => {
                let mut context = DCtx::create();
                let limited = context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG));
                debug_assert!(limited.is_ok(), "the logarithm is in the range of the library");
                Decoder::Zstd(context)
            }
        };
        Self { coding, input: Bytes::new(), is_full: false, decoder }
    }

    pub(super) fn coding(&self) -> Coding {
        self.coding
    }

    /// Takes a chunk of the body. All before it must have been decoded.
    pub(super) fn feed(&mut self, chunk: Bytes) {
        debug_assert!(self.input.is_empty(), "the chunk before is not decoded yet");
        self.input = chunk;
    }

    /// The next decoded bytes; `None`: all that was fed is decoded as far as that is possible.
    ///
    /// # Errors
    /// The bytes are not of this coding.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, String> {
        while !self.input.is_empty() || self.is_full {
            let before = self.input.len();
            let out =
                self.step().map_err(|error| format!("cannot decode {}: {error}", self.coding.name()))?;
            self.is_full = out.len() >= STEP_OUT;
            if !out.is_empty() {
                return Ok(Some(Bytes::from(out)));
            }
            if self.input.len() == before {
                // It stands behind the end of the encoded body.
                self.input = Bytes::new();
            }
        }
        Ok(None)
    }

    /// Decodes some bytes. Consumes nothing and returns nothing when more are needed.
    fn step(&mut self) -> io::Result<Vec<u8>> {
        let input = &mut self.input;
        match &mut self.decoder {
            Decoder::Gzip(decoder) => inflate(&mut **decoder, MultiGzDecoder::get_mut, input),
            Decoder::Deflate(deflate) => {
                let Some(first) = input.first() else { return Ok(Vec::new()) };
                match deflate.get_or_insert_with(|| Deflate::by_first(*first)) {
                    Deflate::Zlib(decoder) => inflate(&mut **decoder, ZlibDecoder::get_mut, input),
                    Deflate::Raw(decoder) => inflate(&mut **decoder, DeflateDecoder::get_mut, input),
                }
            }
            Decoder::Brotli(state) => unbrotli(state, input),
            Decoder::Zstd(context) => unzstd(context, input),
        }
    }
}

impl Deflate {
    /// RFC 1950, 2.2: the low bits of a zlib header are 8, which no encoder begins a raw stream with.
    fn by_first(first: u8) -> Self {
        if first & 0x8f == 8 {
            Self::Zlib(Box::new(ZlibDecoder::new(Vec::new())))
        } else {
            Self::Raw(Box::new(DeflateDecoder::new(Vec::new())))
        }
    }
}

fn inflate<D: io::Write>(
    decoder: &mut D,
    decoded: impl Fn(&mut D) -> &mut Vec<u8>,
    input: &mut Bytes,
) -> io::Result<Vec<u8>> {
    let part = input.split_to(input.len().min(STEP_IN));
    if part.is_empty() {
        return Ok(Vec::new());
    }
    decoder.write_all(&part)?;
    decoder.flush()?;
    Ok(std::mem::take(decoded(decoder)))
}

fn unbrotli(state: &mut BrotliState<Heap, Heap, Heap>, input: &mut Bytes) -> io::Result<Vec<u8>> {
    let mut out = vec![0; STEP_OUT];
    let (mut left, mut taken) = (input.len(), 0);
    let (mut room, mut written, mut total) = (out.len(), 0, 0);
    let result = BrotliDecompressStream(
        &mut left,
        &mut taken,
        input,
        &mut room,
        &mut written,
        &mut out,
        &mut total,
        state,
    );
    input.advance(taken);
    out.truncate(written);
    match result {
        BrotliResult::ResultFailure => Err(io::Error::from(io::ErrorKind::InvalidData)),
        BrotliResult::ResultSuccess | BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Ok(out),
    }
}

fn unzstd(context: &mut DCtx<'static>, input: &mut Bytes) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(STEP_OUT);
    let mut source = InBuffer::around(input);
    let hint = context.decompress_stream(&mut OutBuffer::around(&mut out), &mut source);
    hint.map_err(|code| io::Error::other(get_error_name(code)))?;
    let taken = source.pos();
    input.advance(taken);
    Ok(out)
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker").field("coding", &self.coding).finish_non_exhaustive()
    }
}

/// Where the decoder of Brotli takes its memory from: it brings none of its own.
#[derive(Debug, Clone, Copy)]
struct Heap;

#[derive(Debug, Default)]
struct Memory<T>(Vec<T>);

impl<T: Clone + Default> Allocator<T> for Heap {
    type AllocatedMemory = Memory<T>;

    fn alloc_cell(&mut self, len: usize) -> Memory<T> {
        Memory(vec![T::default(); len])
    }

    fn free_cell(&mut self, _: Memory<T>) {}
}

impl<T> SliceWrapper<T> for Memory<T> {
    fn slice(&self) -> &[T] {
        &self.0
    }
}

impl<T> SliceWrapperMut<T> for Memory<T> {
    fn slice_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T> Index<usize> for Memory<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.0[index]
    }
}

impl<T> IndexMut<usize> for Memory<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.0[index]
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Three events, each flushed by its encoder (zlib and brotli of Node.js 20) as they were written.
    const FLUSHED: [(Coding, [&str; 3]); 4] = [
        (
            Coding::Gzip,
            [
                "1f8b0800000000000003ca4cb15230e44a492c49b452a856ca53b232d4512a49ad2851b2524ac40b946ab9b800000000ffff",
                "ca4cb15230e24a492c49b452a856ca53b232d2512a49ad2851b2524ac40b946ab9b800000000ffff",
                "ca4cb15230e64a492c49b452a856ca53b232d6512a49ad2851b2524ac40b946ab9b800000000ffff",
            ],
        ),
        (
            Coding::Deflate,
            [
                "789cca4cb15230e44a492c49b452a856ca53b232d4512a49ad2851b2524ac40b946ab9b800000000ffff",
                "ca4cb15230e24a492c49b452a856ca53b232d2512a49ad2851b2524ac40b946ab9b800000000ffff",
                "ca4cb15230e64a492c49b452a856ca53b232d6512a49ad2851b2524ac40b946ab9b800000000ffff",
            ],
        ),
        (
            Coding::Deflate,
            [
                "ca4cb15230e44a492c49b452a856ca53b232d4512a49ad2851b2524ac40b946ab9b800000000ffff",
                "ca4cb15230e24a492c49b452a856ca53b232d2512a49ad2851b2524ac40b946ab9b800000000ffff",
                "ca4cb15230e64a492c49b452a856ca53b232d6512a49ad2851b2524ac40b946ab9b800000000ffff",
            ],
        ),
        (
            Coding::Brotli,
            [
                "0b1e00f8ad0aecb67ed09d3c7b02856a3e0b77672cc958d242216344f61224ccad74fa5a244c876ed2218a4441c3dad09b8d48aa4a03",
                "e00180df48a93abc4b1990b4d2212b27d20926ba28",
                "e001805f62260548c28900402e03",
            ],
        ),
    ];

    fn bytes(hex: &str) -> Bytes {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(byte).collect::<Vec<_>>().into()
    }

    fn event(number: usize) -> String {
        format!("id: {number}\ndata: {{\"n\":{number},\"text\":\"{}\"}}\n\n", "a".repeat(30))
    }

    fn unpacked(unpacker: &mut Unpacker, chunk: Bytes) -> Vec<u8> {
        unpacker.feed(chunk);
        let mut all = Vec::new();
        while let Some(bytes) = unpacker.next().unwrap() {
            assert!(!bytes.is_empty());
            all.extend_from_slice(&bytes);
        }
        all
    }

    fn zstd(flushed: &[String]) -> Vec<Bytes> {
        let mut context = zstd_safe::CCtx::create();
        let pack = |text: &String| {
            let mut out = Vec::with_capacity(4_096);
            let mut to = OutBuffer::around(&mut out);
            context.compress_stream(&mut to, &mut InBuffer::around(text.as_bytes())).unwrap();
            context.flush_stream(&mut to).unwrap();
            Bytes::from(out)
        };
        flushed.iter().map(pack).collect()
    }

    /// Each stream as its flushed parts.
    fn streams() -> Vec<(Coding, Vec<Bytes>)> {
        let known = FLUSHED.map(|(coding, parts)| (coding, parts.map(bytes).to_vec()));
        let zstd = (Coding::Zstd, zstd(&[1, 2, 3].map(event)));
        known.into_iter().chain([zstd]).collect()
    }

    #[test]
    fn what_was_flushed_comes_out_at_once() {
        for (coding, parts) in streams() {
            let mut unpacker = Unpacker::new(coding);
            for (number, part) in (1..).zip(parts) {
                let out = unpacked(&mut unpacker, part);
                assert_eq!(String::from_utf8_lossy(&out), event(number), "{coding:?}");
            }
        }
    }

    #[test]
    fn bytes_may_come_one_by_one() {
        for (coding, parts) in streams() {
            let mut unpacker = Unpacker::new(coding);
            let single = parts.concat().into_iter().map(|byte| Bytes::from(vec![byte]));
            let out: Vec<u8> = single.flat_map(|byte| unpacked(&mut unpacker, byte)).collect();
            assert_eq!(String::from_utf8_lossy(&out), [1, 2, 3].map(event).concat(), "{coding:?}");
        }
    }

    #[test]
    fn a_few_bytes_that_stand_for_many_come_out_in_steps() {
        let zeros = vec![0; 40_000_000];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&zeros).unwrap();
        let mut zstd = Vec::with_capacity(zstd_safe::compress_bound(zeros.len()));
        zstd_safe::compress(&mut zstd, &zeros, 1).unwrap();
        for (coding, packed) in [(Coding::Gzip, gzip.finish().unwrap()), (Coding::Zstd, zstd)] {
            let mut unpacker = Unpacker::new(coding);
            unpacker.feed(packed.into());
            let mut total = 0;
            while let Some(bytes) = unpacker.next().unwrap() {
                assert!(bytes.len() <= 8 << 20, "{coding:?}: {}", bytes.len());
                total += bytes.len();
            }
            assert_eq!(total, zeros.len(), "{coding:?}");
        }
    }

    #[test]
    fn bytes_of_no_coding_are_an_error() {
        for coding in Coding::ALL {
            let mut unpacker = Unpacker::new(coding);
            unpacker.feed(Bytes::from_static(
                b"data: this is not compressed at all, though it is said to be\n\n",
            ));
            let told = std::iter::from_fn(|| unpacker.next().transpose()).find_map(Result::err);
            assert!(told.is_some_and(|told| told.contains(coding.name())), "{coding:?}");
        }
    }

    #[test]
    fn a_header_names_one_coding_or_none() {
        let of = |value: &'static str| {
            Coding::of(&HeaderMap::from_iter([(CONTENT_ENCODING, value.parse().unwrap())]))
        };
        assert_eq!(Coding::of(&HeaderMap::new()), Ok(None));
        assert_eq!((of("identity"), of("")), (Ok(None), Ok(None)));
        assert_eq!((of("GZip"), of("x-gzip")), (Ok(Some(Coding::Gzip)), Ok(Some(Coding::Gzip))));
        assert_eq!((of("br"), of("zstd")), (Ok(Some(Coding::Brotli)), Ok(Some(Coding::Zstd))));
        assert_eq!((of("gzip, br"), of("lzma")), (Err("gzip, br".to_owned()), Err("lzma".to_owned())));
        let all = Coding::ALL.map(Coding::name).join(", ");
        assert_eq!(all, BROWSERS_ACCEPT);
    }
}
