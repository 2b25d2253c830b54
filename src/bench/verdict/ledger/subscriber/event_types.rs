//! The types (`event:`) that the events of one client came with. Nearly always one, so only the others are counted by
//! address. Bounded. Knows nothing of what was published. Read [`EventTypes`] first.

use serde::{Deserialize, Serialize};

use super::anomalies::{Occurrence, Occurrences};
use crate::bench::ids::AddressId;
use crate::bench::stamp::Stamp;

/// Other types that one client keeps, each at each address.
const OTHERS_MAX: usize = 64;
/// Longest type that is kept, in bytes. The rest of a longer one is cut off.
const TYPE_MAX_BYTES: usize = 128;

/// The types of the new events of one client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventTypes {
    /// The type of the first event; `None`: no type was recorded. Events that are not in `others` had it.
    pub(crate) usual: Option<Box<str>>,
    pub(crate) others: Vec<OtherType>,
    /// Events of further types, which are not judged.
    pub(crate) dropped: u64,
}

/// The events of one address that came with another type than the first event of the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OtherType {
    pub(crate) address: AddressId,
    pub(crate) event: Box<str>,
    pub(crate) seen: Occurrences,
}

impl EventTypes {
    /// Counts a new event.
    pub(super) fn add(&mut self, event: &str, occurrence: Occurrence, stamp: &Stamp) {
        let event = &event[..event.floor_char_boundary(TYPE_MAX_BYTES)];
        if **self.usual.get_or_insert_with(|| event.into()) == *event {
            return;
        }
        let address = stamp.address;
        let known = self.others.iter_mut().find(|other| other.address == address && *other.event == *event);
        if let Some(other) = known {
            other.seen.add(occurrence);
        } else if self.others.len() < OTHERS_MAX {
            let mut seen = Occurrences::default();
            seen.add(occurrence);
            self.others.push(OtherType { address, event: event.into(), seen });
        } else {
            self.dropped += 1;
        }
    }

    /// Bytes allocated on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let other =
            |other: &OtherType| other.event.len() + other.seen.first.capacity() * size_of::<Occurrence>();
        self.usual.as_ref().map_or(0, |usual| usual.len())
            + self.others.capacity() * size_of::<OtherType>()
            + self.others.iter().map(other).sum::<usize>()
    }
}
