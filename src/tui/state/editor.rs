//! An input line: a filter, a command, a field of a dialog. Pure. Read [`Editor::on_key`] first.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Longest text, in characters.
const MAX_CHARS: usize = 1_000;

/// A text and its cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Editor {
    text: String,
    /// The cursor's position, in characters from the start.
    cursor: usize,
}

impl Editor {
    /// A line with this text and the cursor at its end.
    pub(crate) fn new(text: &str) -> Self {
        let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect();
        Self { cursor: text.chars().count(), text }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The cursor's position, in characters from the start.
    pub(crate) fn cursor(&self) -> usize {
        self.cursor
    }

    /// Applies a key. Returns whether it was an editing key.
    pub(crate) fn on_key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('u') if control => *self = Self::default(),
            KeyCode::Char('w') if control => self.erase_word(),
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = self.len(),
            KeyCode::Char(c) if !control => self.insert(c),
            KeyCode::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.erase();
            }
            KeyCode::Backspace => {}
            KeyCode::Delete => self.erase(),
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(self.len()),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.len(),
            _ => return false,
        }
        true
    }

    /// Inserts pasted text, as far as there is room. Line breaks and tabs become blanks; other control characters are
    /// dropped.
    pub(crate) fn paste(&mut self, text: &str) {
        let room = MAX_CHARS.saturating_sub(self.len());
        let chars = text.trim_end_matches(['\r', '\n']).chars();
        let chars = chars.map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c });
        let text: String = chars.filter(|c| !c.is_control()).take(room).collect();
        self.text.insert_str(self.byte(self.cursor), &text);
        self.cursor += text.chars().count();
    }

    fn len(&self) -> usize {
        self.text.chars().count()
    }

    fn byte(&self, cursor: usize) -> usize {
        self.text.char_indices().nth(cursor).map_or(self.text.len(), |(index, _)| index)
    }

    fn insert(&mut self, c: char) {
        if !c.is_control() && self.len() < MAX_CHARS {
            self.text.insert(self.byte(self.cursor), c);
            self.cursor += 1;
        }
    }

    fn erase(&mut self) {
        let at = self.byte(self.cursor);
        if at < self.text.len() {
            self.text.remove(at);
        }
    }

    /// Deletes the word before the cursor and the blanks between them.
    fn erase_word(&mut self) {
        let before: String = self.text.chars().take(self.cursor).collect();
        let kept = before.trim_end();
        let kept = kept.rfind(char::is_whitespace).map_or("", |index| &kept[..=index]);
        let after: String = self.text.chars().skip(self.cursor).collect();
        self.cursor = kept.chars().count();
        self.text = format!("{kept}{after}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn press(editor: &mut Editor, code: KeyCode, control: bool) -> bool {
        let modifiers = if control { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
        editor.on_key(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn a_line_is_edited_where_the_cursor_stands() {
        let mut editor = Editor::new("größe");
        press(&mut editor, KeyCode::Left, false);
        press(&mut editor, KeyCode::Backspace, false);
        press(&mut editor, KeyCode::Char('s'), false);
        press(&mut editor, KeyCode::Char('s'), false);
        assert_eq!((editor.text(), editor.cursor()), ("grösse", 5));
        press(&mut editor, KeyCode::Home, false);
        press(&mut editor, KeyCode::Delete, false);
        assert_eq!(editor.text(), "rösse");
        assert!(!press(&mut editor, KeyCode::Enter, false), "not an editor's key");
        let mut editor = Editor::new("state:slow lag>5");
        press(&mut editor, KeyCode::Char('w'), true);
        assert_eq!(editor.text(), "state:slow ");
        press(&mut editor, KeyCode::Char('w'), true);
        assert_eq!((editor.text(), editor.cursor()), ("", 0));
    }

    #[test]
    fn a_pasted_text_is_one_line_and_does_nothing_to_the_terminal() {
        let mut editor = Editor::new("()");
        press(&mut editor, KeyCode::Left, false);
        editor.paste("a\nb\tc\x1b[2J\n");
        assert_eq!((editor.text(), editor.cursor()), ("(a b c[2J)", 9));
        editor.paste(&"x".repeat(10_000_000));
        assert_eq!(editor.text().chars().count(), MAX_CHARS);
    }

    proptest! {
        #[test]
        fn the_cursor_stays_in_the_line(keys in prop::collection::vec((0..9_usize, any::<char>()), 0..60)) {
            let mut editor = Editor::default();
            for (key, c) in keys {
                let (code, control) = [
                    (KeyCode::Char(c), false), (KeyCode::Backspace, false), (KeyCode::Delete, false),
                    (KeyCode::Left, false), (KeyCode::Right, false), (KeyCode::Home, false),
                    (KeyCode::End, false), (KeyCode::Char('w'), true), (KeyCode::Char('u'), true),
                ][key];
                press(&mut editor, code, control);
                prop_assert!(editor.cursor() <= editor.text().chars().count());
                prop_assert!(!editor.text().contains(char::is_control));
            }
        }
    }
}
