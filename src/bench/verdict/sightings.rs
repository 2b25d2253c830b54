//! What clients noticed of the streams beside events, and what no count tells: limits that were reached, messages that
//! were not understood, faults of a decoder. Each kind once for a group, counted, with its first example. Read
//! [`Sightings::note`] first.

use serde::{Deserialize, Serialize};

use crate::bench::ids::GroupId;
use crate::client::CrateFault;

/// Kinds that are kept: texts of a server are part of them.
const KINDS_MAX: usize = 64;
/// Longest example, in characters.
const EXAMPLE_CHARS: usize = 200;

/// What was noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// Programs with the crate `eventsource-stream` misread a stream.
    Crate(CrateFault),
    /// A line or an event was longer than the clients take; the limit in bytes.
    TooLong(u64),
    /// A message has an event of the run here (a JSON pointer), and not where the dialect says.
    StampAt(String),
    /// A stream began with a message of this type that has no event of a run.
    Greeting(String),
    /// A later message of this type has no event of a run.
    Unknown(String),
    /// The payload of an event is not the one that was published.
    Altered,
}

/// One kind in one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    pub group: GroupId,
    pub seen: Seen,
    /// How often: streams or messages.
    pub count: u64,
    /// The first one: a message, or a sentence. May be empty.
    pub example: String,
}

/// All that clients noticed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sightings(Vec<Sighting>);

impl Sightings {
    /// Counts a sighting. The example is kept if it is the first of its kind, and cut where it is long.
    pub fn note(&mut self, group: GroupId, seen: Seen, example: &str) {
        self.add(Sighting { group, seen, count: 1, example: shortened(example) });
    }

    /// Adds those of another process or run.
    pub fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|sighting| self.add(sighting));
    }

    fn add(&mut self, new: Sighting) {
        match self.0.iter().position(|known| (known.group, &known.seen) == (new.group, &new.seen)) {
            Some(known) => self.0[known].count += new.count,
            None if self.0.len() < KINDS_MAX => self.0.push(new),
            None => {}
        }
    }

    /// In the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &Sighting> {
        self.0.iter()
    }

    /// Whether nothing was noticed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// On one line, and so long that its form can be seen.
fn shortened(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let short: String = text.chars().take(EXAMPLE_CHARS).map(shown).collect();
    if text.chars().nth(EXAMPLE_CHARS).is_some() { short + "…" } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_and_keeps_its_first_example() {
        let (mut one, mut other) = (Sightings::default(), Sightings::default());
        one.note(GroupId(0), Seen::Unknown("a".into()), "first");
        one.note(GroupId(0), Seen::Unknown("a".into()), "second");
        other.note(GroupId(0), Seen::Unknown("a".into()), "third");
        other.note(GroupId(1), Seen::Unknown("a".into()), &"x".repeat(1_000));
        one.merge(other);
        let found: Vec<_> = one.iter().map(|sighting| (sighting.count, sighting.example.as_str())).collect();
        assert_eq!((found.len(), found[0]), (2, (3, "first")));
        assert_eq!(found[1].1.chars().count(), EXAMPLE_CHARS + 1);
    }

    #[test]
    fn a_server_with_ever_new_types_fills_no_memory() {
        let mut all = Sightings::default();
        (0..10_000).for_each(|n| all.note(GroupId(0), Seen::Greeting(n.to_string()), ""));
        assert_eq!(all.iter().count(), KINDS_MAX);
    }
}
