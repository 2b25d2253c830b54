//! The form of an event as an entry of the stream, and the parsing of replies of the server. Pure. Read [`Stored`]
//! first.

use std::collections::HashMap;
use std::sync::Arc;

use crate::broker::{Entry, Origins};
use crate::protocol::{Address, Cursor, Epoch, EventType, MessageId, Position};

/// An entry as the server gives it: id, then names and values in turn.
pub(super) type Raw = (String, Vec<Vec<u8>>);

/// A parsed entry of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) position: Position,
    pub(super) message_id: MessageId,
    pub(super) address: Address,
    pub(super) event_type: EventType,
    pub(super) envelope: Arc<str>,
    /// It went to a mailbox too.
    pub(super) mailbox: bool,
    /// Where it stood before it was lost.
    pub(super) origins: Origins,
    /// Position of the entry before it.
    pub(super) before: Position,
    /// It is the first entry of this epoch.
    pub(super) begins: Option<Epoch>,
    /// Bytes and number of all entries ever appended, up to this one.
    pub(super) total: (u64, u64),
}

impl Stored {
    /// Bytes as `Bounds::bytes` counts them.
    pub(super) fn bytes(&self) -> u64 {
        let texts = self.envelope.len() + self.message_id.as_str().len() + self.event_type.as_str().len();
        (texts + self.address.to_string().len()) as u64
    }

    /// The entry as readers of this epoch see it.
    pub(super) fn entry(self, epoch: Epoch) -> Entry {
        Entry {
            cursor: Cursor::new(epoch, self.position),
            message_id: self.message_id,
            address: self.address,
            event_type: self.event_type,
            envelope: self.envelope,
            origins: self.origins,
        }
    }
}

/// Reads an id of the stream, `<ms>-<seq>`.
pub(super) fn position(text: &str) -> Option<Position> {
    let (ms, seq) = text.split_once('-')?;
    Some(Position { ms: ms.parse().ok()?, seq: seq.parse().ok()? })
}

/// A position as an id of the stream.
pub(super) fn id(at: Position) -> String {
    format!("{}-{}", at.ms, at.seq)
}

/// Parses an entry of the stream. `None` if it was not written by a node.
pub(super) fn stored(raw: &Raw) -> Option<Stored> {
    let (id, pairs) = raw;
    let fields: HashMap<&[u8], &[u8]> =
        pairs.chunks_exact(2).map(|pair| (pair[0].as_slice(), pair[1].as_slice())).collect();
    let field = |name: &str| std::str::from_utf8(fields.get(name.as_bytes())?).ok();
    let (bytes, n) = field("c")?.split_once(':')?;
    Some(Stored {
        position: position(id)?,
        message_id: MessageId::parse(field("m")?).ok()?,
        address: field("a")?.parse().ok()?,
        event_type: EventType::parse(field("t")?).ok()?,
        envelope: Arc::from(field("d")?),
        mailbox: field("q").is_some(),
        origins: field("o").map(Origins::parse).unwrap_or_default(),
        before: position(field("p")?)?,
        begins: field("e").and_then(|epoch| epoch.parse().ok()),
        total: (bytes.parse().ok()?, n.parse().ok()?),
    })
}

/// Reads a message of a mailbox: position, message id, type and envelope, a line each; the envelope is the rest.
pub(super) fn mail(owner: &Address, epoch: Epoch, message: &[u8]) -> Option<Entry> {
    let mut parts = std::str::from_utf8(message).ok()?.splitn(4, '\n');
    Some(Entry {
        cursor: Cursor::new(epoch, position(parts.next()?)?),
        message_id: MessageId::parse(parts.next()?).ok()?,
        address: owner.clone(),
        event_type: EventType::parse(parts.next()?).ok()?,
        envelope: Arc::from(parts.next()?),
        origins: Origins::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(id: &str, pairs: &[(&str, &str)]) -> Raw {
        let pairs =
            pairs.iter().flat_map(|(name, value)| [name.as_bytes().to_vec(), value.as_bytes().to_vec()]);
        (id.to_owned(), pairs.collect())
    }

    const WHOLE: [(&str, &str); 9] = [
        ("m", "id 1"),
        ("a", "user:größe"),
        ("t", "MESSAGE"),
        ("d", "{\"ä\":\"\\n\"}"),
        ("p", "6-3"),
        ("c", "120:7"),
        ("q", "1"),
        ("o", "abcdef-5-2"),
        ("e", "ghijkl"),
    ];

    #[test]
    fn an_entry_is_understood_whole() {
        let stored = stored(&raw("7-0", &WHOLE)).unwrap();
        assert_eq!(
            (stored.position, stored.before),
            (Position { ms: 7, seq: 0 }, Position { ms: 6, seq: 3 })
        );
        assert_eq!((stored.total, stored.mailbox), ((120, 7), true));
        assert_eq!(stored.begins, Some("ghijkl".parse().unwrap()));
        assert_eq!(stored.bytes(), ("id 1MESSAGE{\"ä\":\"\\n\"}".len() + "user:größe".len()) as u64);
        let entry = stored.entry("ghijkl".parse().unwrap());
        assert_eq!(entry.cursor.to_string(), "ghijkl-7-0");
        assert_eq!(entry.origins.to_string(), "abcdef-5-2");
    }

    #[test]
    fn what_somebody_else_put_there_is_no_entry() {
        assert_eq!(stored(&raw("7-0", &[("x", "y")])), None);
        for (missing, _) in WHOLE.iter().take(6) {
            let pairs: Vec<_> = WHOLE.iter().filter(|(name, _)| name != missing).copied().collect();
            assert_eq!(stored(&raw("7-0", &pairs)), None, "without {missing}");
        }
    }

    #[test]
    fn a_message_of_a_mailbox_keeps_the_lines_of_its_envelope() {
        let owner: Address = "user:u".parse().unwrap();
        let entry = mail(&owner, "abcdef".parse().unwrap(), b"7-1\nm0\nMESSAGE\n{\n}\n").unwrap();
        assert_eq!((entry.message_id.as_str(), &*entry.envelope), ("m0", "{\n}\n"));
        assert_eq!(entry.cursor.position, Position { ms: 7, seq: 1 });
        assert_eq!(mail(&owner, "abcdef".parse().unwrap(), b"7-1\nm0"), None);
    }
}
