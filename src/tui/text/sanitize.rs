//! Sanitised text: others choose the names, versions, states and error texts of nodes, so they must not reach the
//! terminal unescaped. The model holds them as [`SafeText`] only. Read it first.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest remote text that is kept, in characters; no screen needs more.
const MAX_CHARS: usize = 240;
/// Longest text of a recording, in characters: longer than any kept text with its escapes.
const MAX_RECORDED_CHARS: usize = 100_000;

/// A remote text in which every character is visible and stands in display order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(crate) struct SafeText(Arc<str>);

impl SafeText {
    /// Escapes characters that move the cursor, reorder text or are invisible, and cuts a text that is too long.
    pub(crate) fn new(raw: &str) -> Self {
        Self::limited(raw, MAX_CHARS)
    }

    /// As [`SafeText::new`], with another limit of characters.
    pub(crate) fn limited(raw: &str, max_chars: usize) -> Self {
        let mut text = String::with_capacity(raw.len().min(max_chars));
        let mut rest = raw.chars();
        for shown in rest.by_ref().take(max_chars) {
            if is_harmful(shown) {
                text.extend(shown.escape_default());
            } else {
                text.push(shown);
            }
        }
        if rest.next().is_some() {
            text.push('…');
        }
        Self(Arc::from(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A recording may come from anybody, so its texts are escaped like all others.
impl From<String> for SafeText {
    fn from(text: String) -> Self {
        Self::limited(&text, MAX_RECORDED_CHARS)
    }
}

impl From<SafeText> for String {
    fn from(plain: SafeText) -> Self {
        plain.0.as_ref().to_owned()
    }
}

impl Default for SafeText {
    fn default() -> Self {
        Self(Arc::from(""))
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Control characters act on the terminal, bidirectional marks reorder the line, and invisible characters make
/// different names look alike and widths wrong.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(raw: &str, shown: &str) {
        assert_eq!(SafeText::new(raw).as_str(), shown);
    }

    #[test]
    fn what_acts_on_a_terminal_is_shown_and_not_done() {
        check("node-1", "node-1");
        check("für 節点", "für 節点");
        check("\x1b]0;owned\x07", "\\u{1b}]0;owned\\u{7}");
        check("a\0b\r\nc\td", "a\\u{0}b\\r\\nc\\td");
        check("\u{9b}31m", "\\u{9b}31m");
        check("abc\u{202e}321", "abc\\u{202e}321");
        check("no\u{200b}de\u{feff}", "no\\u{200b}de\\u{feff}");
    }

    #[test]
    fn a_megabyte_is_cut_and_says_so() {
        let shown = SafeText::new(&"x".repeat(1 << 20));
        assert_eq!(shown.as_str().chars().count(), MAX_CHARS + 1);
        assert!(shown.as_str().ends_with('…'));
    }

    proptest! {
        #[test]
        fn nothing_harmful_survives(raw in "\\PC*|(?s).*") {
            prop_assert!(!SafeText::new(&raw).as_str().chars().any(is_harmful));
        }
    }
}
