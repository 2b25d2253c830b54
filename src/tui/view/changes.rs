//! What happened to the nodes, newest first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use super::frame_lines::{self, Titles};
use super::text;
use crate::tui::model::{Model, Pane};
use crate::tui::numbers;
use crate::tui::picture::Tone;
use crate::tui::theme::Role;

/// Longest name of a node in this pane.
const NAME_MAX: usize = 20;

/// Draws the pane.
pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    let changes = &model.picture().changes;
    let above = match model.first_change {
        0 => Vec::new(),
        newer => vec![Span::styled(format!(" {newer} newer above "), theme.style(Role::Dim))],
    };
    let titles = Titles { left: format!("Changes {}", changes.len()), right: above };
    let inner = frame_lines::draw(model, Some(Pane::Changes), titles, area, buffer);
    if changes.is_empty() {
        Line::styled(" nothing happened so far", theme.style(Role::Dim)).render(inner, buffer);
    }
    let shown = changes.iter().skip(model.first_change).take(usize::from(inner.height));
    let ellipsis = theme.glyphs().ellipsis;
    let name_width =
        shown.clone().map(|change| text::width(change.node.as_str())).max().unwrap_or(0).min(NAME_MAX);
    for (change, row) in shown.zip(inner.rows()) {
        let role = match change.tone {
            Tone::Good => Role::Good,
            Tone::Neutral => Role::Text,
            Tone::Warning => Role::Warning,
            Tone::Bad => Role::Bad,
        };
        let clock = format!(" {} ", numbers::clock(change.at.unix));
        let name = text::left(&text::cut(change.node.as_str(), name_width, ellipsis), name_width);
        let room = usize::from(row.width).saturating_sub(text::width(&clock) + name_width + 1);
        Line::from(vec![
            Span::styled(clock, theme.style(Role::Dim)),
            Span::styled(name, theme.style(Role::Text)),
            Span::styled(format!(" {}", text::cut(&change.text, room, ellipsis)), theme.style(role)),
        ])
        .render(row, buffer);
    }
}
