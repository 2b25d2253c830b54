//! What each key asks for: the table of `bindings`, or what a configuration made of it. A key that is not in there does
//! nothing, except in a line that is typed. Pure. Read [`Keymap`] first.

use std::borrow::Cow;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::bindings::BINDINGS;
use super::config::Told;
use super::screen::Screen;

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ends the console, or closes what lies on top of the screen.
    Quit,
    /// Ends the console and leaves what it shows in the terminal.
    QuitAndLeave,
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

/// The keys there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keymap(Vec<Binding>);

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    /// How a configuration calls it.
    pub(crate) name: &'static str,
    /// The keys that do it; none when a configuration took them away.
    pub(crate) chords: Cow<'static, [Chord]>,
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

/// Keys that have a name of their own, as a configuration writes them.
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

impl Default for Keymap {
    fn default() -> Self {
        Self(BINDINGS.to_vec())
    }
}

impl Keymap {
    /// All of it, the most useful ones first: a narrow footer shows as many as fit.
    pub(crate) fn bindings(&self) -> &[Binding] {
        &self.0
    }

    /// What this key asks for.
    pub(crate) fn action(&self, key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        let asks = |binding: &&Binding| binding.chords.iter().any(|chord| chord.is(key));
        self.0.iter().find(asks).map(|binding| binding.action)
    }

    /// The key for this, as a sentence names it.
    pub(crate) fn key(&self, action: Action, ascii: bool) -> String {
        let binding = self.0.iter().find(|binding| binding.action == action);
        let label = binding.and_then(|binding| binding.chords.first()).map(|chord| chord.label(ascii));
        label.unwrap_or_else(|| format!(":{}", binding.map_or("", |binding| binding.name)))
    }

    /// The table with other keys: for the name of each action its keys, separated by blanks.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub(crate) fn with(said: &[(Told, Told)]) -> Result<Self, Vec<String>> {
        let (mut keymap, mut problems) = (Self::default(), Vec::new());
        for (name, keys) in said {
            if let Err(why) = keymap.rebind(name, keys) {
                problems.push(why);
            }
        }
        problems.extend(keymap.clashes(said));
        if problems.is_empty() { Ok(keymap) } else { Err(problems) }
    }

    fn rebind(&mut self, name: &Told, keys: &Told) -> Result<(), String> {
        let Told { value: action, place } = name;
        let Some(binding) = self.0.iter_mut().find(|binding| binding.name == action.as_str()) else {
            let mut names: Vec<_> = BINDINGS.iter().map(|binding| binding.name).collect();
            names.sort_unstable();
            return Err(format!("{place} {action:?} is no action; there are {}", names.join(", ")));
        };
        if binding.action == Action::Interrupt {
            return Err(format!("{place} {action:?} cannot be changed: ^C always ends the console"));
        }
        let chords: Result<Vec<_>, String> = keys.value.split_whitespace().map(Chord::parse).collect();
        binding.chords = Cow::Owned(chords.map_err(|why| format!("{} {why}", keys.place))?);
        Ok(())
    }

    /// Keys that would do two things; of two lines the later one is told.
    fn clashes(&self, said: &[(Told, Told)]) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, (name, keys)) in said.iter().enumerate() {
            let Some(binding) = self.0.iter().find(|binding| binding.name == name.value) else { continue };
            for chord in binding.chords.iter() {
                let has_it = |other: &&Binding| other.name != binding.name && other.chords.contains(chord);
                let Some(other) = self.0.iter().find(has_it) else { continue };
                let place = said.iter().position(|(name, _)| name.value == other.name);
                if place.is_some_and(|place| place > index) {
                    continue;
                }
                let label = chord.label(true);
                let by = place.map_or_else(String::new, |place| format!(" ({})", said[place].1.place));
                problems.push(format!("{} {label:?} is taken by {}{by}", keys.place, other.name));
            }
        }
        problems
    }
}

impl Chord {
    fn is(self, key: KeyEvent) -> bool {
        // Shift is part of the character already, and terminals disagree on whether they tell it as well.
        key.code == self.code
            && key.modifiers.contains(KeyModifiers::CONTROL) == self.control
            && !key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META)
    }

    /// From a name as [`Chord::label`] gives it in ASCII, whatever the case where it is a word.
    fn parse(text: &str) -> Result<Self, String> {
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
                    return Err(format!("{text:?} cannot be told from Tab by a terminal; allowed is Tab"));
                }
                b'm' => {
                    return Err(format!(
                        "{text:?} cannot be told from Enter by a terminal; allowed is Enter"
                    ));
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
                "{text:?} is no key; allowed are one character, ^A to ^Z but ^I and ^M, F1 to F12, {names}"
            )
        })
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

    fn action(key: KeyEvent) -> Option<Action> {
        Keymap::default().action(key)
    }

    #[test]
    fn the_docs_have_the_same_table() {
        let docs = std::fs::read_to_string(DOCS).unwrap();
        let (before, rest) = docs.split_once("a test compares -->\n").unwrap();
        let (_, after) = rest.split_once("<!-- end of keys -->").unwrap();
        let mut table = "| keys | | in `[keys]` |\n|---|---|---|\n".to_owned();
        for binding in &BINDINGS {
            let keys: Vec<_> =
                binding.chords.iter().map(|chord| format!("`{}`", chord.label(false))).collect();
            table += &format!("| {} | {} | `{}` |\n", keys.join(" "), binding.help, binding.name);
        }
        let expected = format!("{before}a test compares -->\n{table}<!-- end of keys -->{after}");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(DOCS, &expected).unwrap();
        }
        assert_eq!(docs, expected, "UPDATE_DOCS=1 writes it");
    }

    #[test]
    fn no_key_means_two_things_and_no_name_either() {
        let chords: Vec<_> = BINDINGS.iter().flat_map(|binding| binding.chords.iter()).collect();
        for (index, chord) in chords.iter().enumerate() {
            assert!(!chords[..index].contains(chord), "{chord:?}");
            assert_eq!(Chord::parse(&chord.label(true)).as_ref(), Ok(*chord), "its name can be written");
        }
        let mut names: Vec<_> = BINDINGS.iter().map(|binding| binding.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), BINDINGS.len());
    }

    fn told(pairs: &[(&str, &str)]) -> Vec<(Told, Told)> {
        let told = |value: &str, place: String| Told { value: value.to_owned(), place };
        let line = |(index, (name, keys)): (usize, &(&str, &str))| {
            let line = format!("t.toml line {}:", index + 1);
            (told(name, format!("{line} keys")), told(keys, format!("{line} {name}")))
        };
        pairs.iter().enumerate().map(line).collect()
    }

    fn with(pairs: &[(&str, &str)]) -> Result<Keymap, String> {
        Keymap::with(&told(pairs)).map_err(|problems| problems.join("\n"))
    }

    #[test]
    fn keys_can_be_others() {
        let press = |code| KeyEvent::new(code, KeyModifiers::NONE);
        // Two actions may change their keys with each other.
        let keymap = with(&[("quit", "X F10"), ("down", "k"), ("up", "j ^k"), ("theme", "")]).unwrap();
        assert_eq!(keymap.action(press(KeyCode::Char('q'))), None);
        assert_eq!(keymap.action(press(KeyCode::F(10))), Some(Action::Quit));
        assert_eq!(keymap.action(press(KeyCode::Char('k'))), Some(Action::Move(Step::Down)));
        let control = KeyEvent::new(KeyCode::Char('k'), KeyModifiers::CONTROL);
        assert_eq!(keymap.action(control), Some(Action::Move(Step::Up)));
        assert_eq!(keymap.action(press(KeyCode::Char('T'))), None);
        assert_eq!(
            (keymap.key(Action::Quit, true), keymap.key(Action::NextTheme, true)),
            ("X".into(), ":theme".into())
        );
    }

    #[test]
    fn mistakes_are_told_with_their_lines() {
        let unknown = with(&[("quitt", "X")]).unwrap_err();
        assert!(
            unknown.starts_with("t.toml line 1: keys \"quitt\" is no action; there are alerts, "),
            "{unknown}"
        );
        let key = with(&[("quit", "Hyper")]).unwrap_err();
        assert!(
            key.starts_with("t.toml line 1: quit \"Hyper\" is no key; allowed are one character"),
            "{key}"
        );
        let tab = with(&[("quit", "^I"), ("zoom", "^m")]).unwrap_err();
        assert!(tab.contains("\"^I\" cannot be told from Tab"), "{tab}");
        assert!(tab.contains("\"^m\" cannot be told from Enter"), "{tab}");
        assert_eq!(with(&[("zoom", "j")]).unwrap_err(), "t.toml line 1: zoom \"j\" is taken by down");
        let both = with(&[("zoom", "X"), ("quit", "X")]).unwrap_err();
        assert_eq!(both, "t.toml line 2: quit \"X\" is taken by zoom (t.toml line 1: zoom)");
        assert!(with(&[("interrupt", "X")]).unwrap_err().contains("^C always ends"));
        assert!(with(&[("quit", "^C")]).unwrap_err().contains("taken by interrupt"));
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
        let mut chords = BINDINGS.iter().flat_map(|binding| binding.chords.iter());
        let debugged = chords.find(|chord| chord.label(true).contains('('));
        assert_eq!(debugged, None, "every key of the table has a name for people");
    }
}
