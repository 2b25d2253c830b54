//! The list of connections: the rows on the screen, and the selected one in full.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use crate::tui::config::theme::Role;
use crate::tui::state::connections::{self, ConnectionColumn, ConnectionTable};
use crate::tui::state::model::{Model, Pane};
use crate::tui::text::cells;
use crate::tui::text::format::{age, bytes, count, grouped};
use crate::tui::view::border::{self, Titles};
use crate::tui::view::facts;
use crate::tui::view::table::{self, Table};

/// From left to right, as [`ConnectionColumn::ALL`].
const COLUMNS: [table::Column; 11] = [
    column(ConnectionColumn::Id, 8, 26, 10),
    column(ConnectionColumn::Client, 8, 26, 0),
    column(ConnectionColumn::User, 6, 20, 7),
    column(ConnectionColumn::Topics, 7, 24, 5),
    column(ConnectionColumn::Node, 6, 20, 2),
    column(ConnectionColumn::Remote, 9, 39, 8),
    column(ConnectionColumn::Lag, 6, 9, 3),
    column(ConnectionColumn::Sent, 6, 9, 6),
    column(ConnectionColumn::Bytes, 6, 9, 9),
    column(ConnectionColumn::Age, 6, 9, 4),
    column(ConnectionColumn::State, 9, 10, 1),
];

const fn column(of: ConnectionColumn, min: usize, max: usize, rank: u8) -> table::Column {
    table::Column { header: of.header(), min, max, is_figure: of.is_figure(), rank }
}

/// Draws the list.
pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let connections = &model.connections;
    let inner =
        border::draw(model, Some(Pane::Connections), titles(model, connections, "Connections"), area, buffer);
    draw_rows(model, &Shown { connections, first: connections.first, has_cursor: true }, inner, buffer);
}

/// Draws the list of slow readers.
pub(super) fn draw_slow(model: &Model, area: Rect, buffer: &mut Buffer) {
    let mut titles = titles(model, &model.slow, "Slow streams");
    "Slow streams".clone_into(&mut titles.left);
    let inner = border::draw(model, Some(Pane::Slow), titles, area, buffer);
    draw_rows(model, &Shown { connections: &model.slow, first: 0, has_cursor: false }, inner, buffer);
}

/// A list with its scroll position.
struct Shown<'a> {
    connections: &'a ConnectionTable,
    first: usize,
    has_cursor: bool,
}

fn draw_rows(model: &Model, shown: &Shown<'_>, area: Rect, buffer: &mut Buffer) {
    let Shown { connections, first, has_cursor } = *shown;
    let count = usize::from(area.height.saturating_sub(1));
    let empty = |words: &str, buffer: &mut Buffer| {
        let room = usize::from(area.width.saturating_sub(1));
        let lines = cells::wrapped(words, room);
        for (line, row) in lines.iter().zip(area.rows()) {
            Line::styled(format!(" {line}"), model.theme.style(Role::Dim)).render(row, buffer);
        }
    };
    let Some(page) = &connections.page else {
        let words = connections.error.as_ref().map_or("waiting for the first answer", |why| why.as_str());
        return empty(words, buffer);
    };
    let now = model.cluster().now.unix;
    let is_dim = connections.error.is_some();
    let shown = (first..first + count).filter_map(|index| page.row(index));
    let rows: Vec<_> = shown
        .map(|row| table::Row {
            cells: ConnectionColumn::ALL.into_iter().map(|column| cell(row, column, now)).collect(),
            is_selected: has_cursor && connections.selected.as_ref() == Some(&row.id),
            is_dim,
        })
        .collect();
    if rows.is_empty() {
        let words = if page.matched == 0 && connections.filter.is_empty() {
            "no stream is open"
        } else if page.matched == 0 && !has_cursor {
            "no stream is behind"
        } else if page.matched == 0 {
            "no stream matches"
        } else {
            "these rows are being fetched"
        };
        return empty(words, buffer);
    }
    let order = connections.order;
    let sorted = ConnectionColumn::ALL.iter().position(|column| *column == order.column);
    let sorted = sorted.map(|index| (index, order.descending));
    Table { columns: &COLUMNS, rows: &rows, sorted }.draw(model.theme, area, buffer);
}

fn cell(row: &connections::Connection, column: ConnectionColumn, now: Duration) -> (String, Role) {
    let text = match column {
        ConnectionColumn::Id => row.id.as_str().to_owned(),
        ConnectionColumn::Client => row.client.as_str().to_owned(),
        ConnectionColumn::User => row.user.as_ref().map_or("-", |user| user.as_str()).to_owned(),
        ConnectionColumn::Topics if row.topics.as_str().is_empty() => "-".to_owned(),
        ConnectionColumn::Topics => row.topics.as_str().to_owned(),
        ConnectionColumn::Node => row.node.as_str().to_owned(),
        ConnectionColumn::Remote => row.remote.as_str().to_owned(),
        ConnectionColumn::Lag => count(row.lag),
        ConnectionColumn::Sent => count(row.sent),
        ConnectionColumn::Bytes => bytes(row.bytes),
        ConnectionColumn::Age => age(now.saturating_sub(row.connected_at)),
        ConnectionColumn::State => row.state.as_str().to_owned(),
    };
    let role = match (column, row.state.as_str()) {
        (ConnectionColumn::State | ConnectionColumn::Lag, "slow") => Role::Bad,
        (ConnectionColumn::State, "closing" | "replaying") => Role::Warning,
        (ConnectionColumn::State, _) => Role::Good,
        (ConnectionColumn::Id | ConnectionColumn::Remote, _) => Role::Dim,
        _ => Role::Text,
    };
    // A connection id may hold any character.
    (crate::tui::text::sanitize::SafeText::new(&text).as_str().to_owned(), role)
}

fn titles(model: &Model, connections: &ConnectionTable, name: &str) -> Titles<'static> {
    let theme = model.theme;
    let left = if connections.filter.is_empty() {
        name.to_owned()
    } else {
        format!("{name}  /{}", connections.filter)
    };
    let mut right = Vec::new();
    if let Some(error) = &connections.error {
        let why = cells::cut(error.as_str(), 40, theme.glyphs().ellipsis);
        right.push(Span::styled(format!(" ! {why} "), theme.style(Role::Bad)));
    }
    if let Some(page) = &connections.page {
        let silent: Vec<_> = page.unreachable.iter().map(|(node, _)| node.as_str()).collect();
        if !silent.is_empty() {
            right.push(Span::styled(format!(" ! without {} ", silent.join(", ")), theme.style(Role::Bad)));
        }
        let matched = grouped(page.matched);
        let of = if connections.filter.is_empty() {
            String::new()
        } else {
            format!(" of {}", grouped(page.total))
        };
        let place = grouped(connections.row as u64 + 1);
        let place = if page.matched == 0 { matched } else { format!("{place}/{matched}") };
        right.push(Span::styled(format!(" {place}{of} "), theme.style(Role::Dim)));
    }
    Titles { left, right }
}

/// Draws the selected stream in full.
pub(super) fn draw_one(model: &Model, area: Rect, buffer: &mut Buffer) {
    let Some(row) = &model.connections.seen else {
        let titles = Titles { left: "Connection".to_owned(), right: Vec::new() };
        border::draw(model, Some(Pane::Connection), titles, area, buffer);
        return;
    };
    let gone = model.connections.is_there() == Some(false);
    let state = if gone { " gone ".to_owned() } else { format!(" {} ", row.state) };
    let role = if gone { Role::Bad } else { cell(row, ConnectionColumn::State, Duration::ZERO).1 };
    let titles = Titles {
        left: format!("Connection {}", row.client),
        right: vec![Span::styled(state, model.theme.style(role))],
    };
    let inner = border::draw(model, Some(Pane::Connection), titles, area, buffer);
    let open = model.cluster().now.unix.saturating_sub(row.connected_at);
    let cell = |column| cell(row, column, model.cluster().now.unix).0;
    let list = [
        ("id", cell(ConnectionColumn::Id)),
        ("client", format!("{}, user {}", row.client, cell(ConnectionColumn::User))),
        ("topics", cell(ConnectionColumn::Topics)),
        ("place", format!("on {} from {}, open for {}", row.node, row.remote, age(open))),
        ("lag", format!("{} events of the log behind", grouped(row.lag))),
        ("sent", format!("{} events, {}", grouped(row.sent), bytes(row.bytes))),
        ("cursor", row.last_event.as_str().to_owned()),
    ];
    let list = list.map(|(label, text)| facts::Fact { label, text, role: Role::Text });
    facts::draw(model, &list, inner, buffer);
}
