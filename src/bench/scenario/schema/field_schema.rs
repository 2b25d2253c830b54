//! What may stand at a key, written down while the parser asks for it: the calls that read a scenario are the only place
//! that knows keys, types and ranges, and the schema is what they said. Read [`Forms`] first.

use std::collections::BTreeMap;
use std::fmt;

/// One form that a value may have.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::bench::scenario) enum Form {
    /// Any text.
    Text,
    /// A text, or a list of them.
    Texts,
    /// One of these words.
    Words(Vec<String>),
    /// One of these words, or a list of them.
    WordList(Vec<String>),
    /// A whole number.
    Integer(u64, u64),
    /// A number.
    Number(f64, f64),
    /// A duration as text.
    Duration,
    /// True or false.
    Boolean,
    /// A table with the keys of its own place.
    Table,
    /// Tables by names that the user chose.
    Named,
    /// A list of tables.
    List,
}

/// What was asked about one key.
#[derive(Debug, Default)]
pub(in crate::bench::scenario) struct Asked {
    /// Its path in the specimen, as the documentation writes it but for the numbers.
    pub(in crate::bench::scenario) path: String,
    /// Forms that its value may have; none where the parser only looked whether it is there, or takes anything.
    pub(in crate::bench::scenario) forms: Vec<Form>,
    /// How often its table was read and had to have it.
    pub(in crate::bench::scenario) required: usize,
}

/// What was asked about the keys of one table.
#[derive(Debug, Default)]
pub(in crate::bench::scenario) struct Place {
    /// How often such a table was read.
    pub(in crate::bench::scenario) visits: usize,
    pub(in crate::bench::scenario) keys: BTreeMap<&'static str, Asked>,
    /// Where the user chooses the keys: what their values may be.
    pub(in crate::bench::scenario) chosen: Option<Vec<Form>>,
}

/// All places: `""` the file, `clients.*` a table with a name, `faults.#` an element of a list.
#[derive(Debug, Default)]
pub(in crate::bench::scenario) struct Forms {
    pub(in crate::bench::scenario) places: BTreeMap<String, Place>,
}

impl Forms {
    pub(in crate::bench::scenario) fn visit(&mut self, place: &str) {
        self.places.entry(place.to_owned()).or_default().visits += 1;
    }

    pub(in crate::bench::scenario) fn asked(
        &mut self,
        place: &str,
        key: &'static str,
        path: String,
    ) -> &mut Asked {
        let asked = self.places.entry(place.to_owned()).or_default().keys.entry(key).or_default();
        asked.path = path;
        asked
    }

    pub(in crate::bench::scenario) fn chosen(&mut self, place: &str, forms: &[Form]) {
        self.places.entry(place.to_owned()).or_default().chosen = Some(forms.to_vec());
    }
}

impl Asked {
    /// One more form. Of the same kind the widest one counts: what other keys forbid is the parser's to tell.
    pub(in crate::bench::scenario) fn add(&mut self, form: Form) {
        for known in &mut self.forms {
            match (known, &form) {
                (Form::Integer(from, to), Form::Integer(other_from, other_to)) => {
                    (*from, *to) = ((*from).min(*other_from), (*to).max(*other_to));
                    return;
                }
                (Form::Number(from, to), Form::Number(other_from, other_to)) => {
                    (*from, *to) = (from.min(*other_from), to.max(*other_to));
                    return;
                }
                (Form::Words(words), Form::Words(more)) | (Form::WordList(words), Form::WordList(more)) => {
                    words.extend(
                        more.iter().filter(|word| !words.contains(word)).cloned().collect::<Vec<_>>(),
                    );
                    return;
                }
                (known, form) if *known == *form => return,
                _ => {}
            }
        }
        self.forms.push(form);
    }
}

/// What is missing, in a message.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a text"),
            Self::Texts => f.write_str("a text or a list of texts"),
            Self::Words(words) => write!(f, "one of {}", words.join(", ")),
            Self::WordList(words) => write!(f, "a list of {}", words.join(", ")),
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
