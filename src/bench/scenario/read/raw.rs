//! Parses TOML into a tree of values with their places, and applies `--set`. Knows the meaning of no key.
//! Read [`read`] first.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::problem::Problem;
use crate::runtime::did_you_mean;

/// Line and column, from 1; `None` for values of `--set`.
pub(super) type At = Option<(usize, usize)>;
/// Values by key.
pub(super) type Table = BTreeMap<String, Node>;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) at: At,
    /// Place of the key; for elements of a list, of the element.
    pub(super) key_at: At,
    pub(super) value: Value,
}

/// A value of TOML.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Array(Vec<Node>),
    Table(Table),
    /// A date or time; no key accepts one.
    Datetime(String),
}

impl Value {
    /// Name of the type, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Bool(_) => "a boolean",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
            Self::Datetime(_) => "a date",
        }
    }

    /// The value in messages: as in TOML; tables and lists by type.
    pub(super) fn shown(&self) -> String {
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

/// Parses a file; errors of TOML come with their places.
pub(super) fn read(text: &str) -> Result<Table, Vec<Problem>> {
    let places = Places::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return places.table(table.get_ref());
    }
    let problem = |error: &toml::de::Error| Problem {
        // Some errors have no place, and without one they would be of `--set`.
        at: Some(error.span().map_or((1, 1), |span| places.of(&span))),
        key: String::new(),
        message: format!("not valid TOML: {}", error.message()),
    };
    Err(errors.iter().map(problem).collect())
}

/// Converts byte offsets to lines and columns.
struct Places {
    line_starts: Vec<usize>,
}

impl Places {
    fn new(text: &str) -> Self {
        let line_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { line_starts: std::iter::once(0).chain(line_ends.map(|(at, _)| at + 1)).collect() }
    }

    /// Columns count bytes: the same as characters for ASCII.
    fn of(&self, span: &Range<usize>) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= span.start);
        (line, span.start - self.line_starts[line - 1] + 1)
    }

    fn table(&self, table: &DeTable<'_>) -> Result<Table, Vec<Problem>> {
        let mut nodes = Table::new();
        let mut problems = Vec::new();
        for (key, value) in table {
            match self.node(key.get_ref(), value) {
                Ok(node) => {
                    let key_at = Some(self.of(&key.span()));
                    nodes.insert(key.get_ref().to_string(), Node { key_at, ..node });
                }
                Err(more) => problems.extend(more),
            }
        }
        if problems.is_empty() { Ok(nodes) } else { Err(problems) }
    }

    fn node(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Node, Vec<Problem>> {
        let at = Some(self.of(&value.span()));
        let refused = |text: &str| {
            let message = format!("{text} is too large; allowed are numbers of 64 bits");
            vec![Problem { at, key: key.to_owned(), message }]
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
            DeValue::Array(list) => Value::Array(self.list(key, list)?),
            DeValue::Table(table) => Value::Table(self.table(table)?),
        };
        Ok(Node { at, key_at: at, value })
    }

    fn list(&self, key: &str, list: &DeArray<'_>) -> Result<Vec<Node>, Vec<Problem>> {
        list.iter().map(|value| self.node(key, value)).collect()
    }
}

/// Applies a `key.path=value`. The value is parsed as TOML, or else taken as text, so that `duration=30s` needs no
/// quotes within a shell.
pub(super) fn set(root: &mut Table, assignment: &str) -> Result<(), Problem> {
    let refuse = |key: &str, message: String| Problem { at: None, key: key.to_owned(), message };
    let Some((path, text)) = assignment.split_once('=') else {
        return Err(refuse(assignment, "has no value; the form is --set key.path=value".to_owned()));
    };
    let path = path.trim();
    let keys: Vec<&str> = path.split('.').map(str::trim).collect();
    if keys.iter().any(|key| key.is_empty()) {
        return Err(refuse(path, "a part of the path is empty; the form is --set key.path=value".to_owned()));
    }
    if let Some(message) = unknown_name(root, &keys) {
        return Err(refuse(path, message));
    }
    let value = value_of(text.trim());
    put(root, &keys, value).map_err(|message| refuse(path, message))
}

/// Refuses groups, hostile groups and publishers that the file does not have: most likely a typing error, which would add one silently.
fn unknown_name(root: &Table, keys: &[&str]) -> Option<String> {
    let [section @ ("clients" | "hostile" | "publishers"), name, _, ..] = keys else { return None };
    let Value::Table(known) = &root.get(*section)?.value else { return None };
    if known.contains_key(*name) {
        return None;
    }
    let guess = did_you_mean(name, known.keys().map(String::as_str));
    let known: Vec<&str> = known.keys().map(String::as_str).collect();
    Some(format!("the scenario has no {name} in {section}; allowed are {}{guess}", known.join(", ")))
}

/// Parses a text as TOML; a text that is not TOML stands for itself.
pub(super) fn value_of(text: &str) -> Value {
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
                return Err(format!(
                    "{key} is a list with {length} elements, numbered from 0; {} is not one of them",
                    rest.first().unwrap_or(&"")
                ));
            };
            match &rest[1..] {
                [] => {
                    *element = Node { at: None, key_at: None, value };
                    Ok(())
                }
                deeper => put_into(element, rest[0], deeper, value),
            }
        }
        other => Err(format!("{key} is {}; nothing can be set inside it", other.kind())),
    }
}
