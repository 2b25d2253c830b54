//! What a client notes of one stream while it reads it: a few bytes, added to [`Observations`] when the stream is over. Pure.
//! Read [`StreamNotes`] first.

use std::cmp::Ordering;

use super::bursts::Bursts;
use crate::bench::metrics::time::RunTime;

/// The notes of one stream.
#[derive(Debug, Clone, Default)]
pub struct StreamNotes {
    /// When bytes arrived last.
    pub last_bytes: RunTime,
    /// Whether nothing but the server decides when they come: no throttle, no fault.
    pub is_calm: bool,
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
    pub bursts: Bursts,
}

impl StreamNotes {
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
}

/// How an id follows another one: numbers by their size, whatever stands around them. `None`: there is none to compare.
#[must_use]
pub fn step(before: &str, id: &str) -> Option<Ordering> {
    // A longer number is a greater one.
    (!before.is_empty()).then(|| id.len().cmp(&before.len()).then_with(|| id.cmp(before)))
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
}
