//! The newest events, as the console's own stream got them. Only so many are kept, and above a rate only a sample;
//! what is left out is counted. Pure. Read [`Tail`] first.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::keymap::Step;
use super::message::Moment;
use super::plain::Plain;
use super::url::NodeUrl;
use crate::protocol::Fields;

/// Events that are kept.
pub(crate) const KEPT: usize = 1_000;

/// The tail, as it is looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail {
    pub(crate) filter: String,
    pub(crate) topics: Vec<String>,
    /// Newest first.
    pub(crate) events: VecDeque<Arc<Arrival>>,
    pub(crate) link: Link,
    /// Events that came and passed the filter, shown or not.
    pub(crate) passed: u64,
    /// Of these, the ones that were left out because there were too many.
    pub(crate) left_out: u64,
    /// Events a second, of the last batch.
    pub(crate) per_second: f64,
    /// The selected event by its number; `None` follows the newest.
    pub(crate) selected: Option<u64>,
    /// First event on the screen.
    pub(crate) first: usize,
    /// Number of the next event.
    next: u64,
}

/// An event that came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Arrival {
    /// Counted by the console.
    pub(crate) number: u64,
    pub(crate) at: Moment,
    pub(crate) id: Plain,
    pub(crate) kind: Plain,
    /// Who published it.
    pub(crate) source: Plain,
    pub(crate) message: Plain,
    /// The payload in one line.
    pub(crate) payload: Plain,
    /// The payload for people, a value a line.
    pub(crate) lines: Vec<Plain>,
    /// Of the whole `data:`.
    pub(crate) bytes: usize,
}

/// How the stream stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Link {
    #[default]
    Idle,
    Connecting,
    Open,
    /// Not connected, and why.
    Waiting(Plain),
    /// It will not be tried again, and why.
    Over(Plain),
}

/// What the stream is to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TailQuery {
    pub(crate) node: NodeUrl,
    pub(crate) topics: Vec<String>,
    pub(crate) filter: String,
}

/// What the stream gave in a short time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Batch {
    pub(crate) at: Moment,
    pub(crate) link: Link,
    /// Oldest first; their numbers are still to be given.
    pub(crate) events: Vec<Arrival>,
    /// Events that passed the filter and are not in here.
    pub(crate) left_out: u64,
    pub(crate) per_second: f64,
}

impl Tail {
    pub(crate) fn query(&self, node: NodeUrl) -> TailQuery {
        TailQuery { node, topics: self.topics.clone(), filter: self.filter.clone() }
    }

    /// Takes a batch. Whoever looks at an older event keeps looking at it.
    pub(crate) fn take(&mut self, batch: Batch) {
        self.link = batch.link;
        self.per_second = batch.per_second;
        self.left_out = self.left_out.saturating_add(batch.left_out);
        self.passed = self.passed.saturating_add(batch.left_out).saturating_add(batch.events.len() as u64);
        for mut event in batch.events {
            event.number = self.next;
            self.next += 1;
            self.events.truncate(KEPT - 1);
            self.events.push_front(Arc::new(event));
            if self.selected.is_some() {
                self.first = (self.first + 1).min(self.events.len().saturating_sub(1));
            }
        }
    }

    /// The row of the selected event.
    pub(crate) fn row(&self) -> usize {
        self.selected.map_or(0, |number| {
            let index = self.events.iter().position(|event| event.number <= number);
            index.unwrap_or(self.events.len().saturating_sub(1))
        })
    }

    pub(crate) fn selected_event(&self) -> Option<&Arc<Arrival>> {
        self.events.get(self.row())
    }

    /// Moves the cursor; at the first row the tail follows the newest again.
    pub(crate) fn go(&mut self, step: Step, page: usize) {
        let row = step.from(self.row(), page, self.events.len().saturating_sub(1));
        self.selected = if row == 0 { None } else { self.events.get(row).map(|event| event.number) };
    }

    /// Holds on to the event of a row, and says whether it did so before.
    pub(crate) fn choose(&mut self, row: usize) -> bool {
        let Some(number) = self.events.get(row).map(|event| event.number) else { return false };
        self.selected.replace(number) == Some(number)
    }

    /// Another filter or other topics: what came before does not belong here any more.
    pub(crate) fn restart(&mut self, filter: &str, topics: Vec<String>) {
        let (next, filter) = (self.next, filter.to_owned());
        *self = Self { filter, topics, next, ..Self::default() };
    }

    pub(crate) fn keep_in_bounds(&mut self, rows: usize) {
        let rows = rows.max(1);
        let row = self.row();
        self.first =
            self.first.min(self.events.len().saturating_sub(rows)).clamp(row.saturating_sub(rows - 1), row);
    }

    /// The tail as it was at a moment, by the console's clock.
    pub(crate) fn until(&self, moment: Moment) -> Self {
        let mut tail = self.clone();
        tail.events.retain(|event| event.at.elapsed <= moment.elapsed);
        (tail.selected, tail.first) = (None, 0);
        tail
    }
}

impl Fields for Arrival {
    const TEXTS: &'static [&'static str] = &["id", "type", "source", "message", "data"];
    const NUMBERS: &'static [&'static str] = &["size"];

    fn any_text(&self, key: Option<&str>, is_it: &mut dyn FnMut(&str) -> bool) -> bool {
        let fields = [
            ("id", &self.id),
            ("type", &self.kind),
            ("source", &self.source),
            ("message", &self.message),
            ("data", &self.payload),
        ];
        fields.iter().any(|(name, text)| key.is_none_or(|key| key == *name) && is_it(text.as_str()))
    }

    fn number(&self, key: &str) -> Option<f64> {
        (key == "size").then_some(self.bytes as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::{arrival, at};

    fn give(tail: &mut Tail, second: u32, count: usize) {
        let seconds = f64::from(second);
        let events = (0..count).map(|index| arrival(seconds, &format!("e-{second}-{index}"))).collect();
        tail.take(Batch { at: at(seconds), link: Link::Open, events, left_out: 3, per_second: 10.0 });
    }

    #[test]
    fn the_tail_follows_until_somebody_looks_at_an_older_event() {
        let mut tail = Tail::default();
        give(&mut tail, 1, 10);
        assert_eq!(tail.selected_event().unwrap().id.as_str(), "e-1-9");
        tail.go(Step::Down, 5);
        tail.keep_in_bounds(5);
        give(&mut tail, 2, 10);
        tail.keep_in_bounds(5);
        assert_eq!((tail.selected_event().unwrap().id.as_str(), tail.row()), ("e-1-8", 11));
        assert!((tail.first..tail.first + 5).contains(&11));
        tail.go(Step::First, 5);
        give(&mut tail, 3, 1);
        assert_eq!(tail.selected_event().unwrap().id.as_str(), "e-3-0");
        assert_eq!((tail.passed, tail.left_out), (30, 9));
        assert_eq!(tail.until(at(2.0)).events.len(), 20);
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut tail = Tail::default();
        (1..=30).for_each(|second| give(&mut tail, second, 100));
        assert_eq!(tail.events.len(), KEPT);
        tail.selected = Some(0);
        assert_eq!(tail.row(), KEPT - 1, "what is gone is the oldest that is there");
        tail.restart("x", vec!["orders".to_owned()]);
        assert!(tail.events.is_empty() && tail.selected.is_none());
    }
}
