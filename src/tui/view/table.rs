//! A table of the rows on the screen: the least important columns are left out when they do not fit, figures are
//! never cut, texts are cut with a sign. The caller chooses the rows. Read [`Table`] first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use crate::tui::config::theme::{Role, Theme};
use crate::tui::text::cells;

#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) header: &'static str,
    /// Smallest width; a column that changes its width with every figure is hard to read.
    pub(super) min: usize,
    /// Largest width; a longer text is cut.
    pub(super) max: usize,
    pub(super) is_figure: bool,
    /// Columns with the highest rank are left out first.
    pub(super) rank: u8,
}

/// A row, with a cell for every column.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) cells: Vec<(String, Role)>,
    pub(super) is_selected: bool,
    /// Draws the whole row dim, because its figures are old or missing.
    pub(super) is_dim: bool,
}

#[derive(Debug)]
pub(super) struct Table<'a> {
    pub(super) columns: &'a [Column],
    pub(super) rows: &'a [Row],
    /// The index of the sorted column, and whether its order is descending.
    pub(super) sorted: Option<(usize, bool)>,
}

impl Table<'_> {
    /// Draws the header and as many rows as there are lines.
    pub(super) fn draw(&self, theme: Theme, area: Rect, buffer: &mut Buffer) {
        let shown = self.fitting(usize::from(area.width.saturating_sub(2)));
        let mut lines = area.rows();
        if let Some(line) = lines.next() {
            self.header(theme, &shown).render(line, buffer);
        }
        for (row, line) in self.rows.iter().zip(lines) {
            draw_row(row, &shown, self.columns, theme).render(line, buffer);
            if row.is_selected {
                buffer.set_style(line, theme.style(Role::Selected));
            }
        }
    }

    /// The columns that fit, from left to right, with their widths; cut texts get the cells that are left.
    fn fitting(&self, room: usize) -> Vec<(usize, usize)> {
        let needed = |index: usize| {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(index));
            let widest = cells.map(|(text, _)| cells::width(text)).max().unwrap_or(0);
            widest.max(self.columns[index].min)
        };
        let mut by_rank: Vec<_> = (0..self.columns.len()).collect();
        by_rank.sort_by_key(|index| self.columns[*index].rank);
        let (mut left, mut shown) = (room, Vec::new());
        for index in by_rank {
            let width = needed(index).min(self.columns[index].max);
            let gap = usize::from(!shown.is_empty());
            if width + gap <= left {
                left -= width + gap;
                shown.push((index, width));
            } else if shown.is_empty() {
                shown.push((index, left));
                left = 0;
            }
        }
        for (index, width) in &mut shown {
            let more = needed(*index).saturating_sub(*width).min(left);
            *width += more;
            left -= more;
        }
        shown.sort_unstable();
        shown
    }

    fn header(&self, theme: Theme, shown: &[(usize, usize)]) -> Line<'static> {
        let glyphs = theme.glyphs();
        let mut line = " ".to_owned();
        for (index, width) in shown {
            let column = &self.columns[*index];
            let mark = match self.sorted {
                Some((sorted, true)) if sorted == *index => glyphs.descending,
                Some((sorted, false)) if sorted == *index => glyphs.ascending,
                _ => "",
            };
            let name = cells::cut(&format!("{}{mark}", column.header), *width, "");
            line += &if column.is_figure { cells::right(&name, *width) } else { cells::left(&name, *width) };
            line.push(' ');
        }
        Line::styled(line, theme.style(Role::Dim))
    }
}

fn draw_row(row: &Row, shown: &[(usize, usize)], columns: &[Column], theme: Theme) -> Line<'static> {
    let glyphs = theme.glyphs();
    let cursor = if row.is_selected { glyphs.cursor } else { " " };
    let mut line = vec![Span::raw(cursor)];
    for (index, width) in shown {
        let Some((cell, role)) = row.cells.get(*index) else { continue };
        let cell = cells::cut(cell, *width, glyphs.ellipsis);
        let cell =
            if columns[*index].is_figure { cells::right(&cell, *width) } else { cells::left(&cell, *width) };
        let role = if row.is_dim { Role::Dim } else { *role };
        line.push(Span::styled(format!("{cell} "), theme.style(role)));
    }
    Line::from(line)
}
