//! The list of open streams of all nodes. The nodes filter, sort and page; the console holds the rows on the screen
//! and a few around them. A stream is selected by its id, never by its row. Pure. Read [`ConnectionTable`] first.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::protocol::api::{ConnectionList, ConnectionRow};
use crate::protocol::{ConnectionId, NodeId};
use crate::tui::config::key::Step;
use crate::tui::state::moment::Moment;
use crate::tui::state::reading::FetchError;
use crate::tui::text::sanitize::SafeText;
use crate::tui::text::url::NodeUrl;

/// Requests cover blocks of this many rows, so that scrolling by a row sends no new request.
const BLOCK: usize = 50;
/// Nodes give no rows beyond this one.
const DEEPEST: usize = 100_000;

/// The list with filter, order, scroll position and selection.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionTable {
    pub(crate) filter: String,
    pub(crate) order: ConnectionOrder,
    /// First row on the screen, counted in the whole list.
    pub(crate) first: usize,
    /// Row of the cursor, counted in the whole list.
    pub(crate) row: usize,
    /// The stream under the cursor; `None` until its row is known.
    pub(crate) selected: Option<ConnectionId>,
    /// Whether the user moved the cursor. Then the cursor follows its stream; before that it keeps its row.
    pub(crate) is_chosen: bool,
    /// The selected stream as in the newest answer that held it.
    pub(crate) seen: Option<Arc<Connection>>,
    pub(crate) page: Option<Arc<Page>>,
    /// The error of the newest request; `None` when it succeeded.
    pub(crate) error: Option<SafeText>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConnectionOrder {
    pub(crate) column: ConnectionColumn,
    pub(crate) descending: bool,
}

/// A column of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ConnectionColumn {
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

/// A request for a part of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListQuery {
    /// The node that the request goes to; it asks the others.
    pub(crate) node: NodeUrl,
    pub(crate) filter: String,
    pub(crate) order: ConnectionOrder,
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

/// The result of a [`ListQuery`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ListResult {
    pub(crate) query: ListQuery,
    pub(crate) at: Moment,
    pub(crate) outcome: Result<Arc<Page>, ListError>,
}

/// Why a request for a page failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum ListError {
    #[serde(rename = "Trouble")]
    Fetch(FetchError),
    /// The node refused the request, with this reason.
    Refused(SafeText),
}

/// A part of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Page {
    /// Row of the first connection in the whole list.
    pub(crate) offset: usize,
    pub(crate) rows: Vec<Arc<Connection>>,
    /// Streams that match the filter, on all nodes.
    pub(crate) matched: u64,
    pub(crate) total: u64,
    /// Nodes whose streams are missing, and why.
    pub(crate) unreachable: Vec<(SafeText, SafeText)>,
}

/// An open stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) client: SafeText,
    pub(crate) user: Option<SafeText>,
    pub(crate) topics: SafeText,
    pub(crate) node: NodeId,
    pub(crate) remote: SafeText,
    /// Time since 1970.
    pub(crate) connected_at: Duration,
    pub(crate) last_event: SafeText,
    pub(crate) sent: u64,
    pub(crate) bytes: u64,
    pub(crate) lag: u64,
    pub(crate) state: SafeText,
}

impl ConnectionTable {
    /// The request that fetches `rows` rows from `first` on.
    pub(crate) fn query(&self, node: NodeUrl, rows: usize) -> ListQuery {
        let offset = (self.first / BLOCK * BLOCK).min(DEEPEST);
        let until = (self.first + rows).div_ceil(BLOCK).saturating_mul(BLOCK) + BLOCK;
        let limit = until.saturating_sub(offset).clamp(BLOCK, 1_000).min((DEEPEST - offset).max(1));
        ListQuery { node, filter: self.filter.clone(), order: self.order, offset, limit }
    }

    /// Takes over filter and order of a recorded request, and moves the cursor into its rows.
    pub(crate) fn adopt(&mut self, query: &ListQuery) {
        self.filter.clone_from(&query.filter);
        self.order = query.order;
        let asked = query.offset..query.offset.saturating_add(query.limit);
        if !asked.contains(&self.row) {
            (self.first, self.row) = (query.offset, query.offset);
        }
    }

    /// Applies an answer, unless filter or order have changed since its request.
    pub(crate) fn take(&mut self, listed: ListResult) {
        if listed.query.filter != self.filter || listed.query.order != self.order {
            return;
        }
        match listed.outcome {
            Ok(page) => {
                self.error = None;
                self.page = Some(page);
                self.find_selected();
            }
            Err(refusal) => self.error = Some(refusal.text()),
        }
    }

    /// Moves the cursor to its stream; when that is gone the cursor keeps its row.
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

    /// Rows of the whole list in the newest answer.
    pub(crate) fn count(&self) -> usize {
        let matched = self.page.as_ref().map_or(0, |page| page.matched);
        usize::try_from(matched).unwrap_or(usize::MAX).min(DEEPEST)
    }

    pub(crate) fn move_cursor(&mut self, step: Step, page: usize) {
        self.row = step.from(self.row, page, self.count().saturating_sub(1));
        self.selected = None;
        self.seen = None;
        self.find_selected();
        self.is_chosen = true;
    }

    /// Puts the cursor on a row. Returns whether the user had selected that row before.
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

    /// The selected stream, if it is in the newest answer: actions need that.
    pub(crate) fn current(&self) -> Option<&Arc<Connection>> {
        let id = self.selected.as_ref()?;
        self.page.as_ref()?.rows.iter().find(|row| row.id == *id)
    }

    /// Whether the selected stream still exists; `None` when the newest answer does not cover the whole list.
    pub(crate) fn is_there(&self) -> Option<bool> {
        let (page, id) = (self.page.as_ref()?, self.selected.as_ref()?);
        if page.rows.iter().any(|row| row.id == *id) {
            return Some(true);
        }
        page.is_whole().then_some(false)
    }

    /// Sets the filter and goes to the first row.
    pub(crate) fn set_filter(&mut self, filter: &str) {
        if self.filter != filter {
            filter.clone_into(&mut self.filter);
            self.error = None;
            (self.first, self.row, self.is_chosen) = (0, 0, false);
        }
    }

    /// Sets the order; a stream that the user selected stays selected.
    pub(crate) fn set_order(&mut self, order: ConnectionOrder) {
        if self.order != order {
            self.order = order;
            self.first = 0;
            if self.selected.is_none() || !self.is_chosen {
                self.row = 0;
            }
        }
    }

    /// Keeps the cursor on the screen and the screen within the list.
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

impl ListError {
    fn text(self) -> SafeText {
        match self {
            Self::Fetch(error) => SafeText::new(&error.to_string()),
            Self::Refused(text) => text,
        }
    }
}

impl Page {
    pub(crate) fn new(offset: usize, list: ConnectionList) -> Self {
        let unreachable = list.unreachable.into_iter();
        Self {
            offset,
            rows: list.clients.into_iter().map(|row| Arc::new(Connection::new(row))).collect(),
            matched: list.matched,
            total: list.total_connections,
            unreachable: unreachable
                .map(|node| (SafeText::new(node.instance_id.as_str()), SafeText::new(&node.reason)))
                .collect(),
        }
    }

    /// A row by its place in the whole list.
    pub(crate) fn row(&self, row: usize) -> Option<&Arc<Connection>> {
        self.rows.get(row.checked_sub(self.offset)?)
    }

    /// Whether it holds every stream that matches the filter.
    fn is_whole(&self) -> bool {
        self.offset == 0 && self.rows.len() as u64 >= self.matched && self.unreachable.is_empty()
    }
}

impl Connection {
    fn new(row: ConnectionRow) -> Self {
        let topics: Vec<_> = row.topics.iter().map(|topic| topic.as_str()).collect();
        Self {
            client: SafeText::new(row.client_id.as_str()),
            user: row.user_id.map(|user| SafeText::new(user.as_str())),
            topics: SafeText::new(&topics.join(" ")),
            remote: SafeText::new(&row.remote),
            connected_at: Duration::from_millis(row.connected_at),
            last_event: SafeText::new(row.last_event_id.as_str()),
            sent: row.sent,
            bytes: row.bytes,
            lag: row.lag,
            state: SafeText::new(&row.state),
            node: row.instance_id,
            id: row.connection_id,
        }
    }
}

impl Default for ConnectionOrder {
    fn default() -> Self {
        Self { column: ConnectionColumn::Lag, descending: true }
    }
}

impl ConnectionOrder {
    /// The next column that the nodes can sort by; figures start with the largest.
    pub(crate) fn next(self) -> Self {
        let sortable: Vec<_> =
            ConnectionColumn::ALL.into_iter().filter(|column| column.key().is_some()).collect();
        let index = sortable.iter().position(|column| *column == self.column).map_or(0, |index| index + 1);
        Self::by(sortable.get(index).copied().unwrap_or(sortable[0]))
    }

    pub(crate) fn by(column: ConnectionColumn) -> Self {
        Self { column, descending: column.is_figure() }
    }

    pub(crate) fn reversed(self) -> Self {
        Self { descending: !self.descending, ..self }
    }

    /// The `sort` parameter of the request. The nodes sort ages by start time, so descending age is ascending there.
    pub(crate) fn key(self) -> String {
        let key = self.column.key().unwrap_or("lag");
        let is_descending = self.descending != (self.column == ConnectionColumn::Age);
        format!("{}{key}", if is_descending { "-" } else { "" })
    }
}

impl ConnectionColumn {
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

    /// The name of the column in requests; `None` when the nodes cannot sort by it.
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

    /// The column with this header in any case, if the nodes can sort by it.
    pub(crate) fn named(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|column| column.key().is_some() && column.header().eq_ignore_ascii_case(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::state::tests::fixture::{at, page, url};

    fn connections(rows: std::ops::Range<usize>, matched: u64) -> ConnectionTable {
        let mut connections = ConnectionTable::default();
        give(&mut connections, rows, matched);
        connections
    }

    fn give(connections: &mut ConnectionTable, rows: std::ops::Range<usize>, matched: u64) {
        let query = connections.query(url(1), 20);
        let page = Arc::new(page(rows, matched));
        connections.take(ListResult { query, at: at(1.0), outcome: Ok(page) });
    }

    fn selected(connections: &ConnectionTable) -> &str {
        connections.selected.as_ref().map_or("", |id| id.as_str())
    }

    #[test]
    fn the_selection_stays_with_its_stream() {
        let mut connections = connections(0..100, 100);
        connections.move_cursor(Step::Down, 20);
        assert_eq!((selected(&connections), connections.row), ("c-0001", 1));
        // One that stood above is gone: the stream is a row higher.
        give(&mut connections, 1..100, 99);
        assert_eq!((selected(&connections), connections.row), ("c-0001", 0));
        assert_eq!(connections.is_there(), Some(true));
        give(&mut connections, 5..100, 95);
        assert_eq!((selected(&connections), connections.is_there()), ("c-0001", Some(false)));
        connections.move_cursor(Step::Down, 20);
        assert_eq!(selected(&connections), "c-0006");
    }

    #[test]
    fn the_console_asks_for_what_is_on_the_screen_and_a_little_more() {
        let mut connections = connections(0..100, 10_000);
        let asked = |connections: &ConnectionTable| {
            let query = connections.query(url(1), 20);
            (query.offset, query.limit)
        };
        assert_eq!(asked(&connections), (0, 100));
        connections.move_cursor(Step::Down, 20);
        connections.keep_in_bounds(20);
        assert_eq!(asked(&connections), (0, 100), "a step down asks nothing new");
        connections.move_cursor(Step::Last, 20);
        connections.keep_in_bounds(20);
        assert_eq!((connections.row, connections.first, asked(&connections)), (9_999, 9_980, (9_950, 100)));
        assert_eq!(selected(&connections), "", "the row is not there yet");
        let query = connections.query(url(1), 20);
        let mut far = page(0..100, 10_000);
        far.offset = 9_950;
        connections.take(ListResult { query, at: at(2.0), outcome: Ok(Arc::new(far)) });
        assert_eq!(selected(&connections), "c-0049");
    }

    #[test]
    fn an_answer_to_another_question_changes_nothing() {
        let mut connections = connections(0..10, 10);
        let query = connections.query(url(1), 20);
        connections.set_filter("slow");
        connections.take(ListResult { query, at: at(1.0), outcome: Ok(Arc::new(page(0..5, 5))) });
        assert_eq!(connections.count(), 10);
    }

    #[test]
    fn orders_are_those_that_the_nodes_know() {
        assert_eq!(ConnectionOrder::default().key(), "-lag");
        assert_eq!(ConnectionOrder::by(ConnectionColumn::Age).key(), "connectedAt", "the oldest first");
        assert_eq!(ConnectionOrder::by(ConnectionColumn::Age).reversed().key(), "-connectedAt");
        assert_eq!(ConnectionOrder::by(ConnectionColumn::Client).key(), "clientId");
        let mut order = ConnectionOrder::default();
        for _ in 0..9 {
            order = order.next();
        }
        assert_eq!(order, ConnectionOrder::default(), "all of them, in a circle");
        assert_eq!(
            (ConnectionColumn::named("age"), ConnectionColumn::named("topics")),
            (Some(ConnectionColumn::Age), None)
        );
    }
}
