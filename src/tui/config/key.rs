//! Keys and actions: the types of the table of keys. Pure. Read [`Binding`] first.

use std::borrow::Cow;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::tui::config::screen::Screen;

/// The action of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ends the console, or closes the topmost overlay.
    Quit,
    /// Ends the console and leaves the last frame in the terminal.
    QuitAndLeave,
    /// Ends the console, also when a dialog or an input line is open.
    Interrupt,
    Help,
    /// Closes the topmost overlay, zoom or filter; never ends the console.
    Back,
    Screen(Screen),
    Pause,
    /// While paused: shows an earlier step.
    Earlier,
    /// While paused: shows a later step.
    Later,
    Move(Step),
    /// Shows the selected row in full, or closes that.
    Open,
    NextPane,
    PreviousPane,
    Zoom,
    Filter,
    SortNext,
    SortReverse,
    LongerSpan,
    ShorterSpan,
    /// Asks for the topics of the events.
    Topics,
    Broadcast,
    Message,
    Drain,
    Disconnect,
    Command,
    NextTheme,
    Mouse,
}

/// A move of a selection or a scroll position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
}

impl Step {
    /// The row after a step from `row`, in a list whose last row is `last` and that shows `page` rows.
    pub(crate) fn from(self, row: usize, page: usize, last: usize) -> usize {
        let row = match self {
            Self::Up => row.saturating_sub(1),
            Self::Down => row.saturating_add(1),
            Self::PageUp => row.saturating_sub(page.max(1)),
            Self::PageDown => row.saturating_add(page.max(1)),
            Self::First => 0,
            Self::Last => last,
        };
        row.min(last)
    }
}

/// An entry of the table of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    /// Its name in `[keys]` of a configuration.
    pub(crate) name: &'static str,
    /// Its keys; empty when a configuration removed them.
    pub(crate) chords: Cow<'static, [Chord]>,
    pub(crate) action: Action,
    /// Its word in the footer; empty when only the help overlay lists it.
    pub(crate) hint: &'static str,
    /// Its line in the help overlay.
    pub(crate) help: &'static str,
    /// Screens whose footer shows it; empty means all.
    pub(crate) screens: &'static [Screen],
}

/// One key, perhaps with Control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chord {
    pub(crate) code: KeyCode,
    pub(crate) control: bool,
}

/// Keys with a name in configurations.
const NAMED: [KeyCode; 13] = [
    KeyCode::Char(' '),
    KeyCode::Enter,
    KeyCode::Tab,
    KeyCode::BackTab,
    KeyCode::Esc,
    KeyCode::Up,
    KeyCode::Down,
    KeyCode::Left,
    KeyCode::Right,
    KeyCode::Home,
    KeyCode::End,
    KeyCode::PageUp,
    KeyCode::PageDown,
];

const FUNCTION_KEYS: std::ops::RangeInclusive<u8> = 1..=12;

impl Chord {
    pub(super) fn is(self, key: KeyEvent) -> bool {
        // Shift is already part of the character, and not all terminals report it.
        key.code == self.code
            && key.modifiers.contains(KeyModifiers::CONTROL) == self.control
            && !key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META)
    }

    /// Parses a name that [`Chord::label`] gives in ASCII; words in any case.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let plain = |code| Self { code, control: false };
        let mut chars = text.chars();
        if let (Some(c), None) = (chars.next(), chars.next()) {
            return Ok(plain(KeyCode::Char(c)));
        }
        if let Some(control) = text.strip_prefix('^')
            && let [letter] = control.as_bytes()
            && letter.is_ascii_alphabetic()
        {
            let code = match letter.to_ascii_lowercase() {
                b'i' => {
                    return Err(format!("{text:?} is Tab to a terminal; write Tab"));
                }
                b'm' => {
                    return Err(format!("{text:?} is Enter to a terminal; write Enter"));
                }
                letter => KeyCode::Char(char::from(letter)),
            };
            return Ok(Self { code, control: true });
        }
        let named = NAMED.into_iter().chain(FUNCTION_KEYS.map(KeyCode::F)).map(plain);
        let mut fitting = named.filter(|chord| chord.label(true).eq_ignore_ascii_case(text));
        fitting.next().ok_or_else(|| {
            let names = NAMED.map(|code| plain(code).label(true)).join(", ");
            format!(
                "{text:?} is not a key; allowed are one character, ^A to ^Z except ^I and ^M, F1 to F12, {names}"
            )
        })
    }

    /// The key's name on the screen; in ASCII for configurations and ASCII terminals.
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
            (KeyCode::Left, false) => "←",
            (KeyCode::Right, false) => "→",
            (KeyCode::Left, true) => "Left",
            (KeyCode::Right, true) => "Right",
            (KeyCode::Enter, false) => "⏎",
            (KeyCode::Enter, true) => "Enter",
            (KeyCode::Esc, _) => "Esc",
            (other, _) => return format!("{other:?}"),
        };
        name.to_owned()
    }
}

impl Binding {
    /// Whether the footer of this screen shows it.
    pub(crate) fn is_in_footer_of(&self, screen: Screen) -> bool {
        !self.hint.is_empty() && (self.screens.is_empty() || self.screens.contains(&screen))
    }

    /// The names of its keys, separated by blanks.
    pub(crate) fn label(&self, ascii: bool) -> String {
        self.chords.iter().map(|chord| chord.label(ascii)).collect::<Vec<_>>().join(" ")
    }
}
