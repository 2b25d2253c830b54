//! The alerts, and the counts of gaps, closed and refused streams since the nodes' start, by reason.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use crate::tui::config::theme::Role;
use crate::tui::state::change::Tone;
use crate::tui::state::cluster::ClusterState;
use crate::tui::state::model::{Model, Pane};
use crate::tui::state::node::Node;
use crate::tui::state::reading::Reading;
use crate::tui::text::cells;
use crate::tui::text::format::grouped;
use crate::tui::text::sanitize::SafeText;
use crate::tui::view::border::{self, Titles};
use crate::tui::view::table::{Column, Row, Table};

/// Longest name of a subject.
const SUBJECT_MAX: usize = 26;

const DROPS: [Column; 4] = [
    Column { header: "WHAT", min: 8, max: 10, is_figure: false, rank: 0 },
    Column { header: "REASON", min: 10, max: 22, is_figure: false, rank: 1 },
    Column { header: "COUNT", min: 8, max: 16, is_figure: true, rank: 2 },
    Column { header: "MOST AT", min: 8, max: 24, is_figure: false, rank: 3 },
];

/// Draws the alerts.
pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    let alerts = &model.cluster().alerts;
    let titles = Titles { left: format!("Now {}", alerts.len()), right: Vec::new() };
    let inner = border::draw(model, Some(Pane::Alerts), titles, area, buffer);
    if alerts.is_empty() {
        let words =
            if model.cluster().totals.fresh == 0 { " no node answers yet" } else { " nothing is wrong" };
        Line::styled(words, theme.style(Role::Good)).render(inner, buffer);
        return;
    }
    let ellipsis = theme.glyphs().ellipsis;
    let name_width =
        alerts.iter().map(|alert| cells::width(alert.subject.as_str())).max().unwrap_or(0).min(SUBJECT_MAX);
    let mut rows = inner.rows();
    for alert in alerts.iter().skip(model.scroll.alerts) {
        let Some(row) = rows.next() else { break };
        let role = role(alert.tone);
        let name = cells::left(&cells::cut(alert.subject.as_str(), name_width, ellipsis), name_width);
        let room = usize::from(row.width).saturating_sub(name_width + 4);
        let words = cells::cut(&alert.text, room, ellipsis);
        let beside = room.saturating_sub(cells::width(&words) + 2);
        let mut line = vec![
            Span::styled(" ! ", theme.style(role)),
            Span::raw(name),
            Span::styled(format!(" {words}"), theme.style(role)),
        ];
        if cells::width(alert.advice) <= beside {
            line.push(Span::styled(format!("  {}", alert.advice), theme.style(Role::Dim)));
            Line::from(line).render(row, buffer);
            continue;
        }
        Line::from(line).render(row, buffer);
        let Some(row) = rows.next() else { break };
        let indent = name_width + 4;
        let advice = cells::cut(alert.advice, usize::from(row.width).saturating_sub(indent), ellipsis);
        Line::styled(format!("{}{advice}", " ".repeat(indent)), theme.style(Role::Dim)).render(row, buffer);
    }
}

fn role(tone: Tone) -> Role {
    match tone {
        Tone::Good => Role::Good,
        Tone::Neutral => Role::Text,
        Tone::Warning => Role::Warning,
        Tone::Bad => Role::Bad,
    }
}

/// Draws the table of gaps, closed and refused streams.
pub(super) fn draw_drops(model: &Model, area: Rect, buffer: &mut Buffer) {
    let titles = Titles { left: "Dropped, closed, refused".to_owned(), right: Vec::new() };
    let inner = border::draw(model, Some(Pane::Drops), titles, area, buffer);
    let drops = drops(model.cluster());
    if drops.is_empty() {
        Line::styled(" nothing so far", model.theme.style(Role::Dim)).render(inner, buffer);
        return;
    }
    let rows: Vec<_> = drops.into_iter().map(|drop| drop.row()).collect();
    Table { columns: &DROPS, rows: &rows, sorted: None }.draw(model.theme, inner, buffer);
}

/// The counts of one reason, over all nodes.
struct Drop {
    what: &'static str,
    reason: SafeText,
    count: u64,
    /// The node with the highest count.
    most: (SafeText, u64),
}

impl Drop {
    fn row(self) -> Row {
        let is_bad = matches!((self.what, self.reason.as_str()), ("gap", _) | (_, "slow" | "stalled"));
        let role = if is_bad { Role::Warning } else { Role::Text };
        Row {
            cells: vec![
                (self.what.to_owned(), role),
                (self.reason.as_str().to_owned(), Role::Text),
                (grouped(self.count), Role::Text),
                (self.most.0.as_str().to_owned(), Role::Dim),
            ],
            is_selected: false,
            is_dim: false,
        }
    }
}

/// Gaps first, then closed and refused streams, each with the most frequent reason first.
fn drops(cluster: &ClusterState) -> Vec<Drop> {
    type Of = fn(&Reading) -> &[(SafeText, u64)];
    let kinds: [(&str, Of); 3] = [
        ("gap", |reading| &reading.gaps),
        ("closed", |reading| &reading.closed),
        ("refused", |reading| &reading.rejected),
    ];
    let mut drops: Vec<Drop> = Vec::new();
    for (what, of) in kinds {
        let first = drops.len();
        for node in &cluster.nodes {
            add(node, what, of, &mut drops);
        }
        drops[first..].sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
    }
    drops
}

fn add(node: &Node, what: &'static str, of: fn(&Reading) -> &[(SafeText, u64)], drops: &mut Vec<Drop>) {
    let Some(latest) = &node.latest else { return };
    for (reason, count) in of(&latest.reading) {
        let known = drops.iter_mut().find(|drop| drop.what == what && drop.reason == *reason);
        match known {
            Some(drop) => {
                drop.count = drop.count.saturating_add(*count);
                if *count > drop.most.1 {
                    drop.most = (node.label(), *count);
                }
            }
            None => {
                drops.push(Drop {
                    what,
                    reason: reason.clone(),
                    count: *count,
                    most: (node.label(), *count),
                });
            }
        }
    }
}
