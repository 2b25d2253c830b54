//! What clients saw beside the events: heads of responses, refusals, ends of streams, ids, bursts. Merged over all clients and
//! workers, of bounded size, and stored with the evidence as JSON, so that a later version may add to it. Read
//! [`Observations`] first.

use serde::{Deserialize, Serialize};

use super::bursts::BurstTotals;
use super::stream::{EventCounts, StreamNotes};
use crate::client::Head;

/// Different heads and refusals that are kept. A server has few.
const KINDS_MAX: usize = 32;
/// Ends of streams that are kept, of each process.
const ENDS_MAX: usize = 500;

/// What the clients of a run saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Observations {
    /// Heads of the streams that were opened, and how many had them.
    pub heads: Vec<(Head, u64)>,
    /// Attempts that did not become a stream, alike ones together.
    pub refusals: Vec<(Refusal, Refused)>,
    /// The first ends of streams outside of the windows of faults, by the server or after its silence.
    pub ends: Vec<StreamEnd>,
    /// All streams that ended or were open at the end.
    pub streams: u64,
    /// Streams that were opened again by a client, and how many of these sent no cursor.
    pub reconnects: u64,
    pub without_cursor: u64,
    /// Streams that came compressed, and how many of these brought no event.
    pub compressed: u64,
    pub compressed_silent: u64,
    /// Streams that ended properly in the middle of a line.
    pub cut_in_a_line: u64,
    /// Streams that ended properly, or fell silent, with an event whose blank line is missing.
    pub cut_in_a_block: u64,
    #[serde(flatten)]
    pub events: EventCounts,
    pub bursts: BurstTotals,
}

/// An attempt that did not become a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub why: Why,
    /// Whether it was in the window of a fault.
    pub is_disturbed: bool,
    /// The header `Server` of the answer.
    pub server: Option<String>,
    /// Whether the answer said when to come back.
    #[serde(default)]
    pub has_retry_after: bool,
    /// Where the request was sent on to; `None`: nowhere.
    pub redirected_to: Option<String>,
}

/// Why an attempt did not become a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Another status than 200.
    Status(u16),
    /// Another type than `text/event-stream`; empty: none.
    Type(String),
    /// No head within this many milliseconds.
    Timeout(u64),
    /// No connection, or one that broke before there was a head.
    NoConnection,
    /// The request cannot be sent.
    Request,
}

/// How often attempts failed alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refused {
    pub count: u64,
    /// Clients that gave up because of it.
    pub gave_up: u64,
}

/// The end of a stream that no fault explains. Times are milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamEnd {
    /// Since the start of the clock.
    pub at: u64,
    /// From the request to the end.
    pub age: u64,
    /// Without a byte before the end.
    pub silence: u64,
    pub by: EndedBy,
}

/// Who ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The server ended the body properly.
    Server,
    /// The connection broke.
    Break,
    /// The client gave up after the silence of `idle_timeout`.
    Client,
}

impl Observations {
    /// Notes the head of a stream.
    pub fn head(&mut self, head: Head) {
        add(&mut self.heads, head, |count| *count += 1);
    }

    /// Notes an attempt that did not become a stream.
    pub fn refusal(&mut self, refusal: Refusal, gave_up: bool) {
        add(&mut self.refusals, refusal, |refused| {
            refused.count += 1;
            refused.gave_up += u64::from(gave_up);
        });
    }

    /// Notes a stream that the server ended, or that fell silent, outside of the windows of faults.
    pub fn end(&mut self, end: StreamEnd) {
        if self.ends.len() < ENDS_MAX {
            self.ends.push(end);
        }
    }

    /// Adds the notes of a stream that is over.
    pub fn stream(&mut self, notes: &StreamNotes) {
        self.streams += 1;
        self.events.merge(notes.events);
        self.bursts.merge(&notes.bursts.totals());
    }

    /// Adds what the clients of another process, or of another run, saw. The pattern names every field, so that a new field
    /// cannot be forgotten.
    pub fn merge(&mut self, other: Self) {
        let Self {
            heads,
            refusals,
            ends,
            streams,
            reconnects,
            without_cursor,
            compressed,
            compressed_silent,
            cut_in_a_line,
            cut_in_a_block,
            events,
            bursts,
        } = other;
        for (head, count) in heads {
            add(&mut self.heads, head, |mine| *mine += count);
        }
        for (refusal, more) in refusals {
            add(&mut self.refusals, refusal, |mine| {
                mine.count += more.count;
                mine.gave_up += more.gave_up;
            });
        }
        self.ends.extend(ends);
        for (mine, more) in [
            (&mut self.streams, streams),
            (&mut self.reconnects, reconnects),
            (&mut self.without_cursor, without_cursor),
            (&mut self.compressed, compressed),
            (&mut self.compressed_silent, compressed_silent),
            (&mut self.cut_in_a_line, cut_in_a_line),
            (&mut self.cut_in_a_block, cut_in_a_block),
        ] {
            *mine += more;
        }
        self.events.merge(events);
        self.bursts.merge(&bursts);
    }
}

/// Counts a kind; new ones only as long as there is room.
fn add<K: PartialEq, V: Default>(kinds: &mut Vec<(K, V)>, kind: K, count: impl FnOnce(&mut V)) {
    let found = kinds.iter().position(|(known, _)| *known == kind);
    let index = found.or_else(|| {
        (kinds.len() < KINDS_MAX).then(|| {
            kinds.push((kind, V::default()));
            kinds.len() - 1
        })
    });
    if let Some(index) = index {
        count(&mut kinds[index].1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_are_one_and_a_stored_one_is_read_by_a_version_that_knows_more() {
        let mut one = Observations { streams: 2, ..Observations::default() };
        one.head(Head { version: "HTTP/1.1".to_owned(), ..Head::default() });
        one.refusal(
            Refusal {
                why: Why::Status(502),
                is_disturbed: false,
                server: None,
                has_retry_after: false,
                redirected_to: None,
            },
            true,
        );
        let mut both = one.clone();
        both.merge(one.clone());
        assert_eq!((both.streams, both.heads[0].1, both.refusals[0].1.gave_up), (4, 2, 2));
        let stored = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Observations>(&stored).unwrap(), one);
        let older = r#"{"streams":3,"what_a_later_version_knows":1}"#;
        assert_eq!(serde_json::from_str::<Observations>(older).unwrap().streams, 3);
    }

    #[test]
    fn a_server_that_answers_everybody_in_another_way_takes_no_memory() {
        let mut observations = Observations::default();
        for number in 0..1_000 {
            observations.head(Head { server: Some(number.to_string()), ..Head::default() });
        }
        assert_eq!(observations.heads.len(), KINDS_MAX);
    }
}
