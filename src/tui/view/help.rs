//! The help overlay: every key of the table, over the screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget as _};

use crate::tui::config::key::{Action, Step};
use crate::tui::config::theme::Role;
use crate::tui::state::model::Model;
use crate::tui::text::cells;
use crate::tui::view::border::{self, Titles};
use crate::tui::view::layout;

/// Draws the overlay in the middle, as large as the table or the screen.
pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    let bindings = model.keymap.bindings();
    let labels: Vec<_> = bindings.iter().map(|binding| binding.label(theme.glyphs().ascii)).collect();
    let label_width = labels.iter().map(|label| cells::width(label)).max().unwrap_or(0);
    let widest = bindings.iter().map(|binding| cells::width(binding.help)).max().unwrap_or(0);
    let lines = layout::help_lines(area.as_size()).min(bindings.len());
    let wanted = (label_width + widest + 6, lines + 2);
    let overlay = centred(area, wanted);
    Clear.render(overlay, buffer);
    let first = model.scroll.help.min(bindings.len().saturating_sub(lines));
    let below = bindings.len().saturating_sub(first + lines);
    let key = |step| model.keymap.key(Action::Move(step), theme.glyphs().ascii);
    let right = match (first, below) {
        (0, 0) => format!(" v{} ", env!("CARGO_PKG_VERSION")),
        (_, 0) => format!(" {} shows more above ", key(Step::Up)),
        (_, _) => format!(" {below} more, {} shows them ", key(Step::Down)),
    };
    let titles = Titles { left: "Keys".to_owned(), right: vec![Span::raw(right)] };
    let inner = border::draw(model, None, titles, overlay, buffer);
    let room = usize::from(inner.width).saturating_sub(label_width + 4);
    for ((binding, label), row) in bindings.iter().zip(&labels).skip(first).zip(inner.rows()) {
        Line::from(vec![
            Span::styled(format!(" {}  ", cells::left(label, label_width)), theme.style(Role::Key)),
            Span::styled(cells::cut(binding.help, room, theme.glyphs().ellipsis), theme.style(Role::Text)),
        ])
        .render(row, buffer);
    }
}

/// A rectangle of this width and height in the middle, cut to the area.
pub(super) fn centred(area: Rect, (width, height): (usize, usize)) -> Rect {
    let cells = |wanted: usize, there: u16| u16::try_from(wanted).unwrap_or(u16::MAX).min(there);
    let (width, height) = (cells(width, area.width), cells(height, area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}
