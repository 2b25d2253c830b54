//! Reads one table of the tree, key by key, with allowed ranges. Problems are collected, so that reading continues
//! after one. Keys that no call asked for are unknown; keys that a call asks for are in the schema. Read [`Section`]
//! first.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::field_schema::{FieldSchemas, FieldType};
use super::format_hints;
use super::problem::Problem;
use super::raw::{At, Node, Table, Value};
use crate::bench::scenario::dialect::Statuses;
use crate::bench::scenario::limits;
use crate::runtime::did_you_mean;

/// Collects the problems of all sections and, for the schema, the keys that they ask for.
pub(super) struct Sink {
    problems: RefCell<Vec<Problem>>,
    schemas: Option<RefCell<FieldSchemas>>,
}

impl Sink {
    /// For reading a scenario.
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems: RefCell::new(problems), schemas: None }
    }

    /// For making the schema.
    pub(super) fn recording(schemas: FieldSchemas) -> Self {
        Self { problems: RefCell::default(), schemas: Some(RefCell::new(schemas)) }
    }

    pub(super) fn into_parts(self) -> (Vec<Problem>, FieldSchemas) {
        (self.problems.into_inner(), self.schemas.map(RefCell::into_inner).unwrap_or_default())
    }

    fn note(&self, note: impl FnOnce(&mut FieldSchemas)) {
        if let Some(schemas) = &self.schemas {
            note(&mut schemas.borrow_mut());
        }
    }
}

/// A table while it is read.
pub(super) struct Section<'a> {
    path: String,
    /// Path of the kind of table: `clients.*`, `faults.#`.
    place: String,
    at: At,
    table: &'a Table,
    asked: RefCell<Vec<&'static str>>,
    /// Keys that are refused with a reason of their own: neither allowed nor unknown.
    forbidden: RefCell<Vec<&'static str>>,
    /// The last key that was asked for and is missing.
    missing: RefCell<Option<(&'static str, FieldType)>>,
    skips_unknown_keys: Cell<bool>,
    sink: &'a Sink,
}

impl<'a> Section<'a> {
    pub(super) fn root(table: &'a Table, sink: &'a Sink) -> Self {
        Self::new(String::new(), String::new(), Some((1, 1)), table, sink)
    }

    fn new(path: String, place: String, at: At, table: &'a Table, sink: &'a Sink) -> Self {
        sink.note(|schemas| schemas.visit(&place));
        let (asked, forbidden, missing) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { path, place, at, table, asked, forbidden, missing, skips_unknown_keys: Cell::default(), sink }
    }

    /// Path of a key from the root.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Reports that a key's value is wrong.
    pub(super) fn refuse(&self, key: &str, message: impl Display) {
        let at = self.table.get(key).map_or(self.at, |node| node.at);
        self.refuse_at(at, self.path(key), message);
    }

    /// As [`Section::refuse`] for a value below a key. Its place is unknown here, so the key's own is reported.
    pub(super) fn refuse_below(&self, key: &str, rest: &str, message: impl Display) {
        let at = self.table.get(key).map_or(self.at, |node| node.key_at);
        self.refuse_at(at, format!("{}.{rest}", self.path(key)), message);
    }

    fn refuse_at(&self, at: At, key: String, message: impl Display) {
        self.sink.problems.borrow_mut().push(Problem { at, key, message: message.to_string() });
    }

    fn ask(&self, key: &'static str) -> Option<&'a Node> {
        self.sink.note(|schemas| _ = schemas.asked(&self.place, key, self.path(key)));
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    /// Asks for a key whose value has this type.
    fn ask_for(&self, key: &'static str, field_type: impl FnOnce() -> FieldType) -> Option<&'a Node> {
        let field_type = field_type();
        self.sink.note(|schemas| schemas.asked(&self.place, key, self.path(key)).add(field_type.clone()));
        let node = self.ask(key);
        if node.is_none() {
            self.missing.replace(Some((key, field_type)));
        }
        node
    }

    /// Whether the table has a key.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.ask(key).is_some()
    }

    /// Marks a key as required in the schema. The caller reports a missing one.
    pub(super) fn mark_required(&self, key: &'static str) {
        self.sink.note(|schemas| schemas.asked(&self.place, key, self.path(key)).required += 1);
    }

    /// Passes on the value of a required key; reports a missing key.
    pub(super) fn required<T>(&self, key: &'static str, value: Option<T>) -> Option<T> {
        self.mark_required(key);
        if value.is_none() && !self.table.contains_key(key) {
            let wanted = self.missing.borrow();
            let wanted = wanted.as_ref().filter(|(asked, _)| *asked == key);
            let wanted =
                wanted.map_or_else(String::new, |(_, field_type)| format!("; allowed is {field_type}"));
            self.refuse_at(self.at, self.path(key), format!("is missing{wanted}"));
        }
        value
    }

    /// Replaces the value of a missing key by a default. `None` only for an invalid value.
    pub(super) fn or_default<T>(&self, key: &'static str, value: Option<T>, default: T) -> Option<T> {
        if self.has(key) { value } else { Some(default) }
    }

    /// A text, unchecked.
    pub(super) fn text(&self, key: &'static str) -> Option<&'a str> {
        let node = self.ask_for(key, || FieldType::Text)?;
        self.text_of(node, key)
    }

    fn text_of(&self, node: &'a Node, key: &str) -> Option<&'a str> {
        match &node.value {
            Value::Text(text) => Some(text),
            other => {
                self.refuse_at(
                    node.at,
                    self.path(key),
                    format!("{} is not allowed; allowed is a string", other.shown()),
                );
                None
            }
        }
    }

    /// A text that `parse` reads.
    pub(super) fn parsed<T, E: Display>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(key)?;
        parse(text).map_err(|error| self.refuse(key, error)).ok()
    }

    /// One of these words, with its value.
    pub(super) fn choice<T: Clone>(&self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let node = self.ask_for(key, || FieldType::Words(names(words)))?;
        self.lookup(self.text_of(node, key)?, key, words)
    }

    /// A list of these words, or one of them, with their values.
    pub(super) fn choices<T: Clone>(&self, key: &'static str, words: &[(&str, T)]) -> Vec<T> {
        let node = self.ask_for(key, || FieldType::WordList(names(words)));
        let texts = node.map(|node| self.texts_of(node, key)).unwrap_or_default();
        texts.into_iter().filter_map(|text| self.lookup(text, key, words)).collect()
    }

    fn lookup<T: Clone>(&self, text: &str, key: &str, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let allowed: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let guess = did_you_mean(text, allowed.iter().copied());
            self.refuse(key, format!("{text:?} is not known; allowed are {}{guess}", allowed.join(", ")));
        }
        found.map(|(_, value)| value.clone())
    }

    /// A whole number within a range.
    pub(super) fn integer(&self, key: &'static str, allowed: RangeInclusive<u64>) -> Option<u64> {
        let node = self.ask_for(key, || FieldType::Integer(*allowed.start(), *allowed.end()))?;
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

    /// As [`Section::integer`] for a value with a unit, which messages name.
    pub(super) fn measure(&self, key: &'static str, allowed: RangeInclusive<u64>, unit: &str) -> Option<u64> {
        let field_type = FieldType::Integer(*allowed.start(), *allowed.end());
        if let Some(Value::Text(text)) = self.ask_for(key, || field_type).map(|node| &node.value) {
            let why = format!("{text:?} is not a number; allowed are whole numbers of {unit}, as in 100");
            self.refuse(key, why);
            return None;
        }
        self.integer(key, allowed)
    }

    /// A whole number of 32 bits within a range.
    pub(super) fn integer32(&self, key: &'static str, allowed: RangeInclusive<u32>) -> Option<u32> {
        let (from, to) = allowed.into_inner();
        self.integer(key, u64::from(from)..=u64::from(to)).and_then(|number| u32::try_from(number).ok())
    }

    /// A number within a range.
    pub(super) fn number(&self, key: &'static str, allowed: RangeInclusive<f64>) -> Option<f64> {
        let node = self.ask_for(key, || FieldType::Number(*allowed.start(), *allowed.end()))?;
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

    /// A duration within a range, as text: `1m30s`.
    pub(super) fn duration(&self, key: &'static str, allowed: RangeInclusive<Duration>) -> Option<Duration> {
        let node = self.ask_for(key, || FieldType::Duration)?;
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

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        let node = self.ask_for(key, || FieldType::Boolean)?;
        match &node.value {
            Value::Bool(is_true) => Some(*is_true),
            other => {
                self.refuse(key, format!("{} is not allowed; allowed are true and false", other.shown()));
                None
            }
        }
    }

    /// Whether a problem at or below a key is reported, so that problems that follow from it need no report.
    pub(super) fn is_refused_below(&self, key: &str) -> bool {
        let path = self.path(key);
        let is_below = |problem: &Problem| {
            problem.key.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.sink.problems.borrow().iter().any(is_below)
    }

    /// A list of texts, or one text.
    pub(super) fn texts(&self, key: &'static str) -> Vec<&'a str> {
        let node = self.ask_for(key, || FieldType::Texts);
        node.map(|node| self.texts_of(node, key)).unwrap_or_default()
    }

    fn texts_of(&self, node: &'a Node, key: &str) -> Vec<&'a str> {
        match &node.value {
            Value::Text(text) => vec![text],
            Value::Array(list) => list.iter().filter_map(|node| self.text_of(node, key)).collect(),
            other => {
                let why =
                    format!("{} is not allowed; allowed is a string or a list of strings", other.shown());
                self.refuse(key, why);
                Vec::new()
            }
        }
    }

    /// HTTP statuses: one, or a list of statuses, ranges and classes. An empty list is refused.
    pub(super) fn statuses(&self, key: &'static str) -> Option<Statuses> {
        let node = self.ask_for(key, || FieldType::Statuses)?;
        let nodes = match &node.value {
            Value::Array(list) => list.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let text = |node: &Node| match &node.value {
            Value::Text(text) => text.clone(),
            other => other.shown(),
        };
        let texts: Vec<String> = nodes.iter().map(text).collect();
        if texts.is_empty() {
            self.refuse(key, "is empty; allowed are statuses, as in [202, \"3xx\"]");
            return None;
        }
        let statuses = Statuses::parse(texts.iter().map(String::as_str));
        statuses.map_err(|error| self.refuse(key, error)).ok()
    }

    /// A value that may have several types; the caller looks at it before it reads one of them.
    pub(super) fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.ask(key).map(|node| &node.value)
    }

    /// A table, as a section of its own.
    pub(super) fn section(&self, key: &'static str) -> Option<Self> {
        let node = self.ask_for(key, || FieldType::Table)?;
        self.inner(node, self.path(key), self.place_of(key))
    }

    /// A table of named tables: the user chooses the names.
    pub(super) fn sections(&self, key: &'static str) -> BTreeMap<&'a str, Self> {
        let Some(node) = self.ask_for(key, || FieldType::Named) else { return BTreeMap::new() };
        let (path, place) = (self.path(key), self.place_of(key) + ".*");
        let Value::Table(table) = &node.value else {
            self.refuse_at(
                node.at,
                path,
                format!("{} is not a table of named tables, as in [{key}.NAME]", node.value.shown()),
            );
            return BTreeMap::new();
        };
        let inner = |name: &str, node| self.inner(node, format!("{path}.{name}"), place.clone());
        table.iter().filter_map(|(name, node)| Some((name.as_str(), inner(name, node)?))).collect()
    }

    /// A list of tables, each as a section of its own.
    pub(super) fn list(&self, key: &'static str) -> Vec<Self> {
        let Some(node) = self.ask_for(key, || FieldType::List) else { return Vec::new() };
        let Value::Array(list) = &node.value else {
            self.refuse(key, format!("{} is not a list of tables, as in [[{key}]]", node.value.shown()));
            return Vec::new();
        };
        let (path, place) = (self.path(key), self.place_of(key) + ".#");
        let inner = |(i, node): (usize, _)| self.inner(node, format!("{path}.{i}"), place.clone());
        (0..).zip(list).filter_map(inner).collect()
    }

    /// Refuses too many groups, publishers or faults.
    pub(super) fn limit_entries(&self, key: &str, count: usize) {
        if count > limits::ENTRIES_MAX {
            self.refuse(key, format!("{count} are too many; allowed are up to {}", limits::ENTRIES_MAX));
        }
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

    /// All keys of a table whose keys the user chooses, with values of these types.
    pub(super) fn entries(&self, types: &[FieldType]) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.sink.note(|schemas| schemas.user_keys(&self.place, types));
        self.table.iter().map(|(key, node)| (key.as_str(), &node.value))
    }

    /// Refuses keys that are reserved for later versions.
    pub(super) fn reserve(&self, keys: &[&'static str]) {
        self.forbid(keys, "is not supported in this version");
    }

    /// Refuses keys with a reason; they are not part of the schema.
    pub(super) fn forbid(&self, keys: &[&'static str], why: &str) {
        self.forbidden.borrow_mut().extend(keys);
        for key in keys {
            if self.table.contains_key(*key) {
                self.refuse(key, why);
            }
        }
    }

    /// Skips the check for unknown keys: the allowed keys are not known for an invalid table.
    pub(super) fn skip_unknown_keys(&self) {
        self.skips_unknown_keys.set(true);
    }

    /// Reports all keys that no call asked for.
    pub(super) fn finish(self) {
        if self.skips_unknown_keys.get() {
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
            let message = format!("is not a key here; allowed are {}{guess}", allowed.join(", "));
            self.refuse_at(node.key_at, self.path(key), message);
        }
    }
}

fn names<T>(words: &[(&str, T)]) -> Vec<String> {
    words.iter().map(|(word, _)| (*word).to_owned()).collect()
}
