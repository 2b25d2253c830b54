//! The list of changes, newest first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use crate::tui::config::theme::Role;
use crate::tui::state::change::Tone;
use crate::tui::state::model::{Model, Pane};
use crate::tui::text::{cells, format};
use crate::tui::view::border::{self, Titles};

/// Longest name of a node in this pane.
const NAME_MAX: usize = 20;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    let changes = &model.cluster().changes;
    let above = match model.scroll.changes {
        0 => Vec::new(),
        newer => vec![Span::styled(format!(" {newer} newer above "), theme.style(Role::Dim))],
    };
    let titles = Titles { left: format!("Changes {}", changes.len()), right: above };
    let inner = border::draw(model, Some(Pane::Changes), titles, area, buffer);
    if changes.is_empty() {
        Line::styled(" nothing happened so far", theme.style(Role::Dim)).render(inner, buffer);
    }
    let shown = changes.iter().skip(model.scroll.changes).take(usize::from(inner.height));
    let ellipsis = theme.glyphs().ellipsis;
    let name_width =
        shown.clone().map(|change| cells::width(change.node.as_str())).max().unwrap_or(0).min(NAME_MAX);
    for (change, row) in shown.zip(inner.rows()) {
        let role = match change.tone {
            Tone::Good => Role::Good,
            Tone::Neutral => Role::Text,
            Tone::Warning => Role::Warning,
            Tone::Bad => Role::Bad,
        };
        let clock = format!(" {} ", format::clock(change.at.unix));
        let name = cells::left(&cells::cut(change.node.as_str(), name_width, ellipsis), name_width);
        let room = usize::from(row.width).saturating_sub(cells::width(&clock) + name_width + 1);
        Line::from(vec![
            Span::styled(clock, theme.style(Role::Dim)),
            Span::styled(name, theme.style(Role::Text)),
            Span::styled(format!(" {}", cells::cut(&change.text, room, ellipsis)), theme.style(role)),
        ])
        .render(row, buffer);
    }
}
