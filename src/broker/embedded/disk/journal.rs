//! Reads the journals of a database as they stand on the disk, without the database: it cuts a journal off at the first
//! thing that it cannot read, and everything behind that is gone without a word. Here each batch is checked, and those
//! behind a damage are found. Pure but for [`mend`], which must never remove a byte that it does not keep elsewhere.
//! Read [`scan`] first.
//!
//! A batch is a start (tag, number of items, sequence number), the items, and an end (tag, checksum of the items, the
//! four bytes of [`TRAILER`]). The checksum does not cover the sequence number, but those of a journal ascend: the database
//! leaves out a batch whose number it believes to be on the disk already. A journal is made 64 MiB long, and zeros stand
//! behind its last batch.

use std::fs;
use std::ops::Range;
use std::path::Path;

use super::room::{journal_path, journals};
use crate::broker::embedded::record;
use crate::protocol::Position;

const TRAILER: &[u8] = b"FJL\x03";
const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;

/// What stands in a journal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Journal {
    /// The whole batches.
    pub(super) batches: u64,
    /// What is damaged, in order.
    pub(super) holes: Vec<Hole>,
    /// Bytes of a last batch that was not written to its end: nobody was answered for it.
    pub(super) torn: usize,
}

impl Journal {
    /// Whether nothing was ever written to its end.
    pub(super) fn is_empty(&self) -> bool {
        self.batches == 0 && self.holes.is_empty()
    }
}

/// Bytes that are no whole batch, although there are batches behind them, or their end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) at: Range<usize>,
    /// Message ids that can still be read in it.
    pub(super) ids: Vec<String>,
    /// The first entry of the log behind it in the same journal.
    pub(super) next: Option<Position>,
}

/// What a whole batch says of the log.
struct Batch {
    end: usize,
    /// Its sequence number.
    number: u64,
    /// The first entry of the log in it.
    first: Option<Position>,
}

/// Most message ids that are named.
const IDS_MAX: usize = 10_000;

/// Checks every batch of a journal.
pub(super) fn scan(bytes: &[u8]) -> Journal {
    let bytes = bytes.without_end_zeros();
    let mut journal = Journal::default();
    let (mut at, mut before) = (0, None);
    while at < bytes.len() {
        let batch = read_batch(bytes, at);
        let stray = batch.as_ref().filter(|batch| !is_in_order(bytes, before, batch)).map(|batch| batch.end);
        if let (Some(batch), None) = (batch, stray) {
            journal.batches += 1;
            before = Some(batch.number);
            if let Some(hole) = journal.holes.last_mut() {
                hole.next = hole.next.or(batch.first);
            }
            at = batch.end;
            continue;
        }
        match stray.or_else(|| resume(bytes, at)) {
            Some(end) => {
                journal.holes.push(Hole {
                    at: at..end,
                    ids: ids(bytes.get(at..end).unwrap_or_default()),
                    next: None,
                });
                at = end;
            }
            None => {
                journal.torn = bytes.len() - at;
                break;
            }
        }
    }
    journal
}

/// Whether the number of a batch is above that of the one before it. Where it is also above that of the next one, which is
/// in order itself, it is the damaged one.
fn is_in_order(bytes: &[u8], before: Option<u64>, batch: &Batch) -> bool {
    let next = Fields { bytes, at: batch.end }.start().map(|(_, number)| number);
    let strays = next.is_some_and(|next| before < Some(next) && next <= batch.number);
    before < Some(batch.number) && !strays
}

/// Where the next whole batch begins, or the journal ends behind the end of a batch.
fn resume(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let is_followed = |end: &usize| *end == bytes.len() || read_batch(bytes, *end).is_some();
    // The trailer can stand in an event, too.
    let ends = memchr::memmem::find_iter(rest, TRAILER).map(|found| from + found + TRAILER.len());
    let marked = ends.into_iter().find(is_followed);
    // If only its end is damaged, its fields say where that stands.
    let counted = read_fields(bytes, from).map(|(batch, _)| batch.end).filter(is_followed);
    marked.into_iter().chain(counted).min()
}

fn read_batch(bytes: &[u8], at: usize) -> Option<Batch> {
    read_fields(bytes, at).and_then(|(batch, is_whole)| is_whole.then_some(batch))
}

/// What has the length of a batch, and whether its checksum and its end are right.
fn read_fields(bytes: &[u8], at: usize) -> Option<(Batch, bool)> {
    let mut fields = Fields { bytes, at };
    let (items, number) = fields.start()?;
    let (begin, mut first) = (fields.at, None);
    for _ in 0..items {
        let Some((key, value)) = fields.item()? else { continue };
        first = first.or_else(|| log_position(key, value));
    }
    let checksum = xxhash_rust::xxh3::xxh3_64(bytes.get(begin..fields.at)?);
    let end = (fields.byte()?, fields.number::<8>()?, fields.take(4)?);
    Some((Batch { end: fields.at, number, first }, end == (END, checksum, TRAILER)))
}

/// The position of a log entry. Records of mail have longer keys, other values are no entries.
fn log_position(key: &[u8], value: Option<&[u8]>) -> Option<Position> {
    let position = record::read_position(key).ok()?;
    // Of the values with such a key only events are long enough to be compressed.
    value.is_none_or(record::is_entry).then_some(position)
}

/// Message ids in bytes that may be damaged: the records that say where an id was seen.
fn ids(bytes: &[u8]) -> Vec<String> {
    let mut ids = Vec::new();
    let mut at = 0;
    while at < bytes.len() && ids.len() < IDS_MAX {
        let mut fields = Fields { bytes, at };
        at += 1;
        if fields.byte() != Some(ITEM) {
            continue;
        }
        fields.at -= 1;
        let Some(Some((key, value))) = fields.item() else { continue };
        let is_position = value.is_some_and(|value| value.len() == record::POSITION_BYTES);
        let is_seen = is_position && !key.is_empty() && fields.is_at_a_tag();
        if let (true, Ok(id)) = (is_seen, record::read_message_id(key)) {
            ids.push(id.to_string());
            at = fields.at;
        }
    }
    ids
}

/// Replaces every damaged journal by one of its whole batches. The damaged ones are kept beside it.
pub(super) fn mend(directory: &Path, number: u64, journal: &Journal) -> std::io::Result<()> {
    let path = journal_path(directory, number);
    let bytes = fs::read(&path)?;
    let mut whole = Vec::new();
    let mut from = 0;
    for hole in &journal.holes {
        whole.extend_from_slice(bytes.get(from..hole.at.start).unwrap_or_default());
        from = hole.at.end;
    }
    whole.extend_from_slice(bytes.get(from..).unwrap_or_default().without_end_zeros());
    let new = directory.join(format!("{number}.mended"));
    fs::write(&new, whole)?;
    fs::File::open(&new)?.sync_all()?;
    let kept = (0..).map(|n| directory.join(format!("{number}.damaged-{n}"))).find(|path| !path.exists());
    // A second name for the file, so that a journal stands in its place at every moment.
    if let Some(kept) = kept {
        fs::hard_link(&path, kept)?;
    }
    fs::rename(new, path)?;
    fs::File::open(directory)?.sync_all()
}

/// Whether events may be missing: because of a hole, a journal that was cut, or one that is not there.
pub(super) fn hints_at_a_loss(journals: &[(u64, Journal)]) -> bool {
    let has_hole = journals.iter().any(|(_, journal)| !journal.holes.is_empty());
    // Only the newest one may end in a batch that is not whole.
    let is_cut = journals.iter().rev().skip(1).any(|(_, journal)| journal.torn > 0);
    let is_missing = journals.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a + 1 != *b));
    has_hole || is_cut || is_missing || journals.is_empty()
}

/// All journals of a directory, the oldest first.
pub(super) fn scan_all(directory: &Path) -> std::io::Result<Vec<(u64, Journal)>> {
    let numbers = journals(directory)?;
    numbers
        .into_iter()
        .map(|number| Ok((number, scan(&fs::read(journal_path(directory, number))?))))
        .collect()
}

const PAGE: usize = 4096;

pub(super) trait Zeros {
    fn without_end_zeros(&self) -> &[u8];
}

impl Zeros for [u8] {
    /// The zeros at the end are space that was reserved. Zeros that belong to a batch stand before its trailer.
    fn without_end_zeros(&self) -> &[u8] {
        // Whole pages first: byte by byte, 64 MiB of them take half a second in a build that is not optimised.
        let mut rest = self;
        while let Some((front, page)) = rest.split_last_chunk::<PAGE>()
            && page == &[0; PAGE]
        {
            rest = front;
        }
        let end = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        rest.get(..end).unwrap_or_default()
    }
}

type Item<'a> = (&'a [u8], Option<&'a [u8]>);

/// The unread rest of a journal. Numbers are little-endian.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number<const BYTES: usize>(&mut self) -> Option<u64> {
        let mut number = [0; 8];
        number.get_mut(..BYTES)?.copy_from_slice(self.take(BYTES)?);
        Some(u64::from_le_bytes(number))
    }

    /// The number of items of a batch, and its sequence number.
    fn start(&mut self) -> Option<(u64, u64)> {
        let is_start = self.byte()? == START;
        is_start.then_some((self.number::<4>()?, self.number::<8>()?))
    }

    /// Key and value of an item; without the value where it is compressed. `Some(None)` for a table that was cleared.
    fn item(&mut self) -> Option<Option<Item<'a>>> {
        match self.byte()? {
            ITEM => {}
            CLEAR => return self.take(8).map(|_| None),
            _ => return None,
        }
        let (_kind, compression) = (self.byte()?, self.byte()?);
        self.take(8)?;
        let (key, _length, value) = (self.number::<2>()?, self.number::<4>()?, self.number::<4>()?);
        let key = self.take(usize::try_from(key).ok()?)?;
        let value = self.take(usize::try_from(value).ok()?)?;
        Some(Some((key, (compression == 0).then_some(value))))
    }

    fn is_at_a_tag(&self) -> bool {
        self.bytes.get(self.at).is_none_or(|tag| [START, ITEM, END, CLEAR].contains(tag))
    }
}
