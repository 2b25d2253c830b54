//! How keys and values look on the disk. Every record begins with its version; numbers are big-endian, so that keys
//! sort as positions do. Pure.

use std::str::FromStr;
use std::sync::Arc;

use super::tables::{BoxState, Meta};
use crate::broker::{Entry, Lost, Origins};
use crate::protocol::{Address, Cursor, Epoch, EventType, MessageId, Position};

/// Version of all records but the numbers. A log of another version is refused, never guessed at.
const VERSION: u8 = 1;
/// Version of the numbers. Those of version 1 lack some, which are counted when the log is opened.
const NUMBERS_VERSION: u8 = 2;

/// Why bytes are not the record that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidRecord {
    #[error("the record is of version {0}, which this program does not know")]
    Version(u8),
    #[error("the record is damaged: {0}")]
    Damaged(&'static str),
}

pub(super) const POSITION_BYTES: usize = 16;

/// A position as a key that sorts like it.
pub(super) fn position_key(at: Position) -> [u8; POSITION_BYTES] {
    let mut key = [0; POSITION_BYTES];
    let (ms, seq) = key.split_at_mut(8);
    ms.copy_from_slice(&at.ms.to_be_bytes());
    seq.copy_from_slice(&at.seq.to_be_bytes());
    key
}

pub(super) fn read_position(key: &[u8]) -> Result<Position, InvalidRecord> {
    let mut fields = Fields(key);
    let position = Position { ms: fields.number()?, seq: fields.number()? };
    fields.end()?;
    Ok(position)
}

pub(super) fn read_number(record: &[u8]) -> Result<u64, InvalidRecord> {
    let mut fields = Fields(record);
    let number = fields.number()?;
    fields.end()?;
    Ok(number)
}

/// The owner in the key of a message.
pub(super) fn read_mail_owner(key: &[u8]) -> Result<Address, InvalidRecord> {
    let end =
        key.len().checked_sub(POSITION_BYTES + 1).ok_or(InvalidRecord::Damaged("the key is too short"))?;
    read_text(key.get(..end).unwrap_or_default())
}

/// Owner, then position: the messages of one mailbox stand together, in order. An owner holds no control character,
/// so the NUL behind it keeps one owner from being the beginning of another.
pub(super) fn mail_key(owner: &Address, at: Position) -> Vec<u8> {
    let mut key = owner.to_string().into_bytes();
    key.push(0);
    key.extend(position_key(at));
    key
}

pub(super) fn read_mail_position(key: &[u8]) -> Result<Position, InvalidRecord> {
    let at = key.len().checked_sub(POSITION_BYTES).ok_or(InvalidRecord::Damaged("the key is too short"))?;
    read_position(key.get(at..).unwrap_or_default())
}

/// Time, then owner.
pub(super) fn mark_key(at_ms: u64, owner: &Address) -> Vec<u8> {
    let mut key = at_ms.to_be_bytes().to_vec();
    key.extend(owner.to_string().into_bytes());
    key
}

pub(super) fn read_mark(key: &[u8]) -> Result<(u64, Address), InvalidRecord> {
    let mut fields = Fields(key);
    Ok((fields.number()?, parse(fields.rest()?)?))
}

/// A text as a value or a key.
pub(super) fn read_text<T: FromStr>(bytes: &[u8]) -> Result<T, InvalidRecord> {
    parse(text(bytes)?)
}

pub(super) fn read_message_id(bytes: &[u8]) -> Result<MessageId, InvalidRecord> {
    MessageId::parse(text(bytes)?).map_err(|_| InvalidRecord::Damaged("a message id is not valid"))
}

/// An entry without its position, which is the key.
pub(super) fn entry_record(entry: &Entry) -> Vec<u8> {
    let address = entry.address.to_string();
    let short = [entry.message_id.as_str(), entry.event_type.as_str(), &address];
    let bytes = short.iter().map(|text| text.len() + 2).sum::<usize>() + entry.envelope.len() + 1;
    let mut record = Vec::with_capacity(bytes);
    record.push(VERSION);
    for text in short {
        // Ids, types and names are at most some hundred bytes long; their own types see to that.
        record.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        record.extend(text.as_bytes());
    }
    record.extend(entry.envelope.as_bytes());
    record
}

pub(super) fn read_entry(cursor: Cursor, record: &[u8]) -> Result<Entry, InvalidRecord> {
    let mut fields = Fields::of_version(record)?;
    let message_id = read_message_id(fields.short()?)?;
    let event_type = EventType::parse(text(fields.short()?)?)
        .map_err(|_| InvalidRecord::Damaged("an event type is not valid"))?;
    let address = read_text(fields.short()?)?;
    let envelope = Arc::from(fields.rest()?);
    Ok(Entry { cursor, message_id, address, event_type, envelope, origins: Origins::default() })
}

/// Whether a value may be an entry: texts never begin like one, and positions have another length.
pub(super) fn is_entry(record: &[u8]) -> bool {
    record.first() == Some(&VERSION) && record.len() != POSITION_BYTES
}

/// Bytes of an entry as `Bounds::bytes` counts them, without decoding it.
pub(super) fn entry_record_bytes(record: &[u8]) -> u64 {
    (record.len() as u64).saturating_sub(1 + 3 * 2)
}

pub(super) fn meta_record(meta: &Meta) -> Vec<u8> {
    let epoch = meta.epoch.to_string();
    let mut record = vec![NUMBERS_VERSION];
    for at in [meta.start, meta.newest, meta.fence] {
        record.extend(position_key(at));
    }
    let Meta { length, bytes, trimmed, mailboxes, mailbox_messages, .. } = *meta;
    let Meta { mailbox_bytes, overflowed, ids, id_bytes, ids_forgotten, .. } = *meta;
    let added = [mailbox_bytes, overflowed, ids, id_bytes, ids_forgotten];
    for number in [length, bytes, trimmed, mailboxes, mailbox_messages].into_iter().chain(added) {
        record.extend(number.to_be_bytes());
    }
    record.extend(epoch.into_bytes());
    record
}

pub(super) fn read_meta(record: &[u8]) -> Result<Meta, InvalidRecord> {
    let is_old = record.first() == Some(&VERSION);
    let mut fields = if is_old { Fields::of_version(record)? } else { Fields::of(NUMBERS_VERSION, record)? };
    let (start, newest, fence) = (fields.position()?, fields.position()?, fields.position()?);
    let mut numbers = [0; 10];
    for number in numbers.iter_mut().take(if is_old { 5 } else { 10 }) {
        *number = fields.number()?;
    }
    let [
        length,
        bytes,
        trimmed,
        mailboxes,
        mailbox_messages,
        mailbox_bytes,
        overflowed,
        ids,
        id_bytes,
        ids_forgotten,
    ] = numbers;
    let epoch: Epoch = parse(fields.rest()?)?;
    let meta = Meta {
        start,
        newest,
        fence,
        length,
        bytes,
        trimmed,
        mailboxes,
        mailbox_messages,
        ..Meta::new(epoch)
    };
    Ok(Meta { mailbox_bytes, overflowed, ids, id_bytes, ids_forgotten, ..meta })
}

/// Whether these numbers are of a version that lacks some.
pub(super) fn is_old_meta(record: &[u8]) -> bool {
    record.first() == Some(&VERSION)
}

pub(super) fn lost_record(lost: &Lost) -> Vec<u8> {
    let mut record = vec![VERSION];
    record.extend(lost.events.to_be_bytes());
    record.extend(position_key(lost.after.position));
    record.extend(position_key(lost.up_to.position));
    record.extend(lost.after.epoch.to_string().into_bytes());
    record
}

pub(super) fn read_lost(record: &[u8]) -> Result<Lost, InvalidRecord> {
    let mut fields = Fields::of_version(record)?;
    let (events, after, up_to) = (fields.number()?, fields.position()?, fields.position()?);
    let epoch: Epoch = parse(fields.rest()?)?;
    Ok(Lost { events, after: Cursor::new(epoch, after), up_to: Cursor::new(epoch, up_to) })
}

pub(super) fn state_record(state: &BoxState) -> Vec<u8> {
    let mut record = vec![VERSION];
    record.extend(position_key(state.oldest));
    record.extend(position_key(state.dropped_up_to));
    for number in [state.count, state.overflowed, state.dropped_at_ms] {
        record.extend(number.to_be_bytes());
    }
    record
}

pub(super) fn read_state(record: &[u8]) -> Result<BoxState, InvalidRecord> {
    let mut fields = Fields::of_version(record)?;
    let (oldest, dropped_up_to) = (fields.position()?, fields.position()?);
    let (count, overflowed, dropped_at_ms) = (fields.number()?, fields.number()?, fields.number()?);
    fields.end()?;
    Ok(BoxState { count, oldest, overflowed, dropped_up_to, dropped_at_ms })
}

fn text(bytes: &[u8]) -> Result<&str, InvalidRecord> {
    std::str::from_utf8(bytes).map_err(|_| InvalidRecord::Damaged("a text is not UTF-8"))
}

fn parse<T: FromStr>(text: &str) -> Result<T, InvalidRecord> {
    text.parse().map_err(|_| InvalidRecord::Damaged("a name is not valid"))
}

/// The unread rest of a record.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn of_version(record: &'a [u8]) -> Result<Self, InvalidRecord> {
        Self::of(VERSION, record)
    }

    fn of(version: u8, record: &'a [u8]) -> Result<Self, InvalidRecord> {
        match record.split_first() {
            Some((found, rest)) if *found == version => Ok(Self(rest)),
            Some((&other, _)) => Err(InvalidRecord::Version(other)),
            None => Err(InvalidRecord::Damaged("it is empty")),
        }
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], InvalidRecord> {
        let (bytes, rest) =
            self.0.split_at_checked(count).ok_or(InvalidRecord::Damaged("it is too short"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64, InvalidRecord> {
        let mut number = [0; 8];
        number.copy_from_slice(self.bytes(8)?);
        Ok(u64::from_be_bytes(number))
    }

    fn position(&mut self) -> Result<Position, InvalidRecord> {
        Ok(Position { ms: self.number()?, seq: self.number()? })
    }

    fn short(&mut self) -> Result<&'a [u8], InvalidRecord> {
        let mut length = [0; 2];
        length.copy_from_slice(self.bytes(2)?);
        self.bytes(usize::from(u16::from_be_bytes(length)))
    }

    fn rest(&mut self) -> Result<&'a str, InvalidRecord> {
        text(std::mem::take(&mut self.0))
    }

    fn end(&self) -> Result<(), InvalidRecord> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(InvalidRecord::Damaged("it has more bytes than it should"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tables::entry_bytes;
    use super::*;

    fn entry(id: &str, kind: &str, to: &str, envelope: &str) -> Entry {
        Entry {
            cursor: Cursor::new(Epoch::from_random(3), Position { ms: 7, seq: 2 }),
            message_id: MessageId::parse(id).unwrap(),
            address: to.parse().unwrap(),
            event_type: EventType::parse(kind).unwrap(),
            envelope: Arc::from(envelope),
            origins: Origins::default(),
        }
    }

    #[test]
    fn entries_round_trip_and_count_their_bytes() {
        for (id, to, envelope) in
            [("m", "all", ""), (&"i".repeat(128), "node:größe/client:c", "{\"ä\":1}"), ("~ !", "user:u", "x")]
        {
            let entry = entry(id, "MESSAGE", to, envelope);
            let record = entry_record(&entry);
            assert_eq!(entry_record_bytes(&record), entry_bytes(&entry));
            assert_eq!(read_entry(entry.cursor, &record), Ok(entry));
        }
    }

    #[test]
    fn numbers_round_trip() {
        let at = |n| Position { ms: n, seq: u64::MAX - n };
        let meta = Meta {
            start: at(1),
            newest: at(2),
            fence: at(3),
            length: 4,
            bytes: 5,
            trimmed: 6,
            mailboxes: 7,
            mailbox_messages: 8,
            mailbox_bytes: 9,
            overflowed: 10,
            ids: 11,
            id_bytes: 12,
            ids_forgotten: 13,
            ..Meta::new(Epoch::from_random(99))
        };
        assert_eq!(read_meta(&meta_record(&meta)), Ok(meta));
        let state =
            BoxState { count: 1, oldest: at(2), overflowed: 3, dropped_up_to: at(4), dropped_at_ms: 5 };
        assert_eq!(read_state(&state_record(&state)), Ok(state));
        let owner: Address = "user:u".parse().unwrap();
        assert_eq!(read_mail_position(&mail_key(&owner, at(9))), Ok(at(9)));
        assert_eq!(read_mark(&mark_key(17, &owner)), Ok((17, owner)));
    }

    #[test]
    fn other_versions_are_refused_by_name() {
        let mut record = meta_record(&Meta::new(Epoch::from_random(1)));
        record[0] = 3;
        let error = read_meta(&record).unwrap_err();
        assert_eq!(error, InvalidRecord::Version(3));
        assert!(error.to_string().contains("version 3"), "{error}");
    }

    proptest! {
        #[test]
        fn keys_sort_as_positions_do(a: (u64, u64), b: (u64, u64)) {
            let (a, b) = (Position { ms: a.0, seq: a.1 }, Position { ms: b.0, seq: b.1 });
            prop_assert_eq!(position_key(a).cmp(&position_key(b)), a.cmp(&b));
            prop_assert_eq!(read_position(&position_key(a)), Ok(a));
        }

        #[test]
        fn damaged_records_are_errors_not_panics(cut in 0..200_usize, bytes: Vec<u8>) {
            let whole = entry_record(&entry("message", "MESSAGE", "user:u", "{}"));
            let cursor = Cursor::start_of(Epoch::from_random(1));
            let short = whole.get(..cut.min(whole.len())).unwrap();
            // The envelope is the rest, so only a cut before it can be seen.
            prop_assert_eq!(read_entry(cursor, short).is_err(), short.len() < whole.len() - 2);
            for damaged in [read_entry(cursor, &bytes).err(), read_meta(&bytes).err(), read_state(&bytes).err()] {
                // Random bytes are hardly ever a record; whatever they are, they may be refused, and nothing more.
                prop_assert!(damaged.is_some() || bytes.first().is_some_and(|version| *version <= NUMBERS_VERSION));
            }
            prop_assert!(read_mark(&bytes).is_err() || bytes.len() > 8);
        }
    }
}
