//! The one table of keys: it feeds `update`, the footer and the help overlay. A key that is not in here does nothing.
//! Read [`BINDINGS`] first.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ends the console, or closes what lies on top of the screen.
    Quit,
    /// Ends the console, whatever is open.
    Interrupt,
    Help,
    /// Closes the topmost thing; never ends the console.
    Back,
    Pause,
    Move(Step),
    NextPane,
    PreviousPane,
    Zoom,
    SortNext,
    SortReverse,
    LongerSpan,
    ShorterSpan,
}

/// How far a selection or a scroll position moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
}

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) chords: &'static [Chord],
    pub(crate) action: Action,
    /// A word for the footer; empty for what the footer leaves to the help overlay.
    pub(crate) hint: &'static str,
    /// A sentence for the help overlay.
    pub(crate) help: &'static str,
}

/// One key, perhaps with Control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chord {
    pub(crate) code: KeyCode,
    pub(crate) control: bool,
}

const fn char(c: char) -> Chord {
    Chord { code: KeyCode::Char(c), control: false }
}

const fn control(c: char) -> Chord {
    Chord { code: KeyCode::Char(c), control: true }
}

const fn code(code: KeyCode) -> Chord {
    Chord { code, control: false }
}

/// All keys, the most useful ones first: a narrow footer shows as many as fit.
pub(crate) const BINDINGS: &[Binding] = &[
    Binding {
        chords: &[char('?'), code(KeyCode::F(1))],
        action: Action::Help,
        hint: "help",
        help: "show these keys, or close them",
    },
    Binding {
        chords: &[char('q')],
        action: Action::Quit,
        hint: "quit",
        help: "quit; closes this help first when it is open",
    },
    Binding {
        chords: &[char(' ')],
        action: Action::Pause,
        hint: "pause",
        help: "freeze what is shown; figures are collected all the same, space again shows the newest",
    },
    Binding {
        chords: &[char('s')],
        action: Action::SortNext,
        hint: "sort",
        help: "sort the nodes by the next column",
    },
    Binding { chords: &[char('S')], action: Action::SortReverse, hint: "reverse", help: "reverse the order" },
    Binding {
        chords: &[code(KeyCode::Tab)],
        action: Action::NextPane,
        hint: "pane",
        help: "go to the next pane",
    },
    Binding {
        chords: &[char('z')],
        action: Action::Zoom,
        hint: "zoom",
        help: "give the whole screen to the pane, or back",
    },
    Binding {
        chords: &[char('j'), code(KeyCode::Down)],
        action: Action::Move(Step::Down),
        hint: "down",
        help: "next node; in the changes: older ones",
    },
    Binding {
        chords: &[char('k'), code(KeyCode::Up)],
        action: Action::Move(Step::Up),
        hint: "up",
        help: "previous node; in the changes: newer ones",
    },
    Binding {
        chords: &[char('+'), char('=')],
        action: Action::LongerSpan,
        hint: "longer",
        help: "charts show a longer time",
    },
    Binding {
        chords: &[char('-')],
        action: Action::ShorterSpan,
        hint: "shorter",
        help: "charts show a shorter time",
    },
    Binding {
        chords: &[char('g'), code(KeyCode::Home)],
        action: Action::Move(Step::First),
        hint: "",
        help: "first row",
    },
    Binding {
        chords: &[char('G'), code(KeyCode::End)],
        action: Action::Move(Step::Last),
        hint: "",
        help: "last row",
    },
    Binding {
        chords: &[code(KeyCode::PageDown), control('d')],
        action: Action::Move(Step::PageDown),
        hint: "",
        help: "a page down",
    },
    Binding {
        chords: &[code(KeyCode::PageUp), control('u')],
        action: Action::Move(Step::PageUp),
        hint: "",
        help: "a page up",
    },
    Binding {
        chords: &[code(KeyCode::BackTab)],
        action: Action::PreviousPane,
        hint: "",
        help: "go to the previous pane",
    },
    Binding {
        chords: &[code(KeyCode::Esc)],
        action: Action::Back,
        hint: "",
        help: "close this help, or leave the zoom; never quits",
    },
    Binding { chords: &[control('c')], action: Action::Interrupt, hint: "", help: "quit at once" },
];

/// What this key asks for.
pub(crate) fn action(key: KeyEvent) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    BINDINGS
        .iter()
        .find(|binding| binding.chords.iter().any(|chord| chord.is(key)))
        .map(|binding| binding.action)
}

impl Chord {
    fn is(self, key: KeyEvent) -> bool {
        // Shift is part of the character already, and terminals disagree on whether they tell it as well.
        key.code == self.code
            && key.modifiers.contains(KeyModifiers::CONTROL) == self.control
            && !key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META)
    }

    /// The key's name, in ASCII when asked.
    pub(crate) fn label(self, ascii: bool) -> String {
        let name = match (self.code, ascii) {
            (KeyCode::Char(' '), _) => "space",
            (KeyCode::Char(c), _) if self.control => return format!("^{}", c.to_ascii_uppercase()),
            (KeyCode::Char(c), _) => return c.to_string(),
            (KeyCode::F(number), _) => return format!("F{number}"),
            (KeyCode::Down, false) => "↓",
            (KeyCode::Up, false) => "↑",
            (KeyCode::Down, true) => "Down",
            (KeyCode::Up, true) => "Up",
            (KeyCode::Home, _) => "Home",
            (KeyCode::End, _) => "End",
            (KeyCode::PageDown, _) => "PgDn",
            (KeyCode::PageUp, _) => "PgUp",
            (KeyCode::Tab, _) => "Tab",
            (KeyCode::BackTab, false) => "⇧Tab",
            (KeyCode::BackTab, true) => "S-Tab",
            (KeyCode::Esc, _) => "Esc",
            (other, _) => return format!("{other:?}"),
        };
        name.to_owned()
    }
}

impl Binding {
    /// The names of all its keys.
    pub(crate) fn label(&self, ascii: bool) -> String {
        self.chords.iter().map(|chord| chord.label(ascii)).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things() {
        let chords: Vec<_> = BINDINGS.iter().flat_map(|binding| binding.chords).collect();
        for (index, chord) in chords.iter().enumerate() {
            assert!(!chords[..index].contains(chord), "{chord:?}");
        }
    }

    #[test]
    fn a_released_key_and_a_key_with_alt_do_nothing() {
        let mut key = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        assert_eq!(action(key), Some(Action::Quit));
        key.kind = KeyEventKind::Repeat;
        assert_eq!(action(key), Some(Action::Quit), "a key that is held down repeats");
        key.kind = KeyEventKind::Release;
        assert_eq!(action(key), None);
        assert_eq!(action(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::ALT)), None);
        assert_eq!(action(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::CONTROL)), None);
        assert_eq!(action(KeyEvent::new(KeyCode::Char('S'), KeyModifiers::SHIFT)), Some(Action::SortReverse));
    }

    #[test]
    fn names_of_keys_are_ascii_when_asked() {
        assert!(BINDINGS.iter().all(|binding| binding.label(true).is_ascii()));
        let debugged =
            BINDINGS.iter().flat_map(|binding| binding.chords).find(|chord| chord.label(true).contains('('));
        assert_eq!(debugged, None, "every key of the table has a name for people");
    }
}
