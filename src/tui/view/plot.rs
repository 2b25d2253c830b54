//! Lines and bars of series: Braille dots in Unicode, one character per point in ASCII. A hole in a series stays a
//! hole in the line. Read [`Plot`] first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::config::theme::Glyphs;

/// Lines over the same axes. The newest value of each stands at the right edge.
pub(super) struct Plot<'a> {
    pub(super) lines: &'a [PlotLine],
    /// Steps from the left to the right edge.
    pub(super) steps: usize,
    /// Value at the top; the bottom is zero.
    pub(super) max: f64,
    pub(super) ascii: bool,
}

/// One line; a later one is drawn over an earlier one.
pub(super) struct PlotLine {
    pub(super) values: Vec<Option<f64>>,
    pub(super) style: Style,
    /// The mark of this line in ASCII.
    pub(super) mark: char,
}

/// Dots of Braille by column and row of a cell.
const BRAILLE: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

impl Plot<'_> {
    pub(super) fn draw(&self, area: Rect, buffer: &mut Buffer) {
        if area.is_empty() {
            return;
        }
        let (across, down) = if self.ascii { (1, 1) } else { (2, 4) };
        let (columns, rows) = (usize::from(area.width) * across, usize::from(area.height) * down);
        for line in self.lines {
            let mut before = None;
            let known = line.values.len();
            for (index, value) in line.values.iter().enumerate() {
                let point = value.map(|value| {
                    let step = (index + self.steps).saturating_sub(known);
                    (scaled(step, self.steps, columns), self.row(value, rows))
                });
                if let Some(to) = point {
                    for (x, y) in between(before.unwrap_or(to), to) {
                        self.dot(area, buffer, line, (x, y));
                    }
                }
                before = point;
            }
        }
    }

    fn row(&self, value: f64, rows: usize) -> usize {
        let share = if self.max > 0.0 { (value / self.max).clamp(0.0, 1.0) } else { 0.0 };
        rows - 1 - nearest(share * (rows - 1) as f64)
    }

    fn dot(&self, area: Rect, buffer: &mut Buffer, line: &PlotLine, (x, y): (usize, usize)) {
        let (across, down) = if self.ascii { (1, 1) } else { (2, 4) };
        let (column, row) = (x / across, y / down);
        // Both are below the area's width and height, which are u16.
        let position = (
            area.x + u16::try_from(column).unwrap_or(u16::MAX),
            area.y + u16::try_from(row).unwrap_or(u16::MAX),
        );
        let Some(cell) = buffer.cell_mut(position) else { return };
        if self.ascii {
            cell.set_char(line.mark);
        } else {
            let old = u32::from(cell.symbol().chars().next().unwrap_or(' '));
            let dots = if (0x2800..0x2900).contains(&old) { old } else { 0x2800 };
            cell.set_char(char::from_u32(dots | BRAILLE[x % 2][y % 4]).unwrap_or(' '));
        }
        cell.set_style(line.style);
    }
}

/// One character per value, the newest at the right edge; missing values are blanks on the left.
pub(super) fn sparkline(
    values: impl ExactSizeIterator<Item = Option<f64>>,
    cells: usize,
    glyphs: &Glyphs,
) -> String {
    let values: Vec<_> = values.collect();
    let max = values.iter().flatten().copied().fold(0.0, f64::max);
    let level = |value: Option<f64>| match value {
        None => " ",
        Some(value) if max > 0.0 => {
            let highest = glyphs.levels.len() - 1;
            glyphs.levels[nearest((value / max).clamp(0.0, 1.0) * highest as f64).min(highest)]
        }
        Some(_) => glyphs.levels[0],
    };
    let shown = values.len().saturating_sub(cells);
    let bars: String = values[shown..].iter().map(|value| level(*value)).collect();
    format!("{}{bars}", " ".repeat(cells.saturating_sub(values.len())))
}

/// A round number at or above this one, for the top of an axis.
pub(super) fn ceiling(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    // The last factor is at least the value: the digit before the point is below ten.
    steps.iter().map(|step| step * power).find(|top| *top >= value).unwrap_or(value)
}

fn scaled(step: usize, steps: usize, columns: usize) -> usize {
    if steps < 2 { columns - 1 } else { step.min(steps - 1) * (columns - 1) / (steps - 1) }
}

/// The nearest whole number, between 0 and the size of a screen.
fn nearest(value: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded by the size of a screen"
    )]
    let whole = value.round().clamp(0.0, 65_535.0) as usize;
    whole
}

/// The points from one to the other, both included: a column at a time, and down each column.
fn between(from: (usize, usize), to: (usize, usize)) -> Vec<(usize, usize)> {
    let (dx, dy) = (to.0.abs_diff(from.0), to.1.abs_diff(from.1));
    let count = dx.max(dy);
    let along = |from: usize, to: usize, index: usize| {
        let moved = (from.abs_diff(to) * index + count / 2) / count.max(1);
        if to >= from { from + moved } else { from - moved }
    };
    (0..=count).map(|index| (along(from.0, to.0, index), along(from.1, to.1, index))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::config::theme::{Theme, ThemeName};
    use ratatui::layout::Position;

    fn drawn(values: Vec<Option<f64>>, ascii: bool) -> String {
        let area = Rect::new(0, 0, 10, 4);
        let mut buffer = Buffer::empty(area);
        let line = PlotLine { values, style: Style::new(), mark: '*' };
        Plot { lines: &[line], steps: 10, max: 3.0, ascii }.draw(area, &mut buffer);
        let row = |y| (0..10).map(|x| buffer[Position::new(x, y)].symbol()).collect::<String>();
        (0..4).map(row).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_line_stands_at_the_right_edge_and_keeps_its_holes() {
        let values = vec![Some(0.0), Some(3.0), None, Some(1.0), Some(1.0)];
        assert_eq!(drawn(values, true), "      *   \n      *   \n     *  **\n     *    ");
    }

    #[test]
    fn braille_has_eight_points_a_cell() {
        assert_eq!(drawn(vec![Some(0.0)], false).chars().last(), Some('⢀'));
        assert_eq!(drawn(vec![Some(3.0)], false).lines().next(), Some("         ⠈"));
    }

    #[test]
    fn a_sparkline_shows_holes_zeros_and_the_newest_values() {
        let glyphs = Theme::new(ThemeName::Dark, false).glyphs();
        let values = [None, Some(0.0), Some(7.0), Some(3.5)];
        assert_eq!(sparkline(values.into_iter(), 6, glyphs), "   ▁█▅");
        assert_eq!(sparkline(values.into_iter(), 2, glyphs), "█▅");
        assert_eq!(sparkline([Some(0.0)].into_iter(), 1, glyphs), "▁");
        let ascii = Theme::new(ThemeName::Dark, true).glyphs();
        assert_eq!(sparkline(values.into_iter(), 4, ascii), " _#=");
    }

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, top) in [(0.0, 1.0), (14.2, 15.0), (289_000.0, 300_000.0), (0.4, 0.4), (100.0, 100.0)] {
            assert!((ceiling(value) - top).abs() < top * 1e-9, "{value}: {}", ceiling(value));
        }
        assert!((ceiling(f64::NAN) - 1.0).abs() < f64::EPSILON);
    }
}
