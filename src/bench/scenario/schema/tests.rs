//! The committed schema is the parser's, knows every key, and takes what the parser takes.

use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;

use super::examples;
use super::schema::{KeyDocs, PAGE, default, documented, schema, schemas};
use crate::bench::scenario::parse;

const COMMITTED: &str = include_str!("../../../../docs/scenario.schema.json");

fn validator() -> Validator {
    jsonschema::validator_for(&serde_json::from_str(&schema()).unwrap()).unwrap()
}

fn json_of(toml: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(toml).unwrap()).unwrap()
}

#[track_caller]
fn assert_valid(name: &str, text: &str) {
    let problems: Vec<String> = validator()
        .iter_errors(&json_of(text))
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{name}: {problems:#?}");
}

/// All scenarios that are shipped, also those in directories.
fn shipped() -> Vec<PathBuf> {
    let mut dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")];
    let mut files = Vec::new();
    while let Some(dir) = dirs.pop() {
        for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn the_committed_schema_is_current() {
    let hint = "regenerate it: sse-bench schema > docs/scenario.schema.json";
    assert!(COMMITTED == schema(), "docs/scenario.schema.json is not what the parser asks for; {hint}");
}

#[test]
fn every_scenario_that_is_shipped_is_valid_by_the_schema() {
    let files = shipped();
    assert!(files.len() >= 10, "{files:?}");
    for file in files {
        assert_valid(&file.display().to_string(), &std::fs::read_to_string(&file).unwrap());
    }
    for text in examples::VALID {
        assert_valid("an example", text);
    }
}

#[test]
fn every_key_has_a_type_in_an_example() {
    let schemas = schemas();
    let keys = schemas.tables.iter().flat_map(|(place, known)| {
        known.keys.iter().map(move |(key, asked)| (format!("{place}.{key}"), &asked.types))
    });
    let untyped: Vec<String> = keys.filter(|(_, types)| types.is_empty()).map(|(key, _)| key).collect();
    assert!(untyped.is_empty(), "in no example of examples.rs, or read without a field_type: {untyped:?}");
}

/// A key that the parser reads only in a field_type that no example has would be missing in the schema and unnoticed.
#[test]
fn every_key_in_the_source_of_the_parser_is_in_the_schema() {
    const CALLS: [&str; 13] = [
        "text",
        "parsed",
        "choice",
        "choices",
        "integer",
        "integer32",
        "number",
        "duration",
        "boolean",
        "texts",
        "section",
        "sections",
        "list",
    ];
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bench/scenario/read");
    let schemas = schemas();
    let known: Vec<&str> = schemas.tables.values().flat_map(|place| place.keys.keys().copied()).collect();
    let mut seen = 0;
    for file in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(source) = std::fs::read_to_string(&file) else { continue };
        for call in CALLS {
            for rest in source.split(&format!(".{call}(\"")).skip(1) {
                let key = rest.split('"').next().unwrap();
                seen += 1;
                assert!(known.contains(&key), "{}: {key:?} is in no example of examples.rs", file.display());
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn what_the_parser_refuses_the_schema_refuses() {
    let validator = validator();
    let with = |rest: &str| json_of(&format!("schema = 1\nname = \"t\"\nduration = \"9s\"\n{rest}"));
    let clients = "[clients.c]\nclients = 5\n";
    assert!(validator.is_valid(&with(clients)));
    for wrong in [
        "",
        "[clients.c]\nclients = 0\n",
        "[clients.c]\nclients = \"many\"\n",
        "[clients.\"a b\"]\nclients = 5\n",
        "[clients.c]\nclients = 5\nramp = \"soon\"\n",
        "[clients.c]\nclients = 5\nsubscribe = { users = \"u\" }\n",
        "warmup = 2\n[clients.c]\nclients = 5\n",
    ] {
        assert!(!validator.is_valid(&with(wrong)), "{wrong}");
    }
    for wrong in
        ["[lb]\nkind = \"envoy\"\n", "[[faults]]\ntype = \"kill\"\n", "[output]\nformats = [\"pdf\"]\n"]
    {
        assert!(!validator.is_valid(&with(&format!("{clients}{wrong}"))), "{wrong}");
    }
}

/// Whether an example has this key.
fn says(text: &str, path: &str) -> bool {
    let table = toml::Value::Table(toml::from_str(text).unwrap());
    let inner = |value: toml::Value, key: &str| match key.parse::<usize>() {
        Ok(index) => value.get(index).cloned(),
        Err(_) => value.get(key).cloned(),
    };
    path.split('.').try_fold(table, inner).is_some()
}

/// The documentation says what the default is; saying it in the file changes nothing.
#[test]
fn a_documented_default_is_the_parser_s() {
    let docs = KeyDocs::of(PAGE);
    let [spawn, attach, ..] = examples::VALID;
    let mut checked = 0;
    for (place, known) in &schemas().tables {
        for (key, asked) in &known.keys {
            let Some(row) = docs.rows.get(&documented(&asked.path)) else { continue };
            let Some(default) = default(&row.default, &asked.types) else { continue };
            let set = [format!("{}={default}", asked.path)];
            let example = [spawn, attach]
                .into_iter()
                .find(|text| !says(text, &asked.path) && parse("t.toml", text, &set).is_ok());
            // Keys of one fault's type, or beside others, have no example in which they could be set.
            let Some(text) = example else { continue };
            let without = parse("t.toml", text, &[]).unwrap();
            let with = parse("t.toml", text, &set).unwrap();
            assert_eq!(with, without, "{place}.{key} = {default}");
            checked += 1;
        }
    }
    assert!(checked >= 15, "{checked}");
}
