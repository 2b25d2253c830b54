//! Labelled lines. The most important ones come first: a low pane shows only those.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use crate::tui::config::key::Action;
use crate::tui::config::theme::Role;
use crate::tui::state::model::Model;
use crate::tui::text::cells;
use crate::tui::view::layout::{self, Shape};

const LABEL: usize = 10;

/// A labelled line.
pub(super) struct Fact {
    pub(super) label: &'static str,
    pub(super) text: String,
    pub(super) role: Role,
}

/// Draws as many lines as fit; the last one gives the number of hidden lines.
pub(super) fn draw(model: &Model, facts: &[Fact], area: Rect, buffer: &mut Buffer) {
    let ellipsis = model.theme.glyphs().ellipsis;
    let room = usize::from(area.width).saturating_sub(LABEL + 1);
    let hidden = facts.len().saturating_sub(usize::from(area.height));
    for (index, (fact, row)) in facts.iter().zip(area.rows()).enumerate() {
        let is_last = index + 1 == usize::from(area.height);
        let line = if hidden > 0 && is_last {
            let words = format!(" {} more lines: {}", hidden + 1, how_to_see_them(model));
            vec![Span::styled(words, model.theme.style(Role::Dim))]
        } else {
            vec![
                Span::styled(format!(" {}", cells::left(fact.label, LABEL)), model.theme.style(Role::Dim)),
                Span::styled(cells::cut(&fact.text, room, ellipsis), model.theme.style(fact.role)),
            ]
        };
        Line::from(line).render(row, buffer);
    }
}

/// How to see the hidden lines: zoom the pane, or enlarge the terminal when the pane is alone already.
fn how_to_see_them(model: &Model) -> String {
    let screen = Rect::from((Position::ORIGIN, model.size));
    if model.is_zoomed || layout::shape(screen) == Some(Shape::Single) {
        return "enlarge the terminal".to_owned();
    }
    let key = |action| model.keymap.key(action, model.theme.glyphs().ascii);
    format!("{} here, then {}", key(Action::NextPane), key(Action::Zoom))
}
