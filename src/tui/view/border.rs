//! The border of a pane, with a title on the left and one on the right. A right title that does not fit is left out,
//! a left one is cut with a sign.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget as _};

use crate::tui::config::theme::Role;
use crate::tui::state::model::{Model, Pane};
use crate::tui::text::cells;

/// The titles in the upper border of a pane.
pub(super) struct Titles<'a> {
    pub(super) left: String,
    pub(super) right: Vec<Span<'a>>,
}

/// Draws the border and returns the area inside.
pub(super) fn draw(
    model: &Model,
    pane: Option<Pane>,
    titles: Titles<'_>,
    area: Rect,
    buffer: &mut Buffer,
) -> Rect {
    let theme = model.theme;
    let is_focused = pane.is_none_or(|pane| pane == model.focus);
    let border = theme.style(if is_focused { Role::FocusedBorder } else { Role::Border });
    let block = Block::bordered().border_set(theme.glyphs().border).border_style(border);
    let inner = block.inner(area);
    let room = usize::from(inner.width);
    let left = cells::cut(&format!(" {} ", titles.left), room, theme.glyphs().ellipsis);
    let right = Line::from(titles.right).right_aligned();
    let mut block = block;
    if right.width() > 0 && cells::width(&left) + right.width() < room {
        block = block.title_top(right);
    }
    block.title_top(Line::styled(left, theme.style(Role::Title))).render(area, buffer);
    inner
}
