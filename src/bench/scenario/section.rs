//! Reads one table of the tree: each key once, with its allowed range. Problems are collected, so reading goes on
//! after one. What was never asked for is unknown. Read [`Section`] first.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Problem;
use super::problem::did_you_mean;
use super::raw::{At, Node, Table, Value};

/// Where all sections put what is wrong.
pub(super) type Sink = RefCell<Vec<Problem>>;

/// A table that is being read.
pub(super) struct Section<'a> {
    path: String,
    at: At,
    table: &'a Table,
    asked: RefCell<Vec<&'static str>>,
    sink: &'a Sink,
}

impl<'a> Section<'a> {
    pub(super) fn root(table: &'a Table, sink: &'a Sink) -> Self {
        Self { path: String::new(), at: Some((1, 1)), table, asked: RefCell::default(), sink }
    }

    /// The full path of a key.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Says that a key's value is wrong.
    pub(super) fn refuse(&self, key: &str, message: impl Display) {
        let at = self.table.get(key).map_or(self.at, |node| node.at);
        self.refuse_at(at, self.path(key), message);
    }

    fn refuse_at(&self, at: At, key: String, message: impl Display) {
        self.sink.borrow_mut().push(Problem { at, key, message: message.to_string() });
    }

    fn ask(&self, key: &'static str) -> Option<&'a Node> {
        #[cfg(test)]
        super::docs::asked(self.path(key));
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.ask(key).is_some()
    }

    /// The value of a key that must be there, once it has been read: a missing one is a problem.
    pub(super) fn required<T>(&self, key: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.table.contains_key(key) {
            self.refuse_at(self.at, self.path(key), "is missing");
        }
        value
    }

    /// Any text.
    pub(super) fn text(&self, key: &'static str) -> Option<&'a str> {
        let node = self.ask(key)?;
        self.text_of(node, key)
    }

    fn text_of(&self, node: &'a Node, key: &str) -> Option<&'a str> {
        match &node.value {
            Value::Text(text) => Some(text),
            other => {
                self.refuse_at(node.at, self.path(key), format!("{} is not a text", other.shown()));
                None
            }
        }
    }

    /// A text that something else reads.
    pub(super) fn parsed<T, E: Display>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(key)?;
        parse(text).map_err(|error| self.refuse(key, error)).ok()
    }

    /// One of some words.
    pub(super) fn choice<T: Clone>(&self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let allowed: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let guess = did_you_mean(text, allowed.iter().copied());
            self.refuse(key, format!("{text:?} is not known{guess}; allowed are {}", allowed.join(", ")));
        }
        found.map(|(_, value)| value.clone())
    }

    /// A whole number.
    pub(super) fn integer(&self, key: &'static str, allowed: RangeInclusive<u64>) -> Option<u64> {
        let node = self.ask(key)?;
        let number = match &node.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        let fits = number.filter(|number| allowed.contains(number));
        if fits.is_none() {
            let (from, to) = allowed.into_inner();
            let shown = node.value.shown();
            let range = if from == to {
                format!("is {from}")
            } else {
                format!("are whole numbers from {from} to {to}")
            };
            self.refuse(key, format!("{shown} is not allowed; allowed {range}"));
        }
        fits
    }

    /// A whole number of 32 bits.
    pub(super) fn integer32(&self, key: &'static str, allowed: RangeInclusive<u32>) -> Option<u32> {
        let (from, to) = allowed.into_inner();
        self.integer(key, u64::from(from)..=u64::from(to)).and_then(|number| u32::try_from(number).ok())
    }

    /// A number.
    pub(super) fn number(&self, key: &'static str, allowed: RangeInclusive<f64>) -> Option<f64> {
        let node = self.ask(key)?;
        let number = match &node.value {
            Value::Integer(number) => i32::try_from(*number).ok().map(f64::from),
            Value::Float(number) => Some(*number),
            _ => None,
        };
        let fits = number.filter(|number| allowed.contains(number));
        if fits.is_none() {
            let (from, to) = allowed.into_inner();
            let shown = node.value.shown();
            self.refuse(key, format!("{shown} is not allowed; allowed are numbers from {from} to {to}"));
        }
        fits
    }

    /// A duration as text: `1m30s`.
    pub(super) fn duration(&self, key: &'static str, allowed: RangeInclusive<Duration>) -> Option<Duration> {
        let node = self.ask(key)?;
        let duration = match &node.value {
            Value::Text(text) => humantime::parse_duration(text).ok(),
            _ => None,
        };
        let fits = duration.filter(|duration| allowed.contains(duration));
        if fits.is_none() {
            let (from, to) = allowed.into_inner();
            let (from, to) = (humantime::format_duration(from), humantime::format_duration(to));
            let shown = node.value.shown();
            self.refuse(
                key,
                format!("{shown} is not allowed; allowed are durations from \"{from}\" to \"{to}\", as in \"1m30s\""),
            );
        }
        fits
    }

    /// True or false.
    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        let node = self.ask(key)?;
        match &node.value {
            Value::Bool(is_true) => Some(*is_true),
            other => {
                self.refuse(key, format!("{} is not allowed; allowed are true and false", other.shown()));
                None
            }
        }
    }

    /// Whether something below a key was refused already, so that what follows from it need not be told too.
    pub(super) fn is_refused_below(&self, key: &str) -> bool {
        let path = self.path(key);
        let is_below = |problem: &Problem| {
            problem.key.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.sink.borrow().iter().any(is_below)
    }

    /// A list of texts, or one text, which is a list of one.
    pub(super) fn texts(&self, key: &'static str) -> Vec<&'a str> {
        let Some(node) = self.ask(key) else { return Vec::new() };
        match &node.value {
            Value::Text(text) => vec![text],
            Value::Array(list) => list.iter().filter_map(|node| self.text_of(node, key)).collect(),
            other => {
                self.refuse(key, format!("{} is not a list of texts", other.shown()));
                Vec::new()
            }
        }
    }

    /// A value that may have several forms.
    pub(super) fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.ask(key).map(|node| &node.value)
    }

    /// A table.
    pub(super) fn section(&self, key: &'static str) -> Option<Self> {
        let node = self.ask(key)?;
        self.inner(node, self.path(key))
    }

    /// A table whose keys the user chose, each one with a table of its own.
    pub(super) fn sections(&self, key: &'static str) -> BTreeMap<&'a str, Self> {
        let Some(node) = self.ask(key) else { return BTreeMap::new() };
        let path = self.path(key);
        let Some(inner) = self.inner(node, path.clone()) else { return BTreeMap::new() };
        let named = inner.table.iter();
        named
            .filter_map(|(name, node)| Some((name.as_str(), self.inner(node, format!("{path}.{name}"))?)))
            .collect()
    }

    /// A list of tables.
    pub(super) fn list(&self, key: &'static str) -> Vec<Self> {
        let Some(node) = self.ask(key) else { return Vec::new() };
        let Value::Array(list) = &node.value else {
            self.refuse(key, format!("{} is not a list of tables", node.value.shown()));
            return Vec::new();
        };
        let path = self.path(key);
        (0..).zip(list).filter_map(|(i, node): (usize, _)| self.inner(node, format!("{path}.{i}"))).collect()
    }

    fn inner(&self, node: &'a Node, path: String) -> Option<Self> {
        match &node.value {
            Value::Table(table) => {
                Some(Self { path, at: node.key_at, table, asked: RefCell::default(), sink: self.sink })
            }
            other => {
                self.refuse_at(node.at, path, format!("{} is not a table", other.shown()));
                None
            }
        }
    }

    /// Keys that the user chose, with their values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.table.iter().map(|(key, node)| (key.as_str(), &node.value))
    }

    /// Keys of later versions: they are refused as such, not as unknown.
    pub(super) fn later(&self, keys: &[&'static str]) {
        self.asked.borrow_mut().extend(keys);
        for key in keys {
            if self.table.contains_key(*key) {
                self.refuse(key, "is not in this version");
            }
        }
    }

    /// The end: what was never asked for is unknown.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for (key, node) in self.table.iter().filter(|(key, _)| !asked.contains(&key.as_str())) {
            let guess = did_you_mean(key, asked.iter().copied());
            let mut allowed = asked.clone();
            allowed.sort_unstable();
            allowed.dedup();
            let message = format!("is not a key here{guess}; allowed are {}", allowed.join(", "));
            self.refuse_at(node.key_at, self.path(key), message);
        }
    }
}
