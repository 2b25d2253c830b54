//! The open streams of all nodes: the part of the list that is on the screen, and one of them in full.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use super::frame_lines::{self, Titles};
use super::table::{self, Table};
use super::{facts, text};
use crate::tui::listing::{self, Column, Listing};
use crate::tui::model::{Model, Pane};
use crate::tui::numbers::{age, bytes, count, grouped};
use crate::tui::theme::Role;

/// From left to right, as [`Column::ALL`].
const COLUMNS: [table::Column; 11] = [
    column(Column::Id, 8, 26, 10),
    column(Column::Client, 8, 26, 0),
    column(Column::User, 6, 20, 7),
    column(Column::Topics, 7, 24, 5),
    column(Column::Node, 6, 20, 2),
    column(Column::Remote, 9, 39, 8),
    column(Column::Lag, 6, 9, 3),
    column(Column::Sent, 6, 9, 6),
    column(Column::Bytes, 6, 9, 9),
    column(Column::Age, 6, 9, 4),
    column(Column::State, 9, 10, 1),
];

const fn column(of: Column, min: usize, max: usize, rank: u8) -> table::Column {
    table::Column { header: of.header(), min, max, is_figure: of.is_figure(), rank }
}

/// Draws the list.
pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let listing = &model.listing;
    let inner = frame_lines::draw(
        model,
        Some(Pane::Connections),
        titles(model, listing, "Connections"),
        area,
        buffer,
    );
    draw_rows(model, &Shown { listing, first: listing.first, has_cursor: true }, inner, buffer);
}

/// Draws those that are behind.
pub(super) fn draw_slow(model: &Model, area: Rect, buffer: &mut Buffer) {
    let mut titles = titles(model, &model.slow, "Slow readers");
    "Slow readers".clone_into(&mut titles.left);
    let inner = frame_lines::draw(model, Some(Pane::Slow), titles, area, buffer);
    draw_rows(model, &Shown { listing: &model.slow, first: 0, has_cursor: false }, inner, buffer);
}

/// A list as it is shown.
struct Shown<'a> {
    listing: &'a Listing,
    first: usize,
    has_cursor: bool,
}

fn draw_rows(model: &Model, shown: &Shown<'_>, area: Rect, buffer: &mut Buffer) {
    let Shown { listing, first, has_cursor } = *shown;
    let count = usize::from(area.height.saturating_sub(1));
    let empty = |words: &str, buffer: &mut Buffer| {
        let room = usize::from(area.width.saturating_sub(1));
        let lines = text::wrapped(words, room);
        for (line, row) in lines.iter().zip(area.rows()) {
            Line::styled(format!(" {line}"), model.theme.style(Role::Dim)).render(row, buffer);
        }
    };
    let Some(page) = &listing.page else {
        let words = listing.trouble.as_ref().map_or("waiting for the first answer", |why| why.as_str());
        return empty(words, buffer);
    };
    let now = model.picture().now.unix;
    let is_dim = listing.trouble.is_some();
    let shown = (first..first + count).filter_map(|index| page.row(index));
    let rows: Vec<_> = shown
        .map(|row| table::Row {
            cells: Column::ALL.into_iter().map(|column| cell(row, column, now)).collect(),
            is_selected: has_cursor && listing.selected.as_ref() == Some(&row.id),
            is_dim,
        })
        .collect();
    if rows.is_empty() {
        let words = if page.matched == 0 && listing.filter.is_empty() {
            "no connection is open"
        } else if page.matched == 0 && !has_cursor {
            "no reader is behind"
        } else if page.matched == 0 {
            "no connection matches"
        } else {
            "these rows are on their way"
        };
        return empty(words, buffer);
    }
    let order = listing.order;
    let sorted = Column::ALL.iter().position(|column| *column == order.column);
    let sorted = sorted.map(|index| (index, order.descending));
    Table { columns: &COLUMNS, rows: &rows, sorted }.draw(model.theme, area, buffer);
}

fn cell(row: &listing::Row, column: Column, now: Duration) -> (String, Role) {
    let text = match column {
        Column::Id => row.id.as_str().to_owned(),
        Column::Client => row.client.as_str().to_owned(),
        Column::User => row.user.as_ref().map_or("-", |user| user.as_str()).to_owned(),
        Column::Topics if row.topics.as_str().is_empty() => "-".to_owned(),
        Column::Topics => row.topics.as_str().to_owned(),
        Column::Node => row.node.as_str().to_owned(),
        Column::Remote => row.remote.as_str().to_owned(),
        Column::Lag => count(row.lag),
        Column::Sent => count(row.sent),
        Column::Bytes => bytes(row.bytes),
        Column::Age => age(now.saturating_sub(row.connected_at)),
        Column::State => row.state.as_str().to_owned(),
    };
    let role = match (column, row.state.as_str()) {
        (Column::State | Column::Lag, "slow") => Role::Bad,
        (Column::State, "closing" | "replaying") => Role::Warning,
        (Column::State, _) => Role::Good,
        (Column::Id | Column::Remote, _) => Role::Dim,
        _ => Role::Text,
    };
    // The connection id may hold any letter, as a name may.
    (crate::tui::plain::Plain::new(&text).as_str().to_owned(), role)
}

fn titles(model: &Model, listing: &Listing, name: &str) -> Titles<'static> {
    let theme = model.theme;
    let left =
        if listing.filter.is_empty() { name.to_owned() } else { format!("{name}  /{}", listing.filter) };
    let mut right = Vec::new();
    if let Some(trouble) = &listing.trouble {
        let why = text::cut(trouble.as_str(), 40, theme.glyphs().ellipsis);
        right.push(Span::styled(format!(" ! {why} "), theme.style(Role::Bad)));
    }
    if let Some(page) = &listing.page {
        let silent: Vec<_> = page.unreachable.iter().map(|(node, _)| node.as_str()).collect();
        if !silent.is_empty() {
            right.push(Span::styled(format!(" ! without {} ", silent.join(", ")), theme.style(Role::Bad)));
        }
        let matched = grouped(page.matched);
        let of =
            if listing.filter.is_empty() { String::new() } else { format!(" of {}", grouped(page.total)) };
        let place = grouped(listing.row as u64 + 1);
        let place = if page.matched == 0 { matched } else { format!("{place}/{matched}") };
        right.push(Span::styled(format!(" {place}{of} "), theme.style(Role::Dim)));
    }
    Titles { left, right }
}

/// Draws the selected stream in full.
pub(super) fn draw_one(model: &Model, area: Rect, buffer: &mut Buffer) {
    let Some(row) = &model.listing.seen else {
        let titles = Titles { left: "Connection".to_owned(), right: Vec::new() };
        frame_lines::draw(model, Some(Pane::Connection), titles, area, buffer);
        return;
    };
    let gone = model.listing.is_there() == Some(false);
    let state = if gone { " gone ".to_owned() } else { format!(" {} ", row.state) };
    let role = if gone { Role::Bad } else { cell(row, Column::State, Duration::ZERO).1 };
    let titles = Titles {
        left: format!("Connection {}", row.client),
        right: vec![Span::styled(state, model.theme.style(role))],
    };
    let inner = frame_lines::draw(model, Some(Pane::Connection), titles, area, buffer);
    let open = model.picture().now.unix.saturating_sub(row.connected_at);
    let cell = |column| cell(row, column, model.picture().now.unix).0;
    let list = [
        ("id", cell(Column::Id)),
        ("client", format!("{}, user {}", row.client, cell(Column::User))),
        ("topics", cell(Column::Topics)),
        ("place", format!("on {} from {}, open for {}", row.node, row.remote, age(open))),
        ("lag", format!("{} events of the log behind", grouped(row.lag))),
        ("sent", format!("{} events, {}", grouped(row.sent), bytes(row.bytes))),
        ("cursor", row.last_event.as_str().to_owned()),
    ];
    let list = list.map(|(label, text)| facts::Fact { label, text, role: Role::Text });
    facts::draw(model, &list, inner, buffer);
}
