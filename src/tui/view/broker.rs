//! The broker screen: size and growth of the log, figures of its server, and the lag of each node.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use crate::tui::config::theme::Role;
use crate::tui::state::cluster::ClusterState;
use crate::tui::state::model::{Model, Pane};
use crate::tui::state::node::Node;
use crate::tui::state::node_column;
use crate::tui::state::reading::{BrokerServer, Log};
use crate::tui::text::format::{age, bytes, count, grouped, millis, rate};
use crate::tui::text::sanitize::SafeText;
use crate::tui::view::border::{self, Titles};
use crate::tui::view::facts::{self, Fact};
use crate::tui::view::nodes;
use crate::tui::view::table::{Column, Row, Table};

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

/// Draws the facts about the log.
pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let cluster = model.cluster();
    let Some(log) = log(cluster) else {
        let titles = Titles { left: "Log".to_owned(), right: Vec::new() };
        let inner = border::draw(model, Some(Pane::Log), titles, area, buffer);
        let fact = Fact { label: "figures", text: "no node answers".to_owned(), role: Role::Dim };
        facts::draw(model, &[fact], inner, buffer);
        return;
    };
    let right = match (&log.rtt, cluster.totals.epochs.len()) {
        (_, 2..) => Span::styled(" ! different logs ", model.theme.style(Role::Bad)),
        (None, _) => Span::styled(" ! does not answer ", model.theme.style(Role::Bad)),
        (Some(rtt), _) => Span::styled(format!(" {} ms ", millis(*rtt)), model.theme.style(Role::Good)),
    };
    let titles = Titles { left: format!("Log {}", log.broker), right: vec![right] };
    let inner = border::draw(model, Some(Pane::Log), titles, area, buffer);
    facts::draw(model, &facts_of(cluster, log), inner, buffer);
}

/// The log as the node of cluster-wide requests sees it, or any node that has answered.
fn log(cluster: &ClusterState) -> Option<&Log> {
    let answering_node = cluster.answering_node().and_then(|node| node.latest.as_ref());
    let anybody = || cluster.nodes.iter().find_map(|node| node.latest.as_ref());
    answering_node.or_else(anybody).map(|latest| &latest.reading.log)
}

fn facts_of(cluster: &ClusterState, log: &Log) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut fact = |label, text: String, role| facts.push(Fact { label, text, role });
    let now = cluster.now.unix;
    fact("events", format!("{} kept, {}", grouped(log.length), bytes(log.bytes)), Role::Text);
    let appended = cluster.totals.appended.map_or_else(|| "-".to_owned(), rate);
    let read = cluster.totals.sent.map_or_else(|| "-".to_owned(), rate);
    fact("rate", format!("{appended}/s in, {read}/s out to streams"), Role::Text);
    fact("newest", position(&log.newest, now), Role::Text);
    fact("oldest", position(&log.oldest, now), Role::Text);
    let epochs: Vec<_> = cluster.totals.epochs.iter().map(SafeText::as_str).collect();
    let role = if epochs.len() > 1 { Role::Bad } else { Role::Text };
    fact("epoch", if epochs.is_empty() { log.epoch.as_str().to_owned() } else { epochs.join(", ") }, role);
    let repaired =
        format!("{} ended, {} events appended again", count(log.histories_ended), count(log.appended_again));
    fact("histories", repaired, if log.histories_ended > 0 { Role::Warning } else { Role::Text });
    let mail = format!("{} with {} messages", grouped(log.mailboxes), grouped(log.mailbox_messages));
    fact("mailboxes", mail, Role::Text);
    if let Some(server) = &log.server {
        facts.extend(server_facts(server));
    }
    facts
}

fn server_facts(server: &BrokerServer) -> Vec<Fact> {
    let fact = |label, text: String, role| Fact { label, text, role };
    let full = server.memory_max > 0 && server.memory > server.memory_max / 10 * 9;
    let of = if server.memory_max == 0 {
        ", no limit".to_owned()
    } else {
        format!(" of {}", bytes(server.memory_max))
    };
    let up = age(server.uptime);
    let (saved, role) = if server.saves { ("ok", Role::Text) } else { ("failed", Role::Bad) };
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
        fact("replicas", format!("{}; last write to disk: {saved}", count(server.replicas)), role),
    ]
}

/// A position with its age: its second part is milliseconds since 1970.
fn position(id: &SafeText, now: Duration) -> String {
    let ms = id.as_str().split('-').nth(1).and_then(|ms| ms.parse().ok()).filter(|ms| *ms > 0);
    match ms.map(Duration::from_millis) {
        Some(at) => format!("{id}, {} ago", age(now.saturating_sub(at))),
        None => format!("{id}, the start of the epoch"),
    }
}

/// Draws the table of nodes with their lag.
pub(super) fn draw_nodes(model: &Model, area: Rect, buffer: &mut Buffer) {
    let cluster = model.cluster();
    let titles = Titles { left: format!("Nodes {}", cluster.nodes.len()), right: Vec::new() };
    let inner = border::draw(model, Some(Pane::LogNodes), titles, area, buffer);
    let sorted = model.node_order.sort(cluster);
    let selected = model.selected_row();
    let room = usize::from(inner.height.saturating_sub(1));
    let shown = sorted.iter().enumerate().skip(model.scroll.nodes).take(room);
    let rows: Vec<_> = shown
        .map(|(index, node)| Row {
            cells: cells(cluster, node),
            is_selected: index == selected,
            is_dim: node.figures(cluster.now, cluster.interval).is_none(),
        })
        .collect();
    Table { columns: &COLUMNS, rows: &rows, sorted: None }.draw(model.theme, inner, buffer);
}

fn cells(cluster: &ClusterState, node: &Node) -> Vec<(String, Role)> {
    let health = cluster.health(node);
    let mut cells = vec![
        (node.label().as_str().to_owned(), Role::Text),
        (node_column::state(&health), nodes::role(&health)),
    ];
    let Some(latest) = node.figures(cluster.now, cluster.interval) else {
        cells.resize(COLUMNS.len(), ("-".to_owned(), Role::Dim));
        return cells;
    };
    let (reading, log) = (&latest.reading, &latest.reading.log);
    let behind = if reading.lag > 0 { Role::Warning } else { Role::Text };
    let epoch = if cluster.totals.epochs.len() > 1 { Role::Bad } else { Role::Text };
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
