//! Types and ranges of keys, recorded while the reader asks for them: the calls that read a scenario are the only
//! definition of keys, types and ranges; the schema is made from this record. Read [`FieldSchemas`] first.

use std::collections::BTreeMap;
use std::fmt;

/// A type that a value may have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FieldType {
    Text,
    /// A text, or a list of texts.
    Texts,
    /// A text that is one of these words.
    Words(Vec<String>),
    /// One of these words, or a list of them.
    WordList(Vec<String>),
    /// An HTTP status, or a list of statuses, ranges and classes.
    Statuses,
    /// A whole number between two bounds.
    Integer(u64, u64),
    /// A number between two bounds.
    Number(f64, f64),
    /// A text such as `1m30s`.
    Duration,
    Boolean,
    /// A table with its own [`TableSchema`].
    Table,
    /// Tables by names that the user chooses.
    Named,
    /// A list of tables with one [`TableSchema`].
    List,
}

/// The record of one key.
#[derive(Debug, Default)]
pub(crate) struct FieldSchema {
    /// Path in the example, as in the documentation but for numbers.
    pub(crate) path: String,
    /// Types that the value may have; empty if the reader only checked whether the key exists.
    pub(crate) types: Vec<FieldType>,
    /// Number of times that its table was read and required the key.
    pub(crate) required: usize,
}

/// The record of one kind of table.
#[derive(Debug, Default)]
pub(crate) struct TableSchema {
    /// Number of times that such a table was read.
    pub(crate) visits: usize,
    pub(crate) keys: BTreeMap<&'static str, FieldSchema>,
    /// Types of values if the user chooses the keys; else `None`.
    pub(crate) user_keys: Option<Vec<FieldType>>,
}

/// All kinds of tables: `""` is the file, `clients.*` a named table, `faults.#` an element of a list.
#[derive(Debug, Default)]
pub(crate) struct FieldSchemas {
    pub(crate) tables: BTreeMap<String, TableSchema>,
}

impl FieldSchemas {
    pub(crate) fn visit(&mut self, table: &str) {
        self.tables.entry(table.to_owned()).or_default().visits += 1;
    }

    pub(crate) fn asked(&mut self, table: &str, key: &'static str, path: String) -> &mut FieldSchema {
        let asked = self.tables.entry(table.to_owned()).or_default().keys.entry(key).or_default();
        asked.path = path;
        asked
    }

    pub(crate) fn user_keys(&mut self, table: &str, types: &[FieldType]) {
        self.tables.entry(table.to_owned()).or_default().user_keys = Some(types.to_vec());
    }
}

impl FieldSchema {
    /// Adds a type. Of two with bounds, the union counts: the reader checks conditions that depend on other keys.
    pub(crate) fn add(&mut self, field_type: FieldType) {
        for known in &mut self.types {
            match (known, &field_type) {
                (FieldType::Integer(from, to), FieldType::Integer(other_from, other_to)) => {
                    (*from, *to) = ((*from).min(*other_from), (*to).max(*other_to));
                    return;
                }
                (FieldType::Number(from, to), FieldType::Number(other_from, other_to)) => {
                    (*from, *to) = (from.min(*other_from), to.max(*other_to));
                    return;
                }
                (FieldType::Words(words), FieldType::Words(more))
                | (FieldType::WordList(words), FieldType::WordList(more)) => {
                    words.extend(
                        more.iter().filter(|word| !words.contains(word)).cloned().collect::<Vec<_>>(),
                    );
                    return;
                }
                (known, field_type) if *known == *field_type => return,
                _ => {}
            }
        }
        self.types.push(field_type);
    }
}

/// As in messages about missing keys.
impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a string"),
            Self::Texts => f.write_str("a string or a list of strings"),
            Self::Words(words) => write!(f, "one of {}", words.join(", ")),
            Self::WordList(words) => write!(f, "one or a list of {}", words.join(", ")),
            Self::Statuses => f.write_str("a status or a list of statuses, as in [202, \"3xx\"]"),
            Self::Integer(from, to) if from == to => write!(f, "{from}"),
            Self::Integer(from, to) => write!(f, "a whole number from {from} to {to}"),
            Self::Number(from, to) => write!(f, "a number from {from} to {to}"),
            Self::Duration => f.write_str("a duration, as in \"1m30s\""),
            Self::Boolean => f.write_str("true or false"),
            Self::Table | Self::Named => f.write_str("a table"),
            Self::List => f.write_str("a list of tables"),
        }
    }
}
