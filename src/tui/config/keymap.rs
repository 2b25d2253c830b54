//! The keymap: the default bindings with the changes of a configuration. A key that is not in it does nothing, except
//! in input lines and dialogs. Pure. Read [`Keymap`] first.

use std::borrow::Cow;

use crossterm::event::{KeyEvent, KeyEventKind};

use crate::tui::config::bindings::BINDINGS;
use crate::tui::config::file::SourcedValue;
use crate::tui::config::key::{Action, Binding, Chord};

/// The bindings in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keymap(Vec<Binding>);

impl Default for Keymap {
    fn default() -> Self {
        Self(BINDINGS.to_vec())
    }
}

impl Keymap {
    /// All bindings, the most useful ones first: a narrow footer shows as many as fit.
    pub(crate) fn bindings(&self) -> &[Binding] {
        &self.0
    }

    /// What a key does; `None`: nothing.
    pub(crate) fn action(&self, key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        let asks = |binding: &&Binding| binding.chords.iter().any(|chord| chord.is(key));
        self.0.iter().find(asks).map(|binding| binding.action)
    }

    /// The first key of an action, or its command (`:theme`) when it has no key.
    pub(crate) fn key(&self, action: Action, ascii: bool) -> String {
        let binding = self.0.iter().find(|binding| binding.action == action);
        let label = binding.and_then(|binding| binding.chords.first()).map(|chord| chord.label(ascii));
        label.unwrap_or_else(|| format!(":{}", binding.map_or("", |binding| binding.name)))
    }

    /// The default bindings with these changes: the name of each action, and its keys separated by blanks.
    ///
    /// # Errors
    /// Every problem, with its source.
    pub(crate) fn with(said: &[(SourcedValue, SourcedValue)]) -> Result<Self, Vec<String>> {
        let (mut keymap, mut problems) = (Self::default(), Vec::new());
        for (name, keys) in said {
            if let Err(why) = keymap.rebind(name, keys) {
                problems.push(why);
            }
        }
        problems.extend(keymap.clashes(said));
        if problems.is_empty() { Ok(keymap) } else { Err(problems) }
    }

    fn rebind(&mut self, name: &SourcedValue, keys: &SourcedValue) -> Result<(), String> {
        let SourcedValue { value: action, source } = name;
        let Some(binding) = self.0.iter_mut().find(|binding| binding.name == action.as_str()) else {
            let mut names: Vec<_> = BINDINGS.iter().map(|binding| binding.name).collect();
            names.sort_unstable();
            return Err(format!("{source} {action:?} is not an action; allowed are {}", names.join(", ")));
        };
        if binding.action == Action::Interrupt {
            return Err(format!("{source} {action:?} cannot be changed: ^C always ends the console"));
        }
        let chords: Result<Vec<_>, String> = keys.value.split_whitespace().map(Chord::parse).collect();
        binding.chords = Cow::Owned(chords.map_err(|why| format!("{} {why}", keys.source))?);
        Ok(())
    }

    /// Keys with two actions; of two lines the later one is reported.
    fn clashes(&self, said: &[(SourcedValue, SourcedValue)]) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, (name, keys)) in said.iter().enumerate() {
            let Some(binding) = self.0.iter().find(|binding| binding.name == name.value) else { continue };
            for chord in binding.chords.iter() {
                let has_it = |other: &&Binding| other.name != binding.name && other.chords.contains(chord);
                let Some(other) = self.0.iter().find(has_it) else { continue };
                let source = said.iter().position(|(name, _)| name.value == other.name);
                if source.is_some_and(|source| source > index) {
                    continue;
                }
                let label = chord.label(true);
                let by = source.map_or_else(String::new, |source| format!(" ({})", said[source].1.source));
                problems.push(format!("{} {label:?} is taken by {}{by}", keys.source, other.name));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyModifiers};

    use super::*;
    use crate::tui::config::key::Step;

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

    fn sourced(pairs: &[(&str, &str)]) -> Vec<(SourcedValue, SourcedValue)> {
        let at = |value: &str, source: String| SourcedValue { value: value.to_owned(), source };
        let line = |(index, (name, keys)): (usize, &(&str, &str))| {
            let line = format!("t.toml line {}:", index + 1);
            (at(name, format!("{line} keys")), at(keys, format!("{line} {name}")))
        };
        pairs.iter().enumerate().map(line).collect()
    }

    fn with(pairs: &[(&str, &str)]) -> Result<Keymap, String> {
        Keymap::with(&sourced(pairs)).map_err(|problems| problems.join("\n"))
    }

    #[test]
    fn keys_can_be_others() {
        let press = |code| KeyEvent::new(code, KeyModifiers::NONE);
        // Two actions may swap their keys.
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
            unknown.starts_with("t.toml line 1: keys \"quitt\" is not an action; allowed are alerts, "),
            "{unknown}"
        );
        let key = with(&[("quit", "Hyper")]).unwrap_err();
        assert!(
            key.starts_with("t.toml line 1: quit \"Hyper\" is not a key; allowed are one character"),
            "{key}"
        );
        let tab = with(&[("quit", "^I"), ("zoom", "^m")]).unwrap_err();
        assert!(tab.contains("\"^I\" is Tab to a terminal"), "{tab}");
        assert!(tab.contains("\"^m\" is Enter to a terminal"), "{tab}");
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
