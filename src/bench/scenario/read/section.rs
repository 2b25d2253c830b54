//! Reads one table of the tree: each key once, with its allowed range. Problems are collected, so reading goes on
//! after one. What was never asked for is unknown, and what is asked for is in the schema. Read [`Section`] first.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::format_hints;
use super::problem::Problem;
use super::raw::{At, Node, Table, Value};
use crate::bench::scenario::schema::field_schema::{Form, Forms};
use crate::runtime::did_you_mean;

/// Where all sections put what is wrong and, if somebody wants to know, what they asked for.
pub(in crate::bench::scenario) struct Sink {
    problems: RefCell<Vec<Problem>>,
    forms: Option<RefCell<Forms>>,
}

impl Sink {
    /// For a reader that wants the scenario.
    pub(in crate::bench::scenario) fn new(problems: Vec<Problem>) -> Self {
        Self { problems: RefCell::new(problems), forms: None }
    }

    /// For one that wants to know what is asked for.
    pub(in crate::bench::scenario) fn with_forms(forms: Forms) -> Self {
        Self { problems: RefCell::default(), forms: Some(RefCell::new(forms)) }
    }

    pub(in crate::bench::scenario) fn into_parts(self) -> (Vec<Problem>, Forms) {
        (self.problems.into_inner(), self.forms.map(RefCell::into_inner).unwrap_or_default())
    }

    fn note(&self, note: impl FnOnce(&mut Forms)) {
        if let Some(forms) = &self.forms {
            note(&mut forms.borrow_mut());
        }
    }
}

/// A table that is being read.
pub(in crate::bench::scenario) struct Section<'a> {
    path: String,
    /// The same for all tables of this kind: `clients.*`, `faults.#`.
    place: String,
    at: At,
    table: &'a Table,
    asked: RefCell<Vec<&'static str>>,
    /// Refused with a reason of their own: neither allowed nor unknown.
    forbidden: RefCell<Vec<&'static str>>,
    /// What was asked for last and is not there.
    missing: RefCell<Option<(&'static str, Form)>>,
    is_given_up: Cell<bool>,
    sink: &'a Sink,
}

impl<'a> Section<'a> {
    pub(in crate::bench::scenario) fn root(table: &'a Table, sink: &'a Sink) -> Self {
        Self::new(String::new(), String::new(), Some((1, 1)), table, sink)
    }

    fn new(path: String, place: String, at: At, table: &'a Table, sink: &'a Sink) -> Self {
        sink.note(|forms| forms.visit(&place));
        let (asked, forbidden, missing) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { path, place, at, table, asked, forbidden, missing, is_given_up: Cell::default(), sink }
    }

    /// The full path of a key.
    pub(in crate::bench::scenario) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Says that a key's value is wrong.
    pub(in crate::bench::scenario) fn refuse(&self, key: &str, message: impl Display) {
        let at = self.table.get(key).map_or(self.at, |node| node.at);
        self.refuse_at(at, self.path(key), message);
    }

    /// The same of something further down, of which the place is not known: the key's own is told.
    pub(in crate::bench::scenario) fn refuse_below(&self, key: &str, rest: &str, message: impl Display) {
        let at = self.table.get(key).map_or(self.at, |node| node.key_at);
        self.refuse_at(at, format!("{}.{rest}", self.path(key)), message);
    }

    fn refuse_at(&self, at: At, key: String, message: impl Display) {
        self.sink.problems.borrow_mut().push(Problem { at, key, message: message.to_string() });
    }

    fn ask(&self, key: &'static str) -> Option<&'a Node> {
        self.sink.note(|forms| _ = forms.asked(&self.place, key, self.path(key)));
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    /// Asks for a key whose value has a form.
    fn ask_for(&self, key: &'static str, form: impl FnOnce() -> Form) -> Option<&'a Node> {
        let form = form();
        self.sink.note(|forms| forms.asked(&self.place, key, self.path(key)).add(form.clone()));
        let node = self.ask(key);
        if node.is_none() {
            self.missing.replace(Some((key, form)));
        }
        node
    }

    /// Whether a key is there.
    pub(in crate::bench::scenario) fn has(&self, key: &'static str) -> bool {
        self.ask(key).is_some()
    }

    /// A key must be there; what is said where it is not is for the caller to choose.
    pub(in crate::bench::scenario) fn needs(&self, key: &'static str) {
        self.sink.note(|forms| forms.asked(&self.place, key, self.path(key)).required += 1);
    }

    /// The value of a key that must be there, once it has been read: a missing one is a problem.
    pub(in crate::bench::scenario) fn required<T>(&self, key: &'static str, value: Option<T>) -> Option<T> {
        self.needs(key);
        if value.is_none() && !self.table.contains_key(key) {
            let wanted = self.missing.borrow();
            let wanted = wanted.as_ref().filter(|(asked, _)| *asked == key);
            let wanted = wanted.map_or_else(String::new, |(_, form)| format!("; it is {form}"));
            self.refuse_at(self.at, self.path(key), format!("is missing{wanted}"));
        }
        value
    }

    /// Any text.
    pub(in crate::bench::scenario) fn text(&self, key: &'static str) -> Option<&'a str> {
        let node = self.ask_for(key, || Form::Text)?;
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
    pub(in crate::bench::scenario) fn parsed<T, E: Display>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(key)?;
        parse(text).map_err(|error| self.refuse(key, error)).ok()
    }

    /// One of some words.
    pub(in crate::bench::scenario) fn choice<T: Clone>(
        &self,
        key: &'static str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let node = self.ask_for(key, || Form::Words(names(words)))?;
        self.type_name(self.text_of(node, key)?, key, words)
    }

    /// Some of some words: a list, or one, which is a list of one.
    pub(in crate::bench::scenario) fn choices<T: Clone>(
        &self,
        key: &'static str,
        words: &[(&str, T)],
    ) -> Vec<T> {
        let node = self.ask_for(key, || Form::WordList(names(words)));
        let texts = node.map(|node| self.texts_of(node, key)).unwrap_or_default();
        texts.into_iter().filter_map(|text| self.type_name(text, key, words)).collect()
    }

    fn type_name<T: Clone>(&self, text: &str, key: &str, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let allowed: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let guess = did_you_mean(text, allowed.iter().copied());
            self.refuse(key, format!("{text:?} is not known{guess}; allowed are {}", allowed.join(", ")));
        }
        found.map(|(_, value)| value.clone())
    }

    /// A whole number.
    pub(in crate::bench::scenario) fn integer(
        &self,
        key: &'static str,
        allowed: RangeInclusive<u64>,
    ) -> Option<u64> {
        let node = self.ask_for(key, || Form::Integer(*allowed.start(), *allowed.end()))?;
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

    /// The same of something that has a unit, which a wrong value may have tried to say.
    pub(in crate::bench::scenario) fn measure(
        &self,
        key: &'static str,
        allowed: RangeInclusive<u64>,
        unit: &str,
    ) -> Option<u64> {
        let form = Form::Integer(*allowed.start(), *allowed.end());
        if let Some(Value::Text(text)) = self.ask_for(key, || form).map(|node| &node.value) {
            self.refuse(
                key,
                format!("{text:?} is not a number; allowed are whole numbers of {unit}, as in 100"),
            );
            return None;
        }
        self.integer(key, allowed)
    }

    /// A whole number of 32 bits.
    pub(in crate::bench::scenario) fn integer32(
        &self,
        key: &'static str,
        allowed: RangeInclusive<u32>,
    ) -> Option<u32> {
        let (from, to) = allowed.into_inner();
        self.integer(key, u64::from(from)..=u64::from(to)).and_then(|number| u32::try_from(number).ok())
    }

    /// A number.
    pub(in crate::bench::scenario) fn number(
        &self,
        key: &'static str,
        allowed: RangeInclusive<f64>,
    ) -> Option<f64> {
        let node = self.ask_for(key, || Form::Number(*allowed.start(), *allowed.end()))?;
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
    pub(in crate::bench::scenario) fn duration(
        &self,
        key: &'static str,
        allowed: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let node = self.ask_for(key, || Form::Duration)?;
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
    pub(in crate::bench::scenario) fn boolean(&self, key: &'static str) -> Option<bool> {
        let node = self.ask_for(key, || Form::Boolean)?;
        match &node.value {
            Value::Bool(is_true) => Some(*is_true),
            other => {
                self.refuse(key, format!("{} is not allowed; allowed are true and false", other.shown()));
                None
            }
        }
    }

    /// Whether something below a key was refused already, so that what follows from it need not be told too.
    pub(in crate::bench::scenario) fn is_refused_below(&self, key: &str) -> bool {
        let path = self.path(key);
        let is_below = |problem: &Problem| {
            problem.key.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.sink.problems.borrow().iter().any(is_below)
    }

    /// A list of texts, or one text, which is a list of one.
    pub(in crate::bench::scenario) fn texts(&self, key: &'static str) -> Vec<&'a str> {
        let node = self.ask_for(key, || Form::Texts);
        node.map(|node| self.texts_of(node, key)).unwrap_or_default()
    }

    fn texts_of(&self, node: &'a Node, key: &str) -> Vec<&'a str> {
        match &node.value {
            Value::Text(text) => vec![text],
            Value::Array(list) => list.iter().filter_map(|node| self.text_of(node, key)).collect(),
            other => {
                self.refuse(key, format!("{} is not a list of texts", other.shown()));
                Vec::new()
            }
        }
    }

    /// A value that may have several forms; each is then read as what it is.
    pub(in crate::bench::scenario) fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.ask(key).map(|node| &node.value)
    }

    /// A table.
    pub(in crate::bench::scenario) fn section(&self, key: &'static str) -> Option<Self> {
        let node = self.ask_for(key, || Form::Table)?;
        self.inner(node, self.path(key), self.place_of(key))
    }

    /// A table whose keys the user chose, each one with a table of its own.
    pub(in crate::bench::scenario) fn sections(&self, key: &'static str) -> BTreeMap<&'a str, Self> {
        let Some(node) = self.ask_for(key, || Form::Named) else { return BTreeMap::new() };
        let (path, place) = (self.path(key), self.place_of(key) + ".*");
        let Value::Table(table) = &node.value else {
            self.refuse_at(node.at, path, format!("{} is not a table", node.value.shown()));
            return BTreeMap::new();
        };
        let inner = |name: &str, node| self.inner(node, format!("{path}.{name}"), place.clone());
        table.iter().filter_map(|(name, node)| Some((name.as_str(), inner(name, node)?))).collect()
    }

    /// A list of tables.
    pub(in crate::bench::scenario) fn list(&self, key: &'static str) -> Vec<Self> {
        let Some(node) = self.ask_for(key, || Form::List) else { return Vec::new() };
        let Value::Array(list) = &node.value else {
            self.refuse(key, format!("{} is not a list of tables", node.value.shown()));
            return Vec::new();
        };
        let (path, place) = (self.path(key), self.place_of(key) + ".#");
        let inner = |(i, node): (usize, _)| self.inner(node, format!("{path}.{i}"), place.clone());
        (0..).zip(list).filter_map(inner).collect()
    }

    fn place_of(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    fn inner(&self, node: &'a Node, path: String, place: String) -> Option<Self> {
        match &node.value {
            Value::Table(table) => Some(Self::new(path, place, node.key_at, table, self.sink)),
            other => {
                let example = format_hints::example(path.rsplit('.').next().unwrap_or_default());
                self.refuse_at(node.at, path, format!("{} is not a table{example}", other.shown()));
                None
            }
        }
    }

    /// Keys that the user chose, with their values, which have one of these forms.
    pub(in crate::bench::scenario) fn entries(
        &self,
        forms: &[Form],
    ) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.sink.note(|noted| noted.chosen(&self.place, forms));
        self.table.iter().map(|(key, node)| (key.as_str(), &node.value))
    }

    /// Keys of later versions: they are refused as such, not as unknown.
    pub(in crate::bench::scenario) fn later(&self, keys: &[&'static str]) {
        self.forbid(keys, "is not in this version");
    }

    /// Keys that somebody may look for here in vain: they are refused with the reason, and are no keys of the schema.
    pub(in crate::bench::scenario) fn forbid(&self, keys: &[&'static str], why: &str) {
        self.forbidden.borrow_mut().extend(keys);
        for key in keys {
            if self.table.contains_key(*key) {
                self.refuse(key, why);
            }
        }
    }

    /// The end of a table that could not be understood: which keys it may have is not known either.
    pub(in crate::bench::scenario) fn give_up(&self) {
        self.is_given_up.set(true);
    }

    /// The end: what was never asked for is unknown.
    pub(in crate::bench::scenario) fn finish(self) {
        if self.is_given_up.get() {
            return;
        }
        let (asked, forbidden) = (self.asked.borrow(), self.forbidden.borrow());
        let is_known = |key: &str| asked.contains(&key) || forbidden.contains(&key);
        for (key, node) in self.table.iter().filter(|(key, _)| !is_known(key)) {
            let guess = format_hints::of_k6(&self.place, key)
                .unwrap_or_else(|| did_you_mean(key, asked.iter().copied()));
            let mut allowed = asked.clone();
            allowed.sort_unstable();
            allowed.dedup();
            let message = format!("is not a key here{guess}; allowed are {}", allowed.join(", "));
            self.refuse_at(node.key_at, self.path(key), message);
        }
    }
}

fn names<T>(words: &[(&str, T)]) -> Vec<String> {
    words.iter().map(|(word, _)| (*word).to_owned()).collect()
}
