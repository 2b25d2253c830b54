//! The numbers of a log once more, in a file beside the database, at most a second old. They say how many events there
//! must be if the database comes back with fewer: a journal that was cut or deleted leaves no other trace. Read [`read`]
//! first.

use std::fs;
use std::path::Path;

use crate::broker::embedded::record;
use crate::broker::embedded::tables::Meta;

/// The file. Its checksum is in front of the numbers.
pub(super) const NAME: &str = "numbers";

/// The numbers, if they are there and whole.
pub(super) fn read(directory: &Path) -> Option<Meta> {
    let bytes = fs::read(directory.join(NAME)).ok()?;
    let (checksum, record) = bytes.split_first_chunk::<4>()?;
    if u32::from_be_bytes(*checksum) != crc32fast::hash(record) {
        return None;
    }
    record::read_meta(record).ok()
}

/// Writes the numbers; a file that is written halfway never stands in the place of a whole one.
pub(super) fn write(directory: &Path, meta: &Meta) -> std::io::Result<()> {
    let record = record::meta_record(meta);
    let mut bytes = crc32fast::hash(&record).to_be_bytes().to_vec();
    bytes.extend(record);
    let new = directory.join(format!("{NAME}.new"));
    fs::write(&new, bytes)?;
    fs::rename(new, directory.join(NAME))
}
