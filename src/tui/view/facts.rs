//! Lines of a label and what there is to say about it. The most important ones come first: a low pane shows only those.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use super::text;
use crate::tui::model::Model;
use crate::tui::theme::Role;

const LABEL: usize = 10;

/// A line.
pub(super) struct Fact {
    pub(super) label: &'static str,
    pub(super) text: String,
    pub(super) role: Role,
}

/// Draws as many as fit; the last line says how many more there are.
pub(super) fn draw(model: &Model, facts: &[Fact], area: Rect, buffer: &mut Buffer) {
    let ellipsis = model.theme.glyphs().ellipsis;
    let room = usize::from(area.width).saturating_sub(LABEL + 1);
    let hidden = facts.len().saturating_sub(usize::from(area.height));
    for (index, (fact, row)) in facts.iter().zip(area.rows()).enumerate() {
        let is_last = index + 1 == usize::from(area.height);
        let line = if hidden > 0 && is_last {
            let words = format!(" {} more lines: Tab here, then z", hidden + 1);
            vec![Span::styled(words, model.theme.style(Role::Dim))]
        } else {
            vec![
                Span::styled(format!(" {}", text::left(fact.label, LABEL)), model.theme.style(Role::Dim)),
                Span::styled(text::cut(&fact.text, room, ellipsis), model.theme.style(fact.role)),
            ]
        };
        Line::from(line).render(row, buffer);
    }
}
