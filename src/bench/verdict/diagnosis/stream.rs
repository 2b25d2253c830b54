//! What a client notes of one stream while it reads it: a few bytes, added to [`Observations`] when the stream is over. Pure.
//! Read [`StreamNotes`] first.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::bursts::Bursts;
use crate::bench::metrics::time::RunTime;
use crate::bench::verdict::ledger::compare_ids;

/// The notes of one stream.
#[derive(Debug, Clone, Default)]
pub struct StreamNotes {
    /// When bytes arrived last.
    pub last_bytes: RunTime,
    /// Whether nothing but the server decides when they come: no throttle, no fault.
    pub is_calm: bool,
    pub events: EventCounts,
    pub bursts: Bursts,
}

/// What came on a stream, or on all streams, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventCounts {
    pub comments: u64,
    /// Events of the run with an `id:` of their own.
    pub with_id: u64,
    /// Events of the run without one.
    pub without_id: u64,
    /// Live events whose id is above the one before.
    pub rising: u64,
    /// Live events with the id of the one before.
    pub repeated: u64,
    /// Live events whose id is below the one before.
    pub falling: u64,
    /// Events that hold several events of the run.
    pub joined: u64,
}

impl EventCounts {
    /// Notes an event of the run: whether it had an id.
    pub fn event(&mut self, has_id: bool) {
        if has_id {
            self.with_id += 1;
        } else {
            self.without_id += 1;
        }
    }

    /// Notes how the id of a new live event follows the one before it.
    pub fn step(&mut self, step: Ordering) {
        match step {
            Ordering::Greater => self.rising += 1,
            Ordering::Equal => self.repeated += 1,
            Ordering::Less => self.falling += 1,
        }
    }

    /// Adds those of another stream. The pattern names every field, so that a new field cannot be forgotten.
    pub fn merge(&mut self, other: Self) {
        let Self { comments, with_id, without_id, rising, repeated, falling, joined } = other;
        self.comments += comments;
        self.with_id += with_id;
        self.without_id += without_id;
        self.rising += rising;
        self.repeated += repeated;
        self.falling += falling;
        self.joined += joined;
    }
}

/// How an id follows another one. `None`: there is none before it, or the two have no order.
#[must_use]
pub fn step(before: &str, id: &str) -> Option<Ordering> {
    match before.len() {
        0 => None,
        // Digits of the same places, as nearly all neighbours have: nothing need be parsed for each event.
        length if length == id.len() => Some(id.cmp(before)),
        _ => compare_ids(id, before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_as_numbers() {
        assert_eq!(step("", "1"), None);
        assert_eq!(step("9", "10"), Some(Ordering::Greater));
        assert_eq!(step("e-99-0", "e-100-0"), Some(Ordering::Greater));
        assert_eq!(step("e-100-0", "e-99-0"), Some(Ordering::Less));
        assert_eq!(step("7", "7"), Some(Ordering::Equal));
    }

    #[test]
    fn a_counter_that_begins_anew_makes_an_id_shorter_and_not_smaller() {
        assert_eq!(step("e-5-10", "e-6-0"), Some(Ordering::Greater), "a cursor");
        assert_eq!(step("e-6-0", "e-5-10"), Some(Ordering::Less));
        assert_eq!(step("1795303903:10", "1795303904:0"), Some(Ordering::Greater), "nchan's time and number");
        assert_eq!(step("e-5-10", "f-1-0"), None, "another history");
        assert_eq!(step("a", "bc"), None, "no numbers");
    }
}
