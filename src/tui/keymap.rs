//! The one table of keys: it feeds `update`, the footer, the help overlay and docs/console.md. A key that is not in
//! here does nothing, except in a line that is typed. Read [`BINDINGS`] first.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::screen::Screen;

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
    Screen(Screen),
    Pause,
    /// While paused: to an earlier reading.
    Earlier,
    /// While paused: to a later reading.
    Later,
    Move(Step),
    /// Opens what is selected.
    Open,
    NextPane,
    PreviousPane,
    Zoom,
    Filter,
    SortNext,
    SortReverse,
    LongerSpan,
    ShorterSpan,
    /// Which topics the tail of events reads.
    Topics,
    Broadcast,
    Message,
    Drain,
    Disconnect,
    Command,
    NextTheme,
    Mouse,
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

impl Step {
    /// Where a step leads from a row, in a list that ends with `last` and shows `page` rows.
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

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) chords: &'static [Chord],
    pub(crate) action: Action,
    /// A word for the footer; empty for what the footer leaves to the help overlay.
    pub(crate) hint: &'static str,
    /// A sentence for the help overlay.
    pub(crate) help: &'static str,
    /// Screens on whose footer the word stands; all of them when there is none.
    pub(crate) screens: &'static [Screen],
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
        screens: &[],
    },
    Binding {
        chords: &[char('q')],
        action: Action::Quit,
        hint: "quit",
        help: "quit; in help and dialogs: close them",
        screens: &[],
    },
    Binding {
        chords: &[char(' ')],
        action: Action::Pause,
        hint: "pause",
        help: "freeze what is shown; collection goes on, space again shows the newest",
        screens: &[],
    },
    Binding {
        chords: &[char('/')],
        action: Action::Filter,
        hint: "filter",
        help: "filter: text, !not, /regex/, key:value, lag>5",
        screens: &[Screen::Overview, Screen::Connections, Screen::Events],
    },
    Binding {
        chords: &[char('s')],
        action: Action::SortNext,
        hint: "sort",
        help: "sort by the next column",
        screens: &[Screen::Overview, Screen::Connections],
    },
    Binding {
        chords: &[char('S')],
        action: Action::SortReverse,
        hint: "reverse",
        help: "reverse the order",
        screens: &[Screen::Overview, Screen::Connections],
    },
    Binding {
        chords: &[code(KeyCode::Enter)],
        action: Action::Open,
        hint: "open",
        help: "open what is selected, or close it",
        screens: &[Screen::Overview, Screen::Connections, Screen::Events],
    },
    Binding {
        chords: &[code(KeyCode::Tab)],
        action: Action::NextPane,
        hint: "pane",
        help: "go to the next pane",
        screens: &[Screen::Overview, Screen::Broker, Screen::Alerts],
    },
    Binding {
        chords: &[char('z')],
        action: Action::Zoom,
        hint: "zoom",
        help: "give the whole screen to the pane, or back",
        screens: &[],
    },
    Binding {
        chords: &[char('t')],
        action: Action::Topics,
        hint: "topics",
        help: "events: which topics to read, beside what is for everybody",
        screens: &[Screen::Events],
    },
    Binding {
        chords: &[char('b')],
        action: Action::Broadcast,
        hint: "broadcast",
        help: "send an event to everybody",
        screens: &[],
    },
    Binding {
        chords: &[char('m')],
        action: Action::Message,
        hint: "message",
        help: "send an event to a client, user, topic or node",
        screens: &[],
    },
    Binding {
        chords: &[char('d')],
        action: Action::Drain,
        hint: "drain",
        help: "make the selected node send its clients away",
        screens: &[],
    },
    Binding {
        chords: &[char('x')],
        action: Action::Disconnect,
        hint: "disconnect",
        help: "end the selected connection",
        screens: &[Screen::Overview, Screen::Connections],
    },
    Binding {
        chords: &[char('j'), code(KeyCode::Down)],
        action: Action::Move(Step::Down),
        hint: "down",
        help: "down; in lists of what happened: older",
        screens: &[],
    },
    Binding {
        chords: &[char('k'), code(KeyCode::Up)],
        action: Action::Move(Step::Up),
        hint: "up",
        help: "up; in lists of what happened: newer",
        screens: &[],
    },
    Binding {
        chords: &[char('+'), char('=')],
        action: Action::LongerSpan,
        hint: "longer",
        help: "charts show a longer time",
        screens: &[Screen::Overview, Screen::Broker, Screen::Bench],
    },
    Binding {
        chords: &[char('-')],
        action: Action::ShorterSpan,
        hint: "shorter",
        help: "charts show a shorter time",
        screens: &[Screen::Overview, Screen::Broker, Screen::Bench],
    },
    Binding {
        chords: &[code(KeyCode::Left), char('h')],
        action: Action::Earlier,
        hint: "",
        help: "while paused: an earlier reading",
        screens: &[],
    },
    Binding {
        chords: &[code(KeyCode::Right), char('l')],
        action: Action::Later,
        hint: "",
        help: "while paused: a later reading",
        screens: &[],
    },
    Binding {
        chords: &[char('1')],
        action: Action::Screen(Screen::Overview),
        hint: "",
        help: "overview: nodes, charts, connections, events",
        screens: &[],
    },
    Binding {
        chords: &[char('2')],
        action: Action::Screen(Screen::Connections),
        hint: "",
        help: "connections: the open streams of all nodes",
        screens: &[],
    },
    Binding {
        chords: &[char('3')],
        action: Action::Screen(Screen::Events),
        hint: "",
        help: "events: events as they come",
        screens: &[],
    },
    Binding {
        chords: &[char('4')],
        action: Action::Screen(Screen::Bench),
        hint: "",
        help: "bench: a bench run, live or finished",
        screens: &[],
    },
    Binding {
        chords: &[char('5')],
        action: Action::Screen(Screen::Broker),
        hint: "",
        help: "broker: the log that the nodes share, and its server",
        screens: &[],
    },
    Binding {
        chords: &[char('6')],
        action: Action::Screen(Screen::Alerts),
        hint: "",
        help: "alerts: what is wrong now, what happened, what was dropped",
        screens: &[],
    },
    Binding {
        chords: &[char(':')],
        action: Action::Command,
        hint: "command",
        help: "type a command: a screen, sort, filter, theme, node, drain, quit",
        screens: &[],
    },
    Binding {
        chords: &[char('g'), code(KeyCode::Home)],
        action: Action::Move(Step::First),
        hint: "",
        help: "first row",
        screens: &[],
    },
    Binding {
        chords: &[char('G'), code(KeyCode::End)],
        action: Action::Move(Step::Last),
        hint: "",
        help: "last row",
        screens: &[],
    },
    Binding {
        chords: &[code(KeyCode::PageDown), control('d')],
        action: Action::Move(Step::PageDown),
        hint: "",
        help: "a page down",
        screens: &[],
    },
    Binding {
        chords: &[code(KeyCode::PageUp), control('u')],
        action: Action::Move(Step::PageUp),
        hint: "",
        help: "a page up",
        screens: &[],
    },
    Binding {
        chords: &[code(KeyCode::BackTab)],
        action: Action::PreviousPane,
        hint: "",
        help: "go to the previous pane",
        screens: &[],
    },
    Binding {
        chords: &[char('T')],
        action: Action::NextTheme,
        hint: "",
        help: "another theme",
        screens: &[],
    },
    Binding {
        chords: &[char('M')],
        action: Action::Mouse,
        hint: "",
        help: "the mouse for this console, or back for the terminal's own selection",
        screens: &[],
    },
    Binding {
        chords: &[code(KeyCode::Esc)],
        action: Action::Back,
        hint: "",
        help: "close what lies on top, take the filter away; never quits",
        screens: &[],
    },
    Binding {
        chords: &[control('c')],
        action: Action::Interrupt,
        hint: "",
        help: "quit at once",
        screens: &[],
    },
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
    /// Whether the footer of this screen tells it.
    pub(crate) fn is_told_on(&self, screen: Screen) -> bool {
        !self.hint.is_empty() && (self.screens.is_empty() || self.screens.contains(&screen))
    }

    /// The names of all its keys.
    pub(crate) fn label(&self, ascii: bool) -> String {
        self.chords.iter().map(|chord| chord.label(ascii)).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/console.md");

    #[test]
    fn the_docs_have_the_same_table() {
        let docs = std::fs::read_to_string(DOCS).unwrap();
        let (before, rest) = docs.split_once("a test compares -->\n").unwrap();
        let (_, after) = rest.split_once("<!-- end of keys -->").unwrap();
        let mut table = "| keys | |\n|---|---|\n".to_owned();
        for binding in BINDINGS {
            let keys: Vec<_> =
                binding.chords.iter().map(|chord| format!("`{}`", chord.label(false))).collect();
            table += &format!("| {} | {} |\n", keys.join(" "), binding.help);
        }
        let expected = format!("{before}a test compares -->\n{table}<!-- end of keys -->{after}");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(DOCS, &expected).unwrap();
        }
        assert_eq!(docs, expected, "UPDATE_DOCS=1 writes it");
    }

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
