//! The table of nodes. Only the rows on the screen are built; the least important columns are left out when they do
//! not fit, and no number or address is ever cut.

use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use crate::tui::config::theme::{Role, Theme};
use crate::tui::state::cluster::ClusterState;
use crate::tui::state::model::{Model, Pane};
use crate::tui::state::node::{Health, Latest, Node};
use crate::tui::state::node_column::{self, NodeColumn};
use crate::tui::state::reading::Serving;
use crate::tui::text::{cells, format};
use crate::tui::view::border::{self, Titles};
use crate::tui::view::plot;

/// Cursor, mark of the state, a blank.
const MARKS: usize = 3;
/// Longest names and states; others choose them, and longer ones are cut.
const NAME_MAX: usize = 24;
const STATE_MAX: usize = 14;
/// Smallest useful sparkline, in cells.
const TREND_MIN: usize = 12;
/// Number of columns that are more important than a sparkline, and than a longer sparkline.
const BEFORE_TREND: usize = 8;
const BEFORE_LONGER_TREND: usize = 13;
const TREND_LONGER: usize = 24;

/// A row of the table, before it is known how wide the columns are.
struct Row<'a> {
    node: &'a Node,
    health: Health,
    latest: Option<&'a Latest>,
    is_selected: bool,
    /// One cell for each of [`NodeColumn::ALL`].
    cells: Vec<String>,
}

/// The columns that fit, from left to right, and the cells left for the sparkline.
struct Columns {
    shown: Vec<(NodeColumn, usize)>,
    trend: usize,
}

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let cluster = model.cluster();
    let count = usize::from(area.height.saturating_sub(3));
    let rows = rows(model, count);
    let columns = fitting(&rows, usize::from(area.width.saturating_sub(2)));
    let inner = border::draw(model, Some(Pane::Nodes), titles(model, &columns, count), area, buffer);
    let mut lines = inner.rows();
    if let Some(line) = lines.next() {
        header(model, &columns).render(line, buffer);
    }
    if rows.is_empty()
        && let Some(line) = lines.next()
    {
        let words = " none: give --node URL or --run DIR";
        Line::styled(words, model.theme.style(Role::Dim)).render(line, buffer);
    }
    for (row, line) in rows.iter().zip(lines) {
        let style = model.theme.style(if row.is_selected { Role::Selected } else { Role::Text });
        draw_row(model, cluster, row, &columns).render(line, buffer);
        if row.is_selected {
            buffer.set_style(line, style);
        }
    }
}

fn rows(model: &Model, count: usize) -> Vec<Row<'_>> {
    let cluster = model.cluster();
    let sorted = model.node_order.sort(cluster);
    let selected = model.selected_row();
    // The frame may have another size than the model; the slice stays within the list.
    let first = if model.size == Size::default() { 0 } else { model.scroll.nodes };
    let slice = sorted.iter().enumerate().skip(first.min(sorted.len().saturating_sub(1))).take(count);
    slice
        .map(|(index, node)| {
            let health = cluster.health(node);
            let latest = node.figures(cluster.now, cluster.interval);
            let cell = |column: NodeColumn| match column {
                NodeColumn::Name => {
                    cells::cut(node.label().as_str(), NAME_MAX, model.theme.glyphs().ellipsis)
                }
                NodeColumn::Address => node.url.short(),
                NodeColumn::State => {
                    cells::cut(&node_column::state(&health), STATE_MAX, model.theme.glyphs().ellipsis)
                }
                figure => latest.map(|latest| figure.figure(latest)).unwrap_or_default(),
            };
            let cells = NodeColumn::ALL.into_iter().map(cell).collect();
            Row { node, health, latest, is_selected: index == selected, cells }
        })
        .collect()
}

/// Takes columns by importance while they fit, each as wide as its widest cell on the screen.
fn fitting(rows: &[Row<'_>], room: usize) -> Columns {
    let width = |column: NodeColumn| {
        let index = NodeColumn::ALL.iter().position(|other| *other == column).unwrap_or(0);
        let widest = rows.iter().map(|row| cells::width(&row.cells[index])).max().unwrap_or(0);
        widest.max(column.min_width())
    };
    let mut left = room.saturating_sub(MARKS);
    let mut trend = 0_usize;
    let mut chosen = Vec::new();
    for (rank, column) in NodeColumn::BY_IMPORTANCE.into_iter().enumerate() {
        if rank == BEFORE_TREND && left > TREND_MIN {
            trend = TREND_MIN;
            left -= TREND_MIN;
        }
        if rank == BEFORE_LONGER_TREND && trend > 0 {
            let more = left.min(TREND_LONGER - TREND_MIN);
            trend += more;
            left -= more;
        }
        let needed = width(column) + usize::from(!chosen.is_empty());
        if needed <= left {
            left -= needed;
            chosen.push((column, needed - usize::from(!chosen.is_empty())));
        } else if column == NodeColumn::Name {
            chosen.push((column, left));
            left = 0;
        }
    }
    // One cell stands between the table and its sparklines.
    let trend = if trend > 0 { trend + left - 1 } else { 0 };
    let shown = NodeColumn::ALL
        .into_iter()
        .filter_map(|column| chosen.iter().find(|(other, _)| *other == column).copied());
    Columns { shown: shown.collect(), trend }
}

fn titles(model: &Model, columns: &Columns, count: usize) -> Titles<'static> {
    let theme = model.theme;
    let cluster = model.cluster();
    let total = cluster.nodes.len();
    let mut left = format!("Nodes {total}");
    if total > count {
        left += &format!(", {}-{}", model.scroll.nodes + 1, (model.scroll.nodes + count).min(total));
    }
    let node_order = model.node_order;
    if !columns.shown.iter().any(|(column, _)| *column == node_order.column) {
        left += &format!(" by {}{}", node_order.column.header(), arrow(model));
    }
    let mut right = Vec::new();
    for (word, count, health) in summary(cluster) {
        let separator =
            if right.is_empty() { " ".to_owned() } else { format!(" {} ", theme.glyphs().separator) };
        right.push(Span::styled(separator, theme.style(Role::Dim)));
        right.push(Span::styled(format!("{count} {word}"), theme.style(role(&health))));
    }
    right.push(Span::raw(" "));
    Titles { left, right }
}

/// The number of nodes per state, the good ones first.
fn summary(cluster: &ClusterState) -> Vec<(String, usize, Health)> {
    let mut states: Vec<(String, usize, Health)> = Vec::new();
    for health in cluster.nodes.iter().map(|node| cluster.health(node)) {
        let word = cells::cut(&health.word().to_lowercase(), STATE_MAX, "~");
        match states.iter_mut().find(|(other, _, _)| *other == word) {
            Some((_, count, _)) => *count += 1,
            None => states.push((word, 1, health)),
        }
    }
    states.sort_by_key(|(_, _, health)| std::cmp::Reverse(health.urgency()));
    states
}

fn arrow(model: &Model) -> &'static str {
    let glyphs = model.theme.glyphs();
    if model.node_order.descending { glyphs.descending } else { glyphs.ascending }
}

fn header(model: &Model, columns: &Columns) -> Line<'static> {
    let mut line = " ".repeat(MARKS);
    for (index, (column, width)) in columns.shown.iter().enumerate() {
        let mark = if *column == model.node_order.column { arrow(model) } else { "" };
        let name = format!("{}{mark}", column.header());
        let cell = if column.is_text() { cells::left(&name, *width) } else { cells::right(&name, *width) };
        line += if index > 0 { " " } else { "" };
        line += &cells::cut(&cell, *width, "");
    }
    if columns.trend > 0 {
        let steps = u32::try_from(columns.trend).unwrap_or(u32::MAX);
        let time = model.cluster().interval.saturating_mul(steps);
        line += " ";
        line += &cells::cut(&format!("OUT/s, {}", format::age(time)), columns.trend, "");
    }
    Line::styled(line, model.theme.style(Role::Dim))
}

fn draw_row(model: &Model, cluster: &ClusterState, row: &Row<'_>, columns: &Columns) -> Line<'static> {
    let theme = model.theme;
    let glyphs = theme.glyphs();
    let cursor = if row.is_selected { glyphs.cursor } else { " " };
    let state = theme.style(role(&row.health));
    let figures = theme.style(if matches!(row.health, Health::Late(_)) { Role::Dim } else { Role::Text });
    let mut line =
        vec![Span::raw(cursor.to_owned()), Span::styled(format!("{} ", mark(&row.health, theme)), state)];
    for (index, (column, width)) in columns.shown.iter().enumerate() {
        if row.latest.is_none() && !column.is_text() {
            // Without figures the rest of the row gives the reason.
            let room =
                columns.shown[index..].iter().map(|(_, width)| width + 1).sum::<usize>() + columns.trend;
            let why = cells::cut(&why(row, cluster), room.saturating_sub(1), glyphs.ellipsis);
            line.push(Span::styled(format!(" {why}"), theme.style(Role::Dim)));
            return Line::from(line);
        }
        let cell =
            NodeColumn::ALL.iter().position(|other| other == column).map_or("", |index| &row.cells[index]);
        let cell = cells::cut(cell, *width, glyphs.ellipsis);
        let cell = if column.is_text() { cells::left(&cell, *width) } else { cells::right(&cell, *width) };
        let gap = if index > 0 { " " } else { "" };
        line.push(Span::styled(
            format!("{gap}{cell}"),
            if *column == NodeColumn::State { state } else { figures },
        ));
    }
    if columns.trend > 0 {
        let bars = plot::sparkline(row.node.trend.last(columns.trend), columns.trend, glyphs);
        line.push(Span::styled(format!(" {bars}"), theme.style(Role::Graph)));
    }
    Line::from(line)
}

/// Why a node has no figures, and the next try; the most important part first.
fn why(row: &Row<'_>, cluster: &ClusterState) -> String {
    let now = cluster.now.elapsed;
    let mut parts = Vec::new();
    match (&row.health, &row.node.failing) {
        (Health::Connecting, _) => return "waiting for the first answer".to_owned(),
        (_, Some(failing)) => {
            let wait = failing.retry_at.saturating_sub(now);
            parts.push(failing.error.short());
            parts.push(if wait.is_zero() { "trying".to_owned() } else { format!("retry {}", seconds(wait)) });
            parts.push(format!("try {}", failing.tries.saturating_add(1)));
        }
        (_, None) => parts.push("no answer".to_owned()),
    }
    if let Some(latest) = &row.node.latest {
        parts.push(format!("seen {} ago", format::age(now.saturating_sub(latest.at.elapsed))));
    }
    parts.join(", ")
}

/// Whole seconds, rounded up: a wait never reads 0 s.
fn seconds(wait: std::time::Duration) -> String {
    format::age(wait + std::time::Duration::from_millis(999))
}

pub(super) fn role(health: &Health) -> Role {
    match health {
        Health::Answering(Serving::Ready) => Role::Good,
        Health::Connecting => Role::Dim,
        Health::Answering(Serving::Starting | Serving::Degraded | Serving::Draining | Serving::Other(_))
        | Health::Late(_) => Role::Warning,
        Health::Stale(_) | Health::Down(_) => Role::Bad,
    }
}

fn mark(health: &Health, theme: Theme) -> &'static str {
    let glyphs = theme.glyphs();
    match health {
        Health::Answering(Serving::Ready) => glyphs.good,
        Health::Connecting => glyphs.waiting,
        Health::Answering(Serving::Starting | Serving::Degraded | Serving::Draining | Serving::Other(_))
        | Health::Late(_) => glyphs.warning,
        Health::Stale(_) => glyphs.stale,
        Health::Down(_) => glyphs.down,
    }
}
