//! Lines, colours, tables and broken lines. Knows nothing of a report. Read [`Section`] first.

use crate::bench::verdict::Status;

/// Whether a text has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colour {
    #[default]
    Off,
    /// ANSI escape sequences.
    On,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Paint {
    Bold,
    Good,
    Bad,
    Inconclusive,
    Dim,
}

impl Colour {
    pub(super) fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Bold => "1",
            Paint::Good => "32",
            Paint::Bad => "31",
            Paint::Inconclusive => "33",
            Paint::Dim => "2",
        };
        match self {
            Self::Off => text.to_owned(),
            Self::On => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }

    pub(super) fn mark(self, status: Status) -> String {
        match status {
            Status::Pass => self.paint(Paint::Good, "✓"),
            Status::Note => self.paint(Paint::Dim, "·"),
            Status::Unknown => self.paint(Paint::Inconclusive, "?"),
            Status::Fail => self.paint(Paint::Bad, "✗"),
        }
    }
}

/// A title and the lines below it.
#[derive(Debug, Default)]
pub(super) struct Section {
    pub(super) lines: Vec<String>,
    /// What stands in the lines that can be counted instead of shown: `faults`. Empty: all lines stay.
    pub(super) what: &'static str,
    /// How many lines stay at least, the one with the count included.
    pub(super) least: usize,
}

impl Section {
    pub(super) fn new(colour: Colour, title: &str, rest: &str) -> Self {
        let title = colour.paint(Paint::Bold, &format!("█ {title}"));
        let gap = if rest.is_empty() { "" } else { "  " };
        Self { lines: vec![format!("  {title}{gap}{rest}")], ..Self::default() }
    }

    pub(super) fn line(&mut self, text: &str) {
        self.lines.push(text.trim_end().to_owned());
    }

    /// The first column left, the others right.
    pub(super) fn table<const N: usize>(&mut self, rows: &[[String; N]]) {
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; N] = std::array::from_fn(width);
        for row in rows {
            let mut line = format!("    {:<1$}", row[0], widths[0]);
            for (cell, width) in row.iter().zip(widths).skip(1) {
                line.push_str(&format!("   {cell:>width$}"));
            }
            self.line(&line);
        }
    }

    /// Leaves out lines at the end, and counts them, until no more than `lines` are left.
    pub(super) fn shrink_to(&mut self, lines: usize) {
        let lines = lines.max(self.least);
        if self.what.is_empty() || self.lines.len() <= lines {
            return;
        }
        let left_out = self.lines.len() + 1 - lines;
        self.lines.truncate(lines - 1);
        self.lines.push(format!("    and {left_out} more {} (--full shows all)", self.what));
    }
}

/// The words of a text in lines of at most `width` characters; a longer word has a line of its own.
pub(super) fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_do_not_fit_are_counted() {
        let mut section = Section { what: "faults", least: 2, ..Section::new(Colour::Off, "FAULTS", "") };
        (0..9).for_each(|number| section.line(&format!("    {number}")));
        section.shrink_to(4);
        assert_eq!(section.lines[2..], ["    1", "    and 7 more faults (--full shows all)"]);
        section.shrink_to(0);
        assert_eq!(section.lines.len(), 2, "the least");
    }

    #[test]
    fn a_text_is_broken_between_words() {
        assert_eq!(broken("one two  three four", 9), ["one two", "three", "four"]);
        assert_eq!(broken("a-word-that-is-longer b", 5), ["a-word-that-is-longer", "b"]);
        assert_eq!(broken("", 5), Vec::<String>::new());
    }
}
