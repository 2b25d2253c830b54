//! Fits texts into cells. Text is cut only here, and never without a sign. Read [`cut`] first.

use ratatui::text::Span;

/// Cells that a text takes.
pub(crate) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text in at most `cells` cells; a cut text ends with the ellipsis.
pub(crate) fn cut(text: &str, cells: usize, ellipsis: &str) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let Some(room) = cells.checked_sub(width(ellipsis)) else { return String::new() };
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if width(&kept) > room {
            kept.pop();
            break;
        }
    }
    kept + ellipsis
}

/// The text padded on the right to `cells` cells.
pub(crate) fn left(text: &str, cells: usize) -> String {
    format!("{text}{}", " ".repeat(cells.saturating_sub(width(text))))
}

/// The text padded on the left to `cells` cells.
pub(crate) fn right(text: &str, cells: usize) -> String {
    format!("{}{text}", " ".repeat(cells.saturating_sub(width(text))))
}

/// The text in lines of at most `cells` cells, broken between words; a word that is too long is broken anywhere.
pub(crate) fn wrapped(text: &str, cells: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if width(line) + 1 + width(word) <= cells {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.into_iter().flat_map(|line| broken(&line, cells)).collect()
}

/// The line in pieces of at most `cells` cells, with all its blanks.
pub(crate) fn wrapped_exactly(line: &str, cells: usize) -> Vec<String> {
    broken(line, cells)
}

fn broken(line: &str, cells: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for c in line.chars() {
        let last = lines.last_mut().expect("there is always a line");
        if !last.is_empty() && width(last) + width(c.encode_utf8(&mut [0; 4])) > cells {
            lines.push(String::from(c));
        } else {
            last.push(c);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_is_cut_with_a_sign() {
        assert_eq!(cut("node-1", 6, "…"), "node-1");
        assert_eq!(cut("node-1", 5, "…"), "node…");
        assert_eq!(cut("節点節点", 5, "…"), "節点…");
        assert_eq!(cut("節点節点", 4, "…"), "節…");
        assert_eq!(cut("abc", 0, "…"), "");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrapped("", 3), [""]);
    }

    proptest! {
        #[test]
        fn what_is_cut_fits(text in "[a-z節é ]{0,30}", cells in 0..20_usize) {
            prop_assert!(width(&cut(&text, cells, "…")) <= cells);
            prop_assert!(cells < 2 || wrapped(&text, cells).iter().all(|line| width(line) <= cells));
            prop_assert_eq!(width(&right(&cut(&text, cells, "~"), cells)), cells);
            prop_assert_eq!(width(&left(&cut(&text, cells, "~"), cells)), cells);
        }
    }
}
