//! The JSON Schema of a scenario file, for editors: what the parser asks for while it reads the specimens, with the words
//! of `docs/scenario-reference.md`. Read [`schema`] first.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::examples;
use super::field_schema::{Asked, Form, Forms};
use crate::bench::scenario::read::{limits, scenario};

pub(super) const PAGE: &str = include_str!("../../../../docs/scenario-reference.md");
/// A duration as `humantime` reads it.
const DURATION: &str = r"^\s*(0|([0-9]+(\.[0-9]+)?\s*[A-Za-zµ]+\s*)+)$";
const NAME: &str = "^[A-Za-z0-9_-]{1,64}$";

/// The schema, with a line feed at its end.
#[must_use]
pub fn schema() -> String {
    let forms = forms();
    let words = Words::of(PAGE);
    let mut root = object("", &forms, &words);
    root.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    root.insert("title".into(), "A scenario of sse-bench".into());
    // Writing a tree of texts and numbers cannot fail.
    serde_json::to_string_pretty(&root).unwrap_or_default() + "\n"
}

/// All keys, with what may stand at them.
pub(in crate::bench::scenario) fn forms() -> Forms {
    let specimens = examples::specimens();
    scenario::forms_of(&specimens.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A key as the documentation writes it: elements of lists are `N`, and what a nemesis may do has the keys of a fault.
pub(in crate::bench::scenario) fn documented(path: &str) -> String {
    let path = if path.starts_with("nemesis.faults.") { &path["nemesis.".len()..] } else { path };
    let number = |part| if str::parse::<u32>(part).is_ok() { "N" } else { part };
    path.split('.').map(number).collect::<Vec<_>>().join(".")
}

/// What a row of the documentation says of a key.
pub(in crate::bench::scenario) struct Row {
    /// Its second column.
    pub(in crate::bench::scenario) allowed: String,
    /// Its third column: the default, or that there is none.
    pub(in crate::bench::scenario) default: String,
    /// Its last column.
    pub(in crate::bench::scenario) about: String,
}

/// The tables of keys in the documentation.
pub(in crate::bench::scenario) struct Words {
    pub(in crate::bench::scenario) rows: BTreeMap<String, Row>,
}

impl Words {
    /// Reads the section `Keys`.
    pub(in crate::bench::scenario) fn of(page: &str) -> Self {
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

    fn describe(&self, asked: &Asked, property: &mut Map<String, Value>) {
        let Some(row) = self.rows.get(&documented(&asked.path)) else { return };
        let about = if row.about.is_empty() { &row.allowed } else { &row.about };
        let mut description = about.replace('`', "");
        if asked.forms == [Form::Duration] && !row.about.is_empty() {
            description.push_str(&format!(" ({})", row.allowed.replace('`', "")));
        }
        property.insert("description".into(), description.into());
        if let Some(default) = default(&row.default, &asked.forms) {
            property.insert("default".into(), default);
        }
    }
}

/// A default that can be written down, read from the words of the documentation.
pub(in crate::bench::scenario) fn default(text: &str, forms: &[Form]) -> Option<Value> {
    let bare = text.trim_matches('`');
    let number = bare.replace(',', "");
    let value = |form: &Form| match form {
        Form::Words(words) => words.iter().any(|word| word == bare).then(|| bare.into()),
        Form::Integer(..) => number.parse::<u64>().ok().map(Value::from),
        Form::Number(..) => number.parse::<f64>().ok().map(Value::from),
        Form::Duration => humantime::parse_duration(bare).ok().map(|_| bare.into()),
        Form::Boolean => bare.parse::<bool>().ok().map(Value::from),
        Form::Text | Form::Texts | Form::WordList(_) | Form::Table | Form::Named | Form::List => None,
    };
    forms.iter().find_map(value)
}

fn object(place: &str, forms: &Forms, words: &Words) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("type".into(), "object".into());
    let Some(known) = forms.places.get(place) else { return object };
    if let Some(chosen) = &known.chosen {
        let any = any_of(chosen.iter().map(|form| of_form(form, place, forms, words)).collect());
        object.insert("additionalProperties".into(), any.into());
        return object;
    }
    let mut properties = Map::new();
    for (key, asked) in &known.keys {
        let path = if place.is_empty() { (*key).to_owned() } else { format!("{place}.{key}") };
        // A text that is looked at before it is read as one of some words.
        let has_words = asked.forms.iter().any(|form| matches!(form, Form::Words(_)));
        let said = asked.forms.iter().filter(|form| !(has_words && **form == Form::Text));
        let mut property = any_of(said.map(|form| of_form(form, &path, forms, words)).collect());
        words.describe(asked, &mut property);
        properties.insert((*key).to_owned(), property.into());
    }
    // What only some forms of a table need is for the parser to tell.
    let required = known.keys.iter().filter(|(_, asked)| asked.required >= known.visits);
    let required: Vec<&str> = required.map(|(key, _)| *key).collect();
    if !required.is_empty() {
        object.insert("required".into(), required.into());
    }
    object.insert("properties".into(), properties.into());
    object.insert("additionalProperties".into(), false.into());
    object
}

fn any_of(mut forms: Vec<Map<String, Value>>) -> Map<String, Value> {
    match forms.len() {
        0 | 1 => forms.pop().unwrap_or_default(),
        _ => Map::from_iter([("anyOf".to_owned(), forms.into())]),
    }
}

fn of_form(form: &Form, path: &str, forms: &Forms, words: &Words) -> Map<String, Value> {
    let value = match form {
        Form::Text => json!({ "type": "string" }),
        Form::Texts => list_or_one(&json!({ "type": "string" })),
        Form::Words(words) => json!({ "enum": words }),
        Form::WordList(words) => list_or_one(&json!({ "enum": words })),
        Form::Integer(from, to) if from == to => json!({ "const": from }),
        Form::Integer(from, to) => json!({ "type": "integer", "minimum": from, "maximum": to }),
        Form::Number(f64::MIN, _) => json!({ "type": "number" }),
        Form::Number(from, to) => json!({ "type": "number", "minimum": from, "maximum": to }),
        Form::Duration => json!({ "type": "string", "pattern": DURATION }),
        Form::Boolean => json!({ "type": "boolean" }),
        Form::Table => return object(path, forms, words),
        Form::Named => json!({
            "type": "object",
            "propertyNames": { "pattern": NAME },
            "maxProperties": limits::ENTRIES_MAX,
            "additionalProperties": object(&format!("{path}.*"), forms, words),
        }),
        Form::List => json!({
            "type": "array",
            "maxItems": limits::ENTRIES_MAX,
            "items": object(&format!("{path}.#"), forms, words),
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
