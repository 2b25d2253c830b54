//! The file as a tree that remembers where each value stood, and what `--set` puts into it. Knows no key.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::problem::Problem;
use crate::runtime::did_you_mean;

/// Line and column, from 1 on; `None` for what `--set` put in.
pub(in crate::bench::scenario) type At = Option<(usize, usize)>;
/// Keys with their values.
pub(in crate::bench::scenario) type Table = BTreeMap<String, Node>;

/// A value and where it stood.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::bench::scenario) struct Node {
    pub(in crate::bench::scenario) at: At,
    /// Where its key stood; of an element, the element.
    pub(in crate::bench::scenario) key_at: At,
    pub(in crate::bench::scenario) value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::bench::scenario) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Array(Vec<Node>),
    Table(Table),
    /// A date or time; no key takes one.
    Datetime(String),
}

impl Value {
    /// What kind of value it is.
    pub(in crate::bench::scenario) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Bool(_) => "a boolean",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
            Self::Datetime(_) => "a date",
        }
    }

    /// The value as it could have been written.
    pub(in crate::bench::scenario) fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("{:?}", text.chars().take(80).collect::<String>()),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Bool(is_true) => is_true.to_string(),
            Self::Datetime(text) => text.clone(),
            Self::Array(_) | Self::Table(_) => self.kind().to_owned(),
        }
    }
}

/// Reads a file into a tree.
pub(in crate::bench::scenario) fn read(text: &str) -> Result<Table, Vec<Problem>> {
    let places = Places::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return places.table(table.get_ref());
    }
    let problem = |error: &toml::de::Error| Problem {
        at: error.span().map(|span| places.of(&span)),
        key: String::new(),
        message: format!("this is not TOML: {}", error.message()),
    };
    Err(errors.iter().map(problem).collect())
}

/// Finds lines and columns.
struct Places {
    line_starts: Vec<usize>,
}

impl Places {
    fn new(text: &str) -> Self {
        let line_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { line_starts: std::iter::once(0).chain(line_ends.map(|(at, _)| at + 1)).collect() }
    }

    /// Columns count bytes, as editors do for what keys are made of.
    fn of(&self, span: &Range<usize>) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= span.start);
        (line, span.start - self.line_starts[line - 1] + 1)
    }

    fn table(&self, table: &DeTable<'_>) -> Result<Table, Vec<Problem>> {
        let mut nodes = Table::new();
        let mut problems = Vec::new();
        for (key, value) in table {
            match self.node(value) {
                Ok(node) => {
                    let key_at = Some(self.of(&key.span()));
                    nodes.insert(key.get_ref().to_string(), Node { key_at, ..node });
                }
                Err(more) => problems.extend(more),
            }
        }
        if problems.is_empty() { Ok(nodes) } else { Err(problems) }
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Result<Node, Vec<Problem>> {
        let at = Some(self.of(&value.span()));
        let refused = |text: &str| {
            let message = format!("the number {text} is too large");
            vec![Problem { at, key: String::new(), message }]
        };
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                Value::Integer(parsed.map_err(|_| refused(number.as_str()))?)
            }
            DeValue::Float(number) => {
                Value::Float(number.as_str().parse().map_err(|_| refused(number.as_str()))?)
            }
            DeValue::Boolean(is_true) => Value::Bool(*is_true),
            DeValue::Datetime(date) => Value::Datetime(date.to_string()),
            DeValue::Array(list) => Value::Array(self.list(list)?),
            DeValue::Table(table) => Value::Table(self.table(table)?),
        };
        Ok(Node { at, key_at: at, value })
    }

    fn list(&self, list: &DeArray<'_>) -> Result<Vec<Node>, Vec<Problem>> {
        list.iter().map(|value| self.node(value)).collect()
    }
}

/// Puts a `key.path=value` into the tree. The value is TOML, or else taken as text, so that a shell needs no second
/// pair of quotes: `duration=30s`.
pub(in crate::bench::scenario) fn set(root: &mut Table, assignment: &str) -> Result<(), Problem> {
    let refuse = |key: &str, message: String| Problem { at: None, key: key.to_owned(), message };
    let Some((path, text)) = assignment.split_once('=') else {
        return Err(refuse(assignment, "--set takes key.path=value".to_owned()));
    };
    let path = path.trim();
    let keys: Vec<&str> = path.split('.').map(str::trim).collect();
    if keys.iter().any(|key| key.is_empty()) {
        return Err(refuse(path, "--set takes key.path=value; a part of the path is empty".to_owned()));
    }
    if let Some(message) = unknown_name(root, &keys) {
        return Err(refuse(path, message));
    }
    let value = value_of(text.trim());
    put(root, &keys, value).map_err(|message| refuse(path, message))
}

/// A group or publisher that the file does not have: most likely a typing error, and it would be added in silence.
fn unknown_name(root: &Table, keys: &[&str]) -> Option<String> {
    let [section @ ("clients" | "publishers"), name, _, ..] = keys else { return None };
    let Value::Table(known) = &root.get(*section)?.value else { return None };
    if known.contains_key(*name) {
        return None;
    }
    let guess = did_you_mean(name, known.keys().map(String::as_str));
    let known: Vec<&str> = known.keys().map(String::as_str).collect();
    Some(format!("the scenario has no {name} in {section}{guess}; it has {}", known.join(", ")))
}

/// What a text means as TOML; itself, where it means nothing.
pub(in crate::bench::scenario) fn value_of(text: &str) -> Value {
    let parsed = read(&format!("value = {text}")).ok();
    let only = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    only.map_or_else(|| Value::Text(text.to_owned()), |node| without_places(node.value))
}

fn without_places(value: Value) -> Value {
    let strip = |node: Node| Node { at: None, key_at: None, value: without_places(node.value) };
    match value {
        Value::Array(list) => Value::Array(list.into_iter().map(strip).collect()),
        Value::Table(table) => {
            Value::Table(table.into_iter().map(|(key, node)| (key, strip(node))).collect())
        }
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Datetime(_) => value,
    }
}

fn put(table: &mut Table, keys: &[&str], value: Value) -> Result<(), String> {
    let [key, rest @ ..] = keys else { return Ok(()) };
    let fresh = || Node { at: None, key_at: None, value: Value::Table(Table::new()) };
    if rest.is_empty() {
        table.insert((*key).to_owned(), Node { value, ..fresh() });
        return Ok(());
    }
    put_into(table.entry((*key).to_owned()).or_insert_with(fresh), key, rest, value)
}

fn put_into(node: &mut Node, key: &str, rest: &[&str], value: Value) -> Result<(), String> {
    match &mut node.value {
        Value::Table(inner) => put(inner, rest, value),
        Value::Array(list) => {
            let length = list.len();
            let index = rest.first().and_then(|index| index.parse::<usize>().ok());
            let Some(element) = index.and_then(|index| list.get_mut(index)) else {
                return Err(format!("{key} is a list of {length}; its elements are numbered from 0"));
            };
            match &rest[1..] {
                [] => {
                    *element = Node { at: None, key_at: None, value };
                    Ok(())
                }
                deeper => put_into(element, rest[0], deeper, value),
            }
        }
        other => Err(format!("{key} is {}, nothing can be set inside it", other.kind())),
    }
}
