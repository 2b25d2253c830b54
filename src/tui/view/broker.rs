//! The log that the nodes share: what it holds, how fast it grows, what its server says, and how far behind it each
//! node is.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::facts::{self, Fact};
use super::frame_lines::{self, Titles};
use super::nodes;
use super::table::{Column, Row, Table};
use crate::tui::column;
use crate::tui::model::{Model, Pane};
use crate::tui::node::Node;
use crate::tui::numbers::{age, bytes, count, grouped, millis, rate};
use crate::tui::picture::Picture;
use crate::tui::plain::Plain;
use crate::tui::reading::{Log, StoreServer};
use crate::tui::theme::Role;

const COLUMNS: [Column; 9] = [
    column("NODE", 6, 24, false, 0),
    column("STATE", 8, 14, false, 1),
    column("BEHINDms", 8, 12, true, 2),
    column("READ/s", 7, 9, true, 3),
    column("RTTms", 6, 9, true, 4),
    column("WINDOW", 7, 12, true, 6),
    column("LOG", 9, 12, true, 7),
    column("EPOCH", 8, 12, false, 5),
    column("NEWEST", 10, 40, false, 8),
];

const fn column(header: &'static str, min: usize, max: usize, is_figure: bool, rank: u8) -> Column {
    Column { header, min, max, is_figure, rank }
}

/// Draws what the log holds.
pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let picture = model.picture();
    let Some(log) = log(picture) else {
        let titles = Titles { left: "Log".to_owned(), right: Vec::new() };
        let inner = frame_lines::draw(model, Some(Pane::Log), titles, area, buffer);
        let fact = Fact { label: "figures", text: "no node tells any".to_owned(), role: Role::Dim };
        facts::draw(model, &[fact], inner, buffer);
        return;
    };
    let right = match (&log.rtt, picture.totals.epochs.len()) {
        (_, 2..) => Span::styled(" ! different logs ", model.theme.style(Role::Bad)),
        (None, _) => Span::styled(" ! does not answer ", model.theme.style(Role::Bad)),
        (Some(rtt), _) => Span::styled(format!(" {} ms ", millis(*rtt)), model.theme.style(Role::Good)),
    };
    let titles = Titles { left: format!("Log {}", log.broker), right: vec![right] };
    let inner = frame_lines::draw(model, Some(Pane::Log), titles, area, buffer);
    facts::draw(model, &facts_of(picture, log), inner, buffer);
}

/// The log as the node sees it that answers for all.
fn log(picture: &Picture) -> Option<&Log> {
    let speaker = picture.speaker().and_then(|node| node.latest.as_ref());
    let anybody = || picture.nodes.iter().find_map(|node| node.latest.as_ref());
    speaker.or_else(anybody).map(|latest| &latest.reading.log)
}

fn facts_of(picture: &Picture, log: &Log) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut fact = |label, text: String, role| facts.push(Fact { label, text, role });
    let now = picture.now.unix;
    fact("events", format!("{} kept, {}", grouped(log.length), bytes(log.bytes)), Role::Text);
    let appended = picture.totals.appended.map_or_else(|| "-".to_owned(), rate);
    let read = picture.totals.sent.map_or_else(|| "-".to_owned(), rate);
    fact("rate", format!("{appended}/s in, {read}/s out to readers"), Role::Text);
    fact("newest", position(&log.newest, now), Role::Text);
    fact("oldest", position(&log.oldest, now), Role::Text);
    let epochs: Vec<_> = picture.totals.epochs.iter().map(Plain::as_str).collect();
    let role = if epochs.len() > 1 { Role::Bad } else { Role::Text };
    fact("epoch", if epochs.is_empty() { log.epoch.as_str().to_owned() } else { epochs.join(", ") }, role);
    let repaired =
        format!("{} ended, {} events put back", count(log.histories_ended), count(log.appended_again));
    fact("histories", repaired, if log.histories_ended > 0 { Role::Warning } else { Role::Text });
    let mail = format!("{} with {} messages", grouped(log.mailboxes), grouped(log.mailbox_messages));
    fact("mailboxes", mail, Role::Text);
    if let Some(server) = &log.server {
        facts.extend(server_facts(server));
    }
    facts
}

fn server_facts(server: &StoreServer) -> Vec<Fact> {
    let fact = |label, text: String, role| Fact { label, text, role };
    let full = server.memory_max > 0 && server.memory > server.memory_max / 10 * 9;
    let of = if server.memory_max == 0 {
        ", no limit".to_owned()
    } else {
        format!(" of {}", bytes(server.memory_max))
    };
    let up = age(server.uptime);
    let (saves, role) =
        if server.saves { ("saves", Role::Text) } else { ("its last write to disk failed", Role::Bad) };
    let place = server.place.as_str();
    let place = place.split_once("://").map_or(place, |(_, place)| place);
    vec![
        fact("server", format!("{place}, version {}", server.version), Role::Text),
        fact("up", format!("for {up}"), Role::Text),
        fact("memory", format!("{}{of}", bytes(server.memory)), if full { Role::Bad } else { Role::Text }),
        fact(
            "commands",
            format!("{}/s from {} connections", count(server.commands_per_second), count(server.clients)),
            Role::Text,
        ),
        fact("replicas", format!("{}, {saves}", count(server.replicas)), role),
    ]
}

/// A position with its age: its second part is milliseconds since 1970.
fn position(id: &Plain, now: Duration) -> String {
    let ms = id.as_str().split('-').nth(1).and_then(|ms| ms.parse().ok()).filter(|ms| *ms > 0);
    match ms.map(Duration::from_millis) {
        Some(at) => format!("{id}, {} ago", age(now.saturating_sub(at))),
        None => format!("{id}, the beginning of the history"),
    }
}

/// Draws how each node stands to the log.
pub(super) fn draw_nodes(model: &Model, area: Rect, buffer: &mut Buffer) {
    let picture = model.picture();
    let titles = Titles { left: format!("Nodes {}", picture.nodes.len()), right: Vec::new() };
    let inner = frame_lines::draw(model, Some(Pane::LogNodes), titles, area, buffer);
    let sorted = model.sorting.sort(picture);
    let selected = model.selected_row();
    let room = usize::from(inner.height.saturating_sub(1));
    let shown = sorted.iter().enumerate().skip(model.first_node).take(room);
    let rows: Vec<_> = shown
        .map(|(index, node)| Row {
            cells: cells(picture, node),
            is_selected: index == selected,
            is_dim: node.figures(picture.now, picture.interval).is_none(),
        })
        .collect();
    Table { columns: &COLUMNS, rows: &rows, sorted: None }.draw(model.theme, inner, buffer);
}

fn cells(picture: &Picture, node: &Node) -> Vec<(String, Role)> {
    let health = picture.health(node);
    let mut cells =
        vec![(node.label().as_str().to_owned(), Role::Text), (column::state(&health), nodes::role(&health))];
    let Some(latest) = node.figures(picture.now, picture.interval) else {
        cells.resize(COLUMNS.len(), ("-".to_owned(), Role::Dim));
        return cells;
    };
    let (reading, log) = (&latest.reading, &latest.reading.log);
    let behind = if reading.lag > 0 { Role::Warning } else { Role::Text };
    let epoch = if picture.totals.epochs.len() > 1 { Role::Bad } else { Role::Text };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    cells.extend([
        (grouped(reading.lag), behind),
        (or_dash(latest.rates.map(|rates| rate(rates.tailed))), Role::Text),
        (
            log.rtt.map_or_else(|| "none".to_owned(), millis),
            if log.rtt.is_some() { Role::Text } else { Role::Bad },
        ),
        (count(reading.window_frames), Role::Text),
        (count(log.length), Role::Text),
        (log.epoch.as_str().to_owned(), epoch),
        (log.newest.as_str().to_owned(), Role::Dim),
    ]);
    cells
}
