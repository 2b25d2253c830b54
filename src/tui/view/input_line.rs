//! An input line with its cursor.

use ratatui::text::Span;

use crate::tui::config::theme::{Role, Theme};
use crate::tui::state::editor::Editor;
use crate::tui::text::cells::{cut, left, width};

/// The part of the line around the cursor, in exactly `cells` cells; the cursor is a reversed cell.
pub(super) fn spans(editor: &Editor, cells: usize, has_cursor: bool, theme: Theme) -> Vec<Span<'static>> {
    let chars: Vec<char> = editor.text().chars().collect();
    let mut first = 0;
    let width_of = |from: usize| width(&chars[from..editor.cursor()].iter().collect::<String>());
    while first < editor.cursor() && width_of(first) + 1 > cells {
        first += 1;
    }
    let before: String = chars[first..editor.cursor()].iter().collect();
    let under = chars.get(editor.cursor()).map_or_else(|| " ".to_owned(), char::to_string);
    let after: String = chars.iter().skip(editor.cursor() + 1).collect();
    let room = cells.saturating_sub(width(&before) + width(&under));
    let after = left(&cut(&after, room, theme.glyphs().ellipsis), room);
    let style = theme.style(if has_cursor { Role::Selected } else { Role::Text });
    vec![Span::raw(before), Span::styled(under, style), Span::raw(after)]
}
