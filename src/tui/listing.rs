//! The list of open streams of all nodes, of which the console holds only what is on the screen and a little around it:
//! the nodes filter, sort and page. A stream is selected by its id, never by its row. Pure. Read [`Listing`] first.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::keymap::Step;
use super::message::Moment;
use super::plain::Plain;
use super::reading::Trouble;
use super::url::NodeUrl;
use crate::protocol::api::{ConnectionList, ConnectionRow};
use crate::protocol::{ConnectionId, NodeId};

/// Rows are asked for in blocks that begin at multiples of this, so that scrolling by a row asks nothing new.
const BLOCK: usize = 50;
/// The last row of a cluster's list that nodes give.
const DEEPEST: usize = 100_000;

/// The list, as it is looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listing {
    pub(crate) filter: String,
    pub(crate) order: Order,
    /// First row on the screen, counted in the list of the nodes.
    pub(crate) first: usize,
    /// Row of the cursor.
    pub(crate) row: usize,
    /// The stream under the cursor; `None` until its row was seen.
    pub(crate) selected: Option<ConnectionId>,
    /// The user moved the cursor: it goes where its stream goes. Before that it stays where it is.
    pub(crate) is_chosen: bool,
    /// The selected stream as it was last seen.
    pub(crate) seen: Option<Arc<Row>>,
    pub(crate) page: Option<Arc<Page>>,
    /// Why the newest question was not answered.
    pub(crate) trouble: Option<Plain>,
}

/// How the list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) column: Column,
    pub(crate) descending: bool,
}

/// A column of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Column {
    Id,
    Client,
    User,
    Topics,
    Node,
    Remote,
    Lag,
    Sent,
    Bytes,
    Age,
    State,
}

/// What the nodes are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListQuery {
    /// The node that asks the others.
    pub(crate) node: NodeUrl,
    pub(crate) filter: String,
    pub(crate) order: Order,
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) query: ListQuery,
    pub(crate) at: Moment,
    pub(crate) outcome: Result<Arc<Page>, Refusal>,
}

/// Why there is no page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Refusal {
    Trouble(Trouble),
    /// The node understood, and said no: what it said.
    Refused(Plain),
}

/// A part of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Page {
    /// Row of the first one.
    pub(crate) offset: usize,
    pub(crate) rows: Vec<Arc<Row>>,
    /// Streams that the filter lets pass.
    pub(crate) matched: u64,
    pub(crate) total: u64,
    /// Nodes whose streams are missing, and why.
    pub(crate) unreachable: Vec<(Plain, Plain)>,
}

/// A stream, with texts that do nothing to a terminal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) id: ConnectionId,
    pub(crate) client: Plain,
    pub(crate) user: Option<Plain>,
    pub(crate) topics: Plain,
    pub(crate) node: NodeId,
    pub(crate) remote: Plain,
    /// Since 1970.
    pub(crate) connected_at: Duration,
    pub(crate) last_event: Plain,
    pub(crate) sent: u64,
    pub(crate) bytes: u64,
    pub(crate) lag: u64,
    pub(crate) state: Plain,
}

impl Listing {
    /// What to ask this node for, so that rows from `first` on fill the screen.
    pub(crate) fn query(&self, node: NodeUrl, rows: usize) -> ListQuery {
        let offset = (self.first / BLOCK * BLOCK).min(DEEPEST);
        let until = (self.first + rows).div_ceil(BLOCK).saturating_mul(BLOCK) + BLOCK;
        let limit = until.saturating_sub(offset).clamp(BLOCK, 1_000).min((DEEPEST - offset).max(1));
        ListQuery { node, filter: self.filter.clone(), order: self.order, offset, limit }
    }

    /// Looks at what somebody else looked at: the question of a recording.
    pub(crate) fn adopt(&mut self, query: &ListQuery) {
        self.filter.clone_from(&query.filter);
        self.order = query.order;
        let asked = query.offset..query.offset.saturating_add(query.limit);
        if !asked.contains(&self.row) {
            (self.first, self.row) = (query.offset, query.offset);
        }
    }

    /// Takes an answer, unless another filter or order is wanted by now.
    pub(crate) fn take(&mut self, listed: Listed) {
        if listed.query.filter != self.filter || listed.query.order != self.order {
            return;
        }
        match listed.outcome {
            Ok(page) => {
                self.trouble = None;
                self.page = Some(page);
                self.find_selected();
            }
            Err(refusal) => self.trouble = Some(refusal.text()),
        }
    }

    /// The cursor goes where its stream went; a stream that is gone keeps the cursor where it was.
    fn find_selected(&mut self) {
        let Some(page) = &self.page else { return };
        match &self.selected {
            Some(id) if self.is_chosen => {
                if let Some(index) = page.rows.iter().position(|row| row.id == *id) {
                    self.row = page.offset + index;
                    self.seen = Some(Arc::clone(&page.rows[index]));
                }
            }
            Some(_) | None => {
                self.seen = page.row(self.row).cloned();
                self.selected = self.seen.as_ref().map(|row| row.id.clone());
            }
        }
    }

    /// How many rows the list has, as far as is known.
    pub(crate) fn count(&self) -> usize {
        let matched = self.page.as_ref().map_or(0, |page| page.matched);
        usize::try_from(matched).unwrap_or(usize::MAX).min(DEEPEST)
    }

    /// Moves the cursor.
    pub(crate) fn go(&mut self, step: Step, page: usize) {
        self.row = step.from(self.row, page, self.count().saturating_sub(1));
        self.selected = None;
        self.seen = None;
        self.find_selected();
        self.is_chosen = true;
    }

    /// Puts the cursor on a row, and says whether it was put there before.
    pub(crate) fn choose(&mut self, row: usize) -> bool {
        if row >= self.count() || (self.is_chosen && row == self.row) {
            return row == self.row && self.is_chosen;
        }
        self.row = row;
        (self.selected, self.seen) = (None, None);
        self.find_selected();
        self.is_chosen = true;
        false
    }

    /// The selected stream, if it is in the newest answer: only that may be acted upon.
    pub(crate) fn current(&self) -> Option<&Arc<Row>> {
        let id = self.selected.as_ref()?;
        self.page.as_ref()?.rows.iter().find(|row| row.id == *id)
    }

    /// Whether the selected stream is in the newest answer; `None` when that does not reach so far.
    pub(crate) fn is_there(&self) -> Option<bool> {
        let (page, id) = (self.page.as_ref()?, self.selected.as_ref()?);
        if page.rows.iter().any(|row| row.id == *id) {
            return Some(true);
        }
        page.is_whole().then_some(false)
    }

    /// Another filter: from the first row on.
    pub(crate) fn set_filter(&mut self, filter: &str) {
        if self.filter != filter {
            filter.clone_into(&mut self.filter);
            self.trouble = None;
            (self.first, self.row, self.is_chosen) = (0, 0, false);
        }
    }

    /// Another order; the selection stays with its stream.
    pub(crate) fn set_order(&mut self, order: Order) {
        if self.order != order {
            self.order = order;
            self.first = 0;
            if self.selected.is_none() || !self.is_chosen {
                self.row = 0;
            }
        }
    }

    /// The cursor is on the screen, and the screen not beyond the end.
    pub(crate) fn keep_in_bounds(&mut self, rows: usize) {
        let rows = rows.max(1);
        let count = self.count();
        if self.page.is_some() {
            self.row = self.row.min(count.saturating_sub(1));
        }
        self.first =
            self.first.min(count.saturating_sub(rows)).clamp(self.row.saturating_sub(rows - 1), self.row);
    }
}

impl Refusal {
    fn text(self) -> Plain {
        match self {
            Self::Trouble(trouble) => Plain::new(&trouble.to_string()),
            Self::Refused(text) => text,
        }
    }
}

impl Page {
    /// From a node's answer.
    pub(crate) fn new(offset: usize, list: ConnectionList) -> Self {
        let unreachable = list.unreachable.into_iter();
        Self {
            offset,
            rows: list.clients.into_iter().map(|row| Arc::new(Row::new(row))).collect(),
            matched: list.matched,
            total: list.total_connections,
            unreachable: unreachable
                .map(|node| (Plain::new(node.instance_id.as_str()), Plain::new(&node.reason)))
                .collect(),
        }
    }

    /// A row by its place in the whole list.
    pub(crate) fn row(&self, row: usize) -> Option<&Arc<Row>> {
        self.rows.get(row.checked_sub(self.offset)?)
    }

    /// It holds every stream that matches.
    fn is_whole(&self) -> bool {
        self.offset == 0 && self.rows.len() as u64 >= self.matched && self.unreachable.is_empty()
    }
}

impl Row {
    fn new(row: ConnectionRow) -> Self {
        let topics: Vec<_> = row.topics.iter().map(|topic| topic.as_str()).collect();
        Self {
            client: Plain::new(row.client_id.as_str()),
            user: row.user_id.map(|user| Plain::new(user.as_str())),
            topics: Plain::new(&topics.join(" ")),
            remote: Plain::new(&row.remote),
            connected_at: Duration::from_millis(row.connected_at),
            last_event: Plain::new(row.last_event_id.as_str()),
            sent: row.sent,
            bytes: row.bytes,
            lag: row.lag,
            state: Plain::new(&row.state),
            node: row.instance_id,
            id: row.connection_id,
        }
    }
}

impl Default for Order {
    fn default() -> Self {
        Self { column: Column::Lag, descending: true }
    }
}

impl Order {
    /// The next column that the nodes can sort by, figures with the largest first.
    pub(crate) fn next(self) -> Self {
        let sortable: Vec<_> = Column::ALL.into_iter().filter(|column| column.key().is_some()).collect();
        let index = sortable.iter().position(|column| *column == self.column).map_or(0, |index| index + 1);
        Self::by(sortable.get(index).copied().unwrap_or(sortable[0]))
    }

    pub(crate) fn by(column: Column) -> Self {
        Self { column, descending: column.is_figure() }
    }

    pub(crate) fn reversed(self) -> Self {
        Self { descending: !self.descending, ..self }
    }

    /// As the nodes are told. Their key of the age is the moment of the start: the oldest come first.
    pub(crate) fn key(self) -> String {
        let key = self.column.key().unwrap_or("lag");
        let is_descending = self.descending != (self.column == Column::Age);
        format!("{}{key}", if is_descending { "-" } else { "" })
    }
}

impl Column {
    /// From left to right.
    pub(crate) const ALL: [Self; 11] = [
        Self::Id,
        Self::Client,
        Self::User,
        Self::Topics,
        Self::Node,
        Self::Remote,
        Self::Lag,
        Self::Sent,
        Self::Bytes,
        Self::Age,
        Self::State,
    ];

    pub(crate) const fn header(self) -> &'static str {
        match self {
            Self::Id => "ID",
            Self::Client => "CLIENT",
            Self::User => "USER",
            Self::Topics => "TOPICS",
            Self::Node => "NODE",
            Self::Remote => "IP",
            Self::Lag => "LAG",
            Self::Sent => "SENT",
            Self::Bytes => "BYTES",
            Self::Age => "AGE",
            Self::State => "STATE",
        }
    }

    pub(crate) const fn is_figure(self) -> bool {
        matches!(self, Self::Lag | Self::Sent | Self::Bytes | Self::Age)
    }

    /// The nodes' name for it, where they can sort by it.
    fn key(self) -> Option<&'static str> {
        Some(match self {
            Self::Client => "clientId",
            Self::User => "userId",
            Self::Node => "instanceId",
            Self::Remote => "remote",
            Self::Lag => "lag",
            Self::Sent => "sent",
            Self::Bytes => "bytes",
            Self::Age => "connectedAt",
            Self::State => "state",
            Self::Id | Self::Topics => return None,
        })
    }

    /// The column that is called like this, if the nodes can sort by it.
    pub(crate) fn named(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|column| column.key().is_some() && column.header().eq_ignore_ascii_case(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::{at, page, url};

    fn listing(rows: std::ops::Range<usize>, matched: u64) -> Listing {
        let mut listing = Listing::default();
        give(&mut listing, rows, matched);
        listing
    }

    fn give(listing: &mut Listing, rows: std::ops::Range<usize>, matched: u64) {
        let query = listing.query(url(1), 20);
        let page = Arc::new(page(rows, matched));
        listing.take(Listed { query, at: at(1.0), outcome: Ok(page) });
    }

    fn selected(listing: &Listing) -> &str {
        listing.selected.as_ref().map_or("", |id| id.as_str())
    }

    #[test]
    fn the_selection_stays_with_its_stream() {
        let mut listing = listing(0..100, 100);
        listing.go(Step::Down, 20);
        assert_eq!((selected(&listing), listing.row), ("c-0001", 1));
        // One that stood above is gone: the stream is a row higher.
        give(&mut listing, 1..100, 99);
        assert_eq!((selected(&listing), listing.row), ("c-0001", 0));
        assert_eq!(listing.is_there(), Some(true));
        give(&mut listing, 5..100, 95);
        assert_eq!((selected(&listing), listing.is_there()), ("c-0001", Some(false)));
        listing.go(Step::Down, 20);
        assert_eq!(selected(&listing), "c-0006");
    }

    #[test]
    fn the_console_asks_for_what_is_on_the_screen_and_a_little_more() {
        let mut listing = listing(0..100, 10_000);
        let asked = |listing: &Listing| {
            let query = listing.query(url(1), 20);
            (query.offset, query.limit)
        };
        assert_eq!(asked(&listing), (0, 100));
        listing.go(Step::Down, 20);
        listing.keep_in_bounds(20);
        assert_eq!(asked(&listing), (0, 100), "a step down asks nothing new");
        listing.go(Step::Last, 20);
        listing.keep_in_bounds(20);
        assert_eq!((listing.row, listing.first, asked(&listing)), (9_999, 9_980, (9_950, 100)));
        assert_eq!(selected(&listing), "", "the row is not there yet");
        let query = listing.query(url(1), 20);
        let mut far = page(0..100, 10_000);
        far.offset = 9_950;
        listing.take(Listed { query, at: at(2.0), outcome: Ok(Arc::new(far)) });
        assert_eq!(selected(&listing), "c-0049");
    }

    #[test]
    fn an_answer_to_another_question_changes_nothing() {
        let mut listing = listing(0..10, 10);
        let query = listing.query(url(1), 20);
        listing.set_filter("slow");
        listing.take(Listed { query, at: at(1.0), outcome: Ok(Arc::new(page(0..5, 5))) });
        assert_eq!(listing.count(), 10);
    }

    #[test]
    fn orders_are_those_that_the_nodes_know() {
        assert_eq!(Order::default().key(), "-lag");
        assert_eq!(Order::by(Column::Age).key(), "connectedAt", "the oldest first");
        assert_eq!(Order::by(Column::Age).reversed().key(), "-connectedAt");
        assert_eq!(Order::by(Column::Client).key(), "clientId");
        let mut order = Order::default();
        for _ in 0..9 {
            order = order.next();
        }
        assert_eq!(order, Order::default(), "all of them, in a circle");
        assert_eq!((Column::named("age"), Column::named("topics")), (Some(Column::Age), None));
    }
}
