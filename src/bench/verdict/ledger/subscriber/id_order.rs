//! The order of the ids within one stream, as the server promises it. Read [`IdOrder`] first.

use std::cmp::Ordering;

use crate::bench::ids::AddressId;
use crate::bench::scenario::dialect::{self, Ids};
use crate::bench::scenario::plan::Plan;
use crate::protocol::{Cursor, Epoch};

/// Numbers in one id. More are not compared.
const NUMBERS_MAX: usize = 4;
/// Addresses whose ids are followed, where each has its own.
const ADDRESSES_MAX: usize = 64;
/// Histories of the log that a client remembers.
const EPOCHS_MAX: usize = 8;

/// The ids of a client's stream so far.
#[derive(Debug, Clone)]
pub(super) struct IdOrder {
    form: Form,
    /// Whether the ids of each address rise by themselves.
    is_by_address: bool,
    /// The number of the session that `last` and `left` belong to.
    session: usize,
    /// The last id of the stream: here and not in a list, since each event of ten thousand clients needs it.
    last: Option<Last>,
    /// The last id of each address, where each has its own.
    last_of: Vec<(AddressId, Option<Last>)>,
    /// Histories that the stream has left.
    left: Vec<Epoch>,
    /// All histories that the client has seen ids of.
    pub(super) epochs: Vec<u64>,
}

/// What ids are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Cursors of this system.
    Cursors,
    Of(dialect::IdOrder),
    /// Ids in any form and order.
    Unordered,
}

/// The last id, in a form that can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Last {
    Cursor(Cursor),
    Numbers([u64; NUMBERS_MAX]),
    Text(Box<str>),
}

impl IdOrder {
    pub(super) fn new(plan: &Plan) -> Self {
        let dialect = plan.dialect.as_ref();
        let form = match dialect.map(|dialect| dialect.ids_rise) {
            None => Form::Cursors,
            Some(Some(order)) => Form::Of(order),
            Some(None) => Form::Unordered,
        };
        let is_by_address = dialect.is_some_and(|dialect| dialect.ids == Ids::Address);
        Self { form, is_by_address, ..Self::none() }
    }

    /// Any order will do.
    pub(super) fn none() -> Self {
        let (last_of, left, epochs) = (Vec::new(), Vec::new(), Vec::new());
        Self { form: Form::Unordered, is_by_address: false, session: 0, last: None, last_of, left, epochs }
    }

    /// Whether the id follows the one before it in this session.
    pub(super) fn follows(&mut self, session: usize, address: AddressId, id: &str) -> bool {
        if self.form == Form::Unordered {
            return true;
        }
        if self.session != session {
            self.session = session;
            self.restart();
        }
        // Where each address has its own ids, they come with the address in front.
        let own = if self.is_by_address { id.split_once('/').map_or(id, |(_, id)| id) } else { id };
        let Some(next) = self.form.read(own) else { return false };
        let slot =
            if self.is_by_address { slot_of(&mut self.last_of, address) } else { Some(&mut self.last) };
        let Some(slot) = slot else { return true };
        let before = slot.replace(next);
        match (before, &*slot) {
            (Some(Last::Cursor(last)), Some(Last::Cursor(next))) if last.epoch == next.epoch => {
                next.position > last.position
            }
            (before, Some(Last::Cursor(next))) => {
                remember(&mut self.epochs, next.epoch);
                let is_back = self.left.contains(&next.epoch);
                if let Some(Last::Cursor(last)) = before
                    && self.left.len() < EPOCHS_MAX
                {
                    self.left.push(last.epoch);
                }
                !is_back
            }
            (None, _) => true,
            (Some(Last::Numbers(last)), Some(Last::Numbers(next))) => *next > last,
            (Some(Last::Text(last)), Some(Last::Text(next))) => *next > last,
            (Some(_), _) => false,
        }
    }

    /// Forgets what came before: the server has said that something is missing.
    pub(super) fn restart(&mut self) {
        self.last = None;
        self.last_of.clear();
        self.left.clear();
    }

    /// Bytes allocated on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.last_of.capacity() * size_of::<(AddressId, Option<Last>)>()
            + self.left.capacity() * size_of::<Epoch>()
            + self.epochs.capacity() * size_of::<u64>()
    }
}

/// Where the last id of an address is kept; `None`: too many addresses have one.
fn slot_of(all: &mut Vec<(AddressId, Option<Last>)>, address: AddressId) -> Option<&mut Option<Last>> {
    let index = all.iter().position(|(of, _)| *of == address).unwrap_or(all.len());
    if index == all.len() && index < ADDRESSES_MAX {
        all.push((address, None));
    }
    all.get_mut(index).map(|(_, last)| last)
}

fn remember(epochs: &mut Vec<u64>, epoch: Epoch) {
    let epoch = epoch.bits();
    if !epochs.contains(&epoch) && epochs.len() < EPOCHS_MAX {
        epochs.push(epoch);
    }
}

impl Form {
    /// `None`: it is no id of this form.
    fn read(self, id: &str) -> Option<Last> {
        match self {
            Self::Cursors => id.parse().ok().map(Last::Cursor),
            Self::Of(dialect::IdOrder::Numbers) => numbers(id).map(Last::Numbers),
            Self::Of(dialect::IdOrder::Texts) => Some(Last::Text(id.into())),
            Self::Unordered => None,
        }
    }
}

/// The order of two ids of one server: of cursors of this system, or of ids that are numbers. `None`: they have none.
#[must_use]
pub(in crate::bench::verdict) fn compare_ids(one: &str, other: &str) -> Option<Ordering> {
    match (one.parse::<Cursor>(), other.parse::<Cursor>()) {
        (Ok(one), Ok(other)) => (one.epoch == other.epoch).then(|| one.position.cmp(&other.position)),
        _ => Some(numbers(one)?.cmp(&numbers(other)?)),
    }
}

/// Numbers with one character between two.
fn numbers(id: &str) -> Option<[u64; NUMBERS_MAX]> {
    let mut numbers = [0; NUMBERS_MAX];
    for (place, part) in id.split(|c: char| !c.is_ascii_digit()).enumerate() {
        *numbers.get_mut(place)? = part.parse().ok()?;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(form: Form) -> IdOrder {
        IdOrder { form, session: 1, ..IdOrder::none() }
    }

    /// Which of these ids follow the one before.
    #[track_caller]
    fn check(form: Form, ids: &[&str], expected: &[bool]) {
        let mut order = order(form);
        let follows: Vec<bool> = ids.iter().map(|id| order.follows(1, AddressId(0), id)).collect();
        assert_eq!(follows, expected, "{ids:?}");
    }

    #[test]
    fn numbers_rise_as_numbers_and_texts_as_texts() {
        let (numbers, texts) = (Form::Of(dialect::IdOrder::Numbers), Form::Of(dialect::IdOrder::Texts));
        check(
            numbers,
            &["8", "9", "10", "10", "11", "7", "8"],
            &[true, true, true, false, true, false, true],
        );
        check(numbers, &["5-9", "5-10", "6-0", "5-11"], &[true, true, true, false]);
        check(numbers, &["1", "x", "2", ""], &[true, false, true, false]);
        check(texts, &["a8", "a9", "b10", "b1"], &[true, true, true, false]);
        check(Form::Unordered, &["2", "1", "", "1"], &[true; 4]);
    }

    #[test]
    fn cursors_rise_within_a_history_and_none_comes_back() {
        let ids = ["a-5-9", "a-5-10", "b-1-0", "b-1-1", "a-6-0", "b-1-1"];
        check(Form::Cursors, &ids, &[true, true, true, true, false, false]);
        check(Form::Cursors, &["a-5-9", "a-5", "a-5-8"], &[true, false, false]);
    }

    #[test]
    fn each_stream_begins_anew_and_addresses_may_have_ids_of_their_own() {
        let mut order = order(Form::Of(dialect::IdOrder::Numbers));
        assert!(order.follows(1, AddressId(0), "9") && order.follows(2, AddressId(0), "1"));
        assert!(!order.follows(2, AddressId(1), "1"));
        order.restart();
        assert!(order.follows(2, AddressId(1), "1"));
        order.is_by_address = true;
        assert!(order.follows(3, AddressId(1), "1/7") && order.follows(3, AddressId(2), "2/3"));
        assert!(!order.follows(3, AddressId(1), "1/7") && order.follows(3, AddressId(2), "2/4"));
    }
}
