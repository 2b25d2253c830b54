//! Whether a cursor is sound in the present log, and how a cursor of an older history continues. Pure: the replies of
//! the server are arguments. Read [`Meta::missing`] first.

use super::entry::{Raw, position, stored};
use super::limits::HISTORIES;
use crate::broker::{Bounds, Missing};
use crate::protocol::api::GapReason;
use crate::protocol::{Cursor, Epoch, Position};

/// The numbers of the log, of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    /// The present history.
    pub(super) epoch: Epoch,
    /// The term in which it began.
    pub(super) term: String,
    /// The newest entry.
    pub(super) newest: Position,
    /// All entries ever appended.
    pub(super) appended: u64,
    /// Bytes of them.
    pub(super) bytes: u64,
    /// Messages in mailboxes.
    pub(super) mail: u64,
    /// Position and totals before the oldest kept entry; `None` for an empty log.
    pub(super) oldest: Option<Oldest>,
}

/// Position and totals before the oldest kept entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Oldest {
    before: Position,
    appended: u64,
    bytes: u64,
}

/// Names of the fields that [`Meta::read`] takes.
pub(super) const FIELDS: &str = "e term newest n bytes mail";

impl Meta {
    /// Reads the fields, and the oldest entries of the stream. `None` where no history has begun.
    pub(super) fn read(fields: &[Option<String>], oldest: &[Raw]) -> Option<Self> {
        let field = |index: usize| fields.get(index)?.as_deref();
        let number = |index| field(index).and_then(|text| text.parse().ok()).unwrap_or(0);
        let oldest = oldest.iter().find_map(stored).map(|entry| Oldest {
            before: entry.before,
            appended: entry.total.1.saturating_sub(1),
            bytes: entry.total.0.saturating_sub(entry.bytes()),
        });
        Some(Self {
            epoch: field(0)?.parse().ok()?,
            term: field(1).unwrap_or_default().to_owned(),
            newest: field(2).and_then(position).unwrap_or_default(),
            appended: number(3),
            bytes: number(4),
            // A counter beside lists that a rollback may have shortened: never below zero.
            mail: number(5),
            oldest,
        })
    }

    /// The last entry that was trimmed, or zero.
    pub(super) fn start(&self) -> Position {
        self.oldest.map_or(self.newest, |oldest| oldest.before)
    }

    fn cursor(&self, at: Position) -> Cursor {
        Cursor::new(self.epoch, at)
    }

    /// The log's bounds; `mailboxes` is counted elsewhere.
    pub(super) fn bounds(&self, mailboxes: u64) -> Bounds {
        let (appended, bytes) =
            self.oldest.map_or((self.appended, self.bytes), |oldest| (oldest.appended, oldest.bytes));
        Bounds {
            epoch: self.epoch,
            start: self.start(),
            newest: self.newest,
            length: self.appended.saturating_sub(appended),
            bytes: self.bytes.saturating_sub(bytes),
            mailboxes,
            mailbox_bytes: 0,
            ids_forgotten: 0,
            mailbox_messages: self.mail,
        }
    }

    /// Why an answer from this position of the present history on cannot be complete; `None` for a sound one.
    /// `nearest` is the entry at the position, or the last one before it.
    pub(super) fn missing(&self, at: Position, nearest: Option<Position>) -> Option<Missing> {
        let start = self.start();
        if at < start {
            let trimmed = self.oldest.map_or(self.appended, |oldest| oldest.appended);
            // From the start of the history everything trimmed is missing; from another position the number is unknown.
            let missed = (at == Position::ZERO).then_some(trimmed);
            return Some(Missing { reason: GapReason::Trimmed, resumed_after: self.cursor(start), missed });
        }
        if at == start || at == self.newest || nearest == Some(at) {
            return None;
        }
        let sound = nearest.unwrap_or(start).max(start);
        Some(Missing { reason: GapReason::Rollback, resumed_after: self.cursor(sound), missed: None })
    }

    /// The gap for a cursor of an unknown history.
    pub(super) fn unknown_epoch(&self) -> Missing {
        Missing { reason: GapReason::Epoch, resumed_after: self.cursor(self.start()), missed: None }
    }
}

/// How a history ended, as `meta` keeps it: `<position> <next epoch>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HistoryEnd {
    /// Its newest entry that survived.
    pub(super) at: Position,
    /// The history that goes on from there.
    pub(super) next: Epoch,
}

impl HistoryEnd {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (at, next) = text.split_once(' ')?;
        Some(Self { at: position(at)?, next: next.parse().ok()? })
    }
}

/// The chain of histories from an old epoch to the present one, built from the end of one history after the other.
#[derive(Debug)]
pub(super) struct EpochChain {
    at: Option<Epoch>,
    present: Epoch,
    ended: Vec<Cursor>,
}

impl EpochChain {
    pub(super) fn new(from: Epoch, present: Epoch) -> Self {
        Self { at: Some(from), present, ended: Vec::new() }
    }

    /// The history whose end has to be read next; `None` when the chain is complete or too long.
    pub(super) fn next_unknown(&self) -> Option<Epoch> {
        self.at.filter(|epoch| *epoch != self.present && self.ended.len() < HISTORIES)
    }

    /// Adds the end of that history; `None` if the log does not know it.
    pub(super) fn push(&mut self, end: Option<HistoryEnd>) {
        if let (Some(epoch), Some(end)) = (self.at, end) {
            self.ended.push(Cursor::new(epoch, end.at));
        }
        self.at = end.map(|end| end.next);
    }

    /// The histories that ended, oldest first, each with the newest position that is left of it. `None` where the chain
    /// does not reach the present history.
    pub(super) fn ended(self) -> Option<Vec<Cursor>> {
        (self.at == Some(self.present)).then_some(self.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Position {
        Position { ms, seq: 0 }
    }

    fn meta(before: Option<u64>, newest: u64) -> Meta {
        Meta {
            epoch: Epoch::from_random(1),
            term: "t".to_owned(),
            newest: at(newest),
            appended: 9,
            bytes: 90,
            mail: 0,
            oldest: before.map(|before| Oldest { before: at(before), appended: 4, bytes: 40 }),
        }
    }

    #[track_caller]
    fn check(meta: &Meta, asked: u64, nearest: Option<u64>, expected: Option<(GapReason, u64, Option<u64>)>) {
        let missing = meta.missing(at(asked), nearest.map(at));
        let told = missing.map(|gap| (gap.reason, gap.resumed_after.position.ms, gap.missed));
        assert_eq!(told, expected, "after {asked}");
    }

    #[test]
    fn a_cursor_is_sound_at_the_start_at_an_entry_and_at_the_end() {
        let log = meta(Some(4), 9);
        check(&log, 4, None, None);
        check(&log, 6, Some(6), None);
        check(&log, 9, Some(9), None);
        check(&log, 3, None, Some((GapReason::Trimmed, 4, None)));
        check(&log, 0, None, Some((GapReason::Trimmed, 4, Some(4))));
        check(&log, 7, Some(6), Some((GapReason::Rollback, 6, None)));
        check(&log, 10, Some(9), Some((GapReason::Rollback, 9, None)));
    }

    #[test]
    fn of_an_empty_log_only_its_end_is_sound() {
        let log = meta(None, 9);
        check(&log, 9, None, None);
        check(&log, 8, None, Some((GapReason::Trimmed, 9, None)));
        check(&log, 0, None, Some((GapReason::Trimmed, 9, Some(9))));
        check(&meta(None, 0), 0, None, None);
        assert_eq!(log.bounds(0).length, 0);
    }

    #[test]
    fn histories_are_followed_to_the_present_and_not_for_ever() {
        let walk = |present: u64| {
            let mut chain = EpochChain::new(Epoch::from_random(2), Epoch::from_random(present));
            while let Some(epoch) = chain.next_unknown() {
                let known = (1..100).find(|known| Epoch::from_random(*known) == epoch);
                chain.push(
                    known.map(|known| HistoryEnd { at: at(known), next: Epoch::from_random(known + 1) }),
                );
            }
            chain.ended().map(|ended| ended.iter().map(|end| end.position.ms).collect::<Vec<_>>())
        };
        assert_eq!(walk(4), Some(vec![2, 3]));
        assert_eq!(walk(2 + HISTORIES as u64).map(|ended| ended.len()), Some(HISTORIES));
        assert_eq!(walk(3 + HISTORIES as u64), None);
        assert_eq!(walk(1), None, "nobody knows how the last one ended");
    }

    #[test]
    fn an_end_is_a_position_and_the_history_that_follows() {
        let end = HistoryEnd::parse("7-3 abcdef").unwrap();
        assert_eq!((end.at, end.next.to_string()), (Position { ms: 7, seq: 3 }, "abcdef".to_owned()));
        assert_eq!(HistoryEnd::parse("7-3"), None);
    }
}
