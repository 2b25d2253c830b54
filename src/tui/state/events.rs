//! The newest events of the console's own stream. A limited number is kept, and above a rate only a sample; the
//! events that are left out are counted. Pure. Read [`EventList`] first.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::protocol::Fields;
use crate::tui::config::key::Step;
use crate::tui::state::moment::Moment;
use crate::tui::text::sanitize::SafeText;
use crate::tui::text::url::NodeUrl;

/// Length of the list.
pub(crate) const KEPT: usize = 1_000;

/// The list with filter, topics, scroll position and selection.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventList {
    pub(crate) filter: String,
    pub(crate) topics: Vec<String>,
    /// The newest event comes first.
    pub(crate) events: VecDeque<Arc<ReceivedEvent>>,
    pub(crate) stream: StreamState,
    /// Events that passed the filter, including those left out.
    pub(crate) passed: u64,
    /// Events that passed the filter and were left out because there were too many.
    pub(crate) left_out: u64,
    /// Events per second, in the newest batch.
    pub(crate) per_second: f64,
    /// Number of the selected event; `None` follows the newest.
    pub(crate) selected: Option<u64>,
    /// Index of the first event on the screen.
    pub(crate) first: usize,
    /// Number that the next event gets.
    next: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReceivedEvent {
    /// Numbered by the console; 0 until it is in the list.
    pub(crate) number: u64,
    pub(crate) at: Moment,
    pub(crate) id: SafeText,
    pub(crate) kind: SafeText,
    /// The `source` of its envelope: the node that published it.
    pub(crate) source: SafeText,
    pub(crate) message: SafeText,
    /// Payload in one line.
    pub(crate) payload: SafeText,
    /// Payload as indented JSON, one value per line.
    pub(crate) lines: Vec<SafeText>,
    /// Length of the whole `data:`.
    pub(crate) bytes: usize,
}

/// The state of the console's stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum StreamState {
    #[default]
    Idle,
    Connecting,
    Open,
    /// Reconnecting, for this reason.
    Waiting(SafeText),
    /// Given up, for this reason.
    Over(SafeText),
}

/// A request for a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventQuery {
    pub(crate) node: NodeUrl,
    pub(crate) topics: Vec<String>,
    pub(crate) filter: String,
}

/// Events of a tenth of a second.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EventBatch {
    pub(crate) at: Moment,
    #[serde(rename = "link")]
    pub(crate) stream: StreamState,
    /// Oldest first, not numbered yet.
    pub(crate) events: Vec<ReceivedEvent>,
    /// Events that passed the filter and are not in `events`.
    pub(crate) left_out: u64,
    pub(crate) per_second: f64,
}

impl EventList {
    pub(crate) fn query(&self, node: NodeUrl) -> EventQuery {
        EventQuery { node, topics: self.topics.clone(), filter: self.filter.clone() }
    }

    /// Adds a batch. A selected event stays on the screen.
    pub(crate) fn take(&mut self, batch: EventBatch) {
        self.stream = batch.stream;
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

    /// Index of the selected event.
    pub(crate) fn row(&self) -> usize {
        self.selected.map_or(0, |number| {
            let index = self.events.iter().position(|event| event.number <= number);
            index.unwrap_or(self.events.len().saturating_sub(1))
        })
    }

    pub(crate) fn selected_event(&self) -> Option<&Arc<ReceivedEvent>> {
        self.events.get(self.row())
    }

    /// Moves the cursor; at the first row the list follows the newest event again.
    pub(crate) fn move_cursor(&mut self, step: Step, page: usize) {
        let row = step.from(self.row(), page, self.events.len().saturating_sub(1));
        self.selected = if row == 0 { None } else { self.events.get(row).map(|event| event.number) };
    }

    /// Selects the event of a row. Returns whether it was selected before.
    pub(crate) fn choose(&mut self, row: usize) -> bool {
        let Some(number) = self.events.get(row).map(|event| event.number) else { return false };
        self.selected.replace(number) == Some(number)
    }

    /// Empties the list for another filter or other topics.
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

    /// The list as it was at this moment of the console's clock.
    pub(crate) fn until(&self, moment: Moment) -> Self {
        let mut list = self.clone();
        list.events.retain(|event| event.at.elapsed <= moment.elapsed);
        (list.selected, list.first) = (None, 0);
        list
    }
}

impl Fields for ReceivedEvent {
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
    use crate::tui::state::tests::fixture::{at, received_event};

    fn give(list: &mut EventList, second: u32, count: usize) {
        let seconds = f64::from(second);
        let events =
            (0..count).map(|index| received_event(seconds, &format!("e-{second}-{index}"))).collect();
        list.take(EventBatch {
            at: at(seconds),
            stream: StreamState::Open,
            events,
            left_out: 3,
            per_second: 10.0,
        });
    }

    #[test]
    fn the_tail_follows_until_somebody_looks_at_an_older_event() {
        let mut list = EventList::default();
        give(&mut list, 1, 10);
        assert_eq!(list.selected_event().unwrap().id.as_str(), "e-1-9");
        list.move_cursor(Step::Down, 5);
        list.keep_in_bounds(5);
        give(&mut list, 2, 10);
        list.keep_in_bounds(5);
        assert_eq!((list.selected_event().unwrap().id.as_str(), list.row()), ("e-1-8", 11));
        assert!((list.first..list.first + 5).contains(&11));
        list.move_cursor(Step::First, 5);
        give(&mut list, 3, 1);
        assert_eq!(list.selected_event().unwrap().id.as_str(), "e-3-0");
        assert_eq!((list.passed, list.left_out), (30, 9));
        assert_eq!(list.until(at(2.0)).events.len(), 20);
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut list = EventList::default();
        (1..=30).for_each(|second| give(&mut list, second, 100));
        assert_eq!(list.events.len(), KEPT);
        list.selected = Some(0);
        assert_eq!(list.row(), KEPT - 1, "what is gone is the oldest that is there");
        list.restart("x", vec!["orders".to_owned()]);
        assert!(list.events.is_empty() && list.selected.is_none());
    }
}
