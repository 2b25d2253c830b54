//! Cursors and messages across histories of the log: where a cursor continues after its history has ended, and where a
//! message stood before it was lost. Pure. Read [`Synced`] first.

use std::fmt;
use std::sync::Arc;

use crate::protocol::{Cursor, Epoch, Position};

/// Places that a message remembers. Only a message that is lost and appended again more often than this, within the
/// memory of the nodes, would be taken for a new one.
const ORIGINS_MAX: usize = 8;

/// The history that a cursor belongs to has ended, and goes on under another epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// The cursor in the history that it belonged to.
    pub from: Cursor,
    /// The histories that have ended since, oldest first, the cursor's own among them: never empty. Each with the
    /// newest position of it that is left.
    pub ended: Arc<[Cursor]>,
    /// Reading goes on after this position of the present history.
    pub to: Cursor,
    /// How many lost events this node appended again, where it was this node's to do.
    pub appended_again: u64,
}

impl Synced {
    /// What becomes of a cursor when these histories have ended and this one is the present.
    #[must_use]
    pub fn new(from: Cursor, ended: Arc<[Cursor]>, present: Epoch) -> Self {
        let end = ended.iter().map(|end| end.position).fold(from.position, Position::min);
        Self { from, ended, to: Cursor::new(present, end), appended_again: 0 }
    }

    /// The same for another cursor of the same history.
    #[must_use]
    pub fn of(&self, from: Cursor) -> Self {
        let appended_again = self.appended_again;
        Self { appended_again, ..Self::new(from, Arc::clone(&self.ended), self.to.epoch) }
    }

    /// Whether the log had lost what lay in front of the cursor: it comes again, each entry with its [`Origins`].
    /// Otherwise nothing changed but the epoch.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.to.position < self.from.position
    }

    /// Where the cursor stood in each history that has ended. A reader that has everything up to the first has
    /// everything up to each of them.
    pub fn passed(&self) -> impl Iterator<Item = Cursor> {
        let mut at = self.from.position;
        self.ended.iter().map(move |end| {
            let passed = Cursor::new(end.epoch, at);
            at = at.min(end.position);
            passed
        })
    }
}

/// Where a message stood in histories that lost it, the newest last. A reader that has everything of one of these
/// histories up to that place has had the message. Empty for nearly every message, and cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Option<Arc<[Cursor]>>);

impl Origins {
    /// The places, oldest first.
    #[must_use]
    pub fn places(&self) -> &[Cursor] {
        self.0.as_deref().unwrap_or_default()
    }

    /// With one more place, which is now lost too.
    #[must_use]
    pub fn with(&self, place: Cursor) -> Self {
        let known = self.places();
        let kept = &known[(known.len() + 1).saturating_sub(ORIGINS_MAX)..];
        Self(Some(kept.iter().copied().chain([place]).collect()))
    }

    /// Reads the text form. Skips words that are not cursors.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let places: Vec<Cursor> = text.split(' ').filter_map(|place| place.parse().ok()).collect();
        if places.is_empty() { Self::default() } else { Self(Some(places.into())) }
    }
}

impl fmt::Display for Origins {
    /// Cursors, separated by blanks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, place) in self.places().iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{place}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, ms: u64) -> Cursor {
        Cursor::new(Epoch::from_random(epoch), Position { ms, seq: 0 })
    }

    #[test]
    fn a_cursor_goes_through_every_history_that_ended() {
        let ended: Arc<[Cursor]> = Arc::from([at(1, 9), at(2, 5), at(3, 7)]);
        let sync = Synced::new(at(1, 8), Arc::clone(&ended), Epoch::from_random(4));
        assert_eq!((sync.to, sync.is_lost()), (at(4, 5), true));
        assert_eq!(sync.passed().collect::<Vec<_>>(), [at(1, 8), at(2, 8), at(3, 5)]);
        let early = sync.of(at(1, 4));
        assert_eq!((early.to, early.is_lost()), (at(4, 4), false));
    }

    #[test]
    fn a_message_remembers_its_newest_places_and_reads_them_back() {
        let mut origins = Origins::default();
        assert_eq!((origins.to_string().as_str(), origins.places().len()), ("", 0));
        for ms in 0..12 {
            origins = origins.with(at(1, ms));
        }
        assert_eq!(origins.places().len(), ORIGINS_MAX);
        assert_eq!(origins.places().last(), Some(&at(1, 11)));
        assert_eq!(Origins::parse(&origins.to_string()), origins);
        assert_eq!(Origins::parse(""), Origins::default());
    }
}
