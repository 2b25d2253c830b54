//! The JSON Schema of a scenario file, for editors: the keys that the reader asks for while it reads the examples, with
//! descriptions from `docs/scenario-reference.md`. Read [`schema`] first.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::examples;
use crate::bench::scenario::limits;
use crate::bench::scenario::read::field_schema::{FieldSchema, FieldSchemas, FieldType};
use crate::bench::scenario::read::scenario;

pub(crate) const PAGE: &str = include_str!("../../../../docs/scenario-reference.md");
/// A duration as `humantime` reads it.
const DURATION: &str = r"^\s*(0|([0-9]+(\.[0-9]+)?\s*[A-Za-zµ]+\s*)+)$";
/// A status, a class or a range.
const STATUSES: &str = "^([1-5]xx|[1-5][0-9]{2}( *- *[1-5][0-9]{2})?)$";
const NAME: &str = "^[A-Za-z0-9_-]{1,64}$";

/// The schema, with a line feed at its end.
#[must_use]
pub fn schema() -> String {
    let schemas = schemas();
    let docs = KeyDocs::of(PAGE);
    let mut root = object("", &schemas, &docs);
    root.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    root.insert("title".into(), "A scenario of sse-bench".into());
    // Serialising texts and numbers cannot fail.
    serde_json::to_string_pretty(&root).unwrap_or_default() + "\n"
}

/// The record of all keys.
pub(crate) fn schemas() -> FieldSchemas {
    let examples = examples::examples();
    scenario::schemas_of(&examples.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A key as in the documentation: `N` for elements of lists; faults of a nemesis have the rows of `faults`.
pub(crate) fn documented(path: &str) -> String {
    let path = if path.starts_with("nemesis.faults.") { &path["nemesis.".len()..] } else { path };
    let number = |part| if str::parse::<u32>(part).is_ok() { "N" } else { part };
    path.split('.').map(number).collect::<Vec<_>>().join(".")
}

/// The row of a key in the documentation, by column.
pub(crate) struct Row {
    pub(crate) allowed: String,
    /// The default, or a text that there is none.
    pub(crate) default: String,
    pub(crate) about: String,
}

/// The tables of keys in the documentation.
pub(crate) struct KeyDocs {
    pub(crate) rows: BTreeMap<String, Row>,
}

impl KeyDocs {
    /// Reads the section `Keys`.
    pub(crate) fn of(page: &str) -> Self {
        let section = page.split("\n## ").find(|section| section.starts_with("Keys")).unwrap_or_default();
        let row = |line: &str| {
            let cells: Vec<&str> =
                line.strip_prefix("| ")?.strip_suffix('|')?.split('|').map(str::trim).collect();
            let [key, allowed, default, about] = cells[..] else { return None };
            let key = key.strip_prefix('`')?.strip_suffix('`')?.to_owned();
            let [allowed, default, about] = [allowed, default, about].map(str::to_owned);
            Some((key, Row { allowed, default, about }))
        };
        Self { rows: section.lines().filter_map(row).collect() }
    }

    fn describe(&self, asked: &FieldSchema, property: &mut Map<String, Value>) {
        let Some(row) = self.rows.get(&documented(&asked.path)) else { return };
        let about = if row.about.is_empty() { &row.allowed } else { &row.about };
        let mut description = about.replace('`', "");
        if asked.types == [FieldType::Duration] && !row.about.is_empty() {
            description.push_str(&format!(" ({})", row.allowed.replace('`', "")));
        }
        property.insert("description".into(), description.into());
        if let Some(default) = default(&row.default, &asked.types) {
            property.insert("default".into(), default);
        }
    }
}

/// The default as a JSON value, parsed from the documentation; `None` if it is not a value of these types.
pub(crate) fn default(text: &str, types: &[FieldType]) -> Option<Value> {
    let bare = text.trim_matches('`');
    let number = bare.replace(',', "");
    let value = |field_type: &FieldType| match field_type {
        FieldType::Words(words) => words.iter().any(|word| word == bare).then(|| bare.into()),
        FieldType::Integer(..) => number.parse::<u64>().ok().map(Value::from),
        FieldType::Number(..) => number.parse::<f64>().ok().map(Value::from),
        FieldType::Duration => humantime::parse_duration(bare).ok().map(|_| bare.into()),
        FieldType::Boolean => bare.parse::<bool>().ok().map(Value::from),
        FieldType::Text
        | FieldType::Texts
        | FieldType::WordList(_)
        | FieldType::Statuses
        | FieldType::Table
        | FieldType::Named
        | FieldType::List => None,
    };
    types.iter().find_map(value)
}

fn object(place: &str, schemas: &FieldSchemas, docs: &KeyDocs) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("type".into(), "object".into());
    let Some(known) = schemas.tables.get(place) else { return object };
    if let Some(types) = &known.user_keys {
        let any = any_of(types.iter().map(|field_type| of_type(field_type, place, schemas, docs)).collect());
        object.insert("additionalProperties".into(), any.into());
        return object;
    }
    let mut properties = Map::new();
    for (key, asked) in &known.keys {
        let path = if place.is_empty() { (*key).to_owned() } else { format!("{place}.{key}") };
        // The reader looks at some texts before it reads them as one of some words.
        let has_words = asked.types.iter().any(|field_type| matches!(field_type, FieldType::Words(_)));
        let types = asked.types.iter().filter(|field_type| !(has_words && **field_type == FieldType::Text));
        let mut property =
            any_of(types.map(|field_type| of_type(field_type, &path, schemas, docs)).collect());
        docs.describe(asked, &mut property);
        properties.insert((*key).to_owned(), property.into());
    }
    // The reader checks keys that only some variants of a table need.
    let required = known.keys.iter().filter(|(_, asked)| asked.required >= known.visits);
    let required: Vec<&str> = required.map(|(key, _)| *key).collect();
    if !required.is_empty() {
        object.insert("required".into(), required.into());
    }
    object.insert("properties".into(), properties.into());
    object.insert("additionalProperties".into(), false.into());
    object
}

fn any_of(mut types: Vec<Map<String, Value>>) -> Map<String, Value> {
    match types.len() {
        0 | 1 => types.pop().unwrap_or_default(),
        _ => Map::from_iter([("anyOf".to_owned(), types.into())]),
    }
}

fn of_type(field_type: &FieldType, path: &str, schemas: &FieldSchemas, docs: &KeyDocs) -> Map<String, Value> {
    let value = match field_type {
        FieldType::Text => json!({ "type": "string" }),
        FieldType::Texts => list_or_one(&json!({ "type": "string" })),
        FieldType::Words(words) => json!({ "enum": words }),
        FieldType::WordList(words) => list_or_one(&json!({ "enum": words })),
        FieldType::Statuses => list_or_one(&json!({
            "anyOf": [{ "type": "integer", "minimum": 100, "maximum": 599 }, { "type": "string", "pattern": STATUSES }],
        })),
        FieldType::Integer(from, to) if from == to => json!({ "const": from }),
        FieldType::Integer(from, to) => json!({ "type": "integer", "minimum": from, "maximum": to }),
        FieldType::Number(f64::MIN, _) => json!({ "type": "number" }),
        FieldType::Number(from, to) => json!({ "type": "number", "minimum": from, "maximum": to }),
        FieldType::Duration => json!({ "type": "string", "pattern": DURATION }),
        FieldType::Boolean => json!({ "type": "boolean" }),
        FieldType::Table => return object(path, schemas, docs),
        FieldType::Named => json!({
            "type": "object",
            "propertyNames": { "pattern": NAME },
            "maxProperties": limits::ENTRIES_MAX,
            "additionalProperties": object(&format!("{path}.*"), schemas, docs),
        }),
        FieldType::List => json!({
            "type": "array",
            "maxItems": limits::ENTRIES_MAX,
            "items": object(&format!("{path}.#"), schemas, docs),
        }),
    };
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn list_or_one(one: &Value) -> Value {
    json!({ "anyOf": [one, { "type": "array", "items": one }] })
}
