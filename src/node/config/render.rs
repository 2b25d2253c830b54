//! The configuration as text: the commented file of `default-config`, and the table of `check-config`. Does no I/O.

use std::fmt::Write as _;

use super::group::Group;
use super::resolve::ValueSource;
use super::settings::{FILE, Fallback, PREFIX, SETTINGS, Setting};
use super::typed::Loaded;

/// The file of `default-config`: every setting, with its help and its default.
#[must_use]
pub fn default_file() -> String {
    let mut text = format!(
        "# Configuration of sse-node: every setting with its default.\n\
         # Each setting is a flag (--max-connections), an environment variable ({PREFIX}MAX_CONNECTIONS) and a key of\n\
         # this file. Flags override variables; variables override this file. --{FILE} or {PREFIX}{} names the file.\n",
        FILE.to_uppercase()
    );
    for group in Group::ALL {
        push(&mut text, &format!("\n# {}\n", group.title()));
        for setting in SETTINGS.iter().filter(|setting| setting.group == group) {
            push(&mut text, &default_lines(setting));
        }
    }
    text
}

fn default_lines(setting: &Setting) -> String {
    let Setting { key, help, .. } = setting;
    match setting.default {
        Fallback::Text(value) => format!("\n# {help}.\n{key} = {}\n", literal(value)),
        Fallback::Made { shown, example } => {
            format!("\n# {help}. Default: {shown}.\n# {key} = {}\n", literal(example))
        }
    }
}

/// A text as a TOML value; numbers and booleans have no quotes.
fn literal(text: &str) -> String {
    if text.parse::<i64>().is_ok() || text.parse::<bool>().is_ok() {
        text.to_owned()
    } else {
        toml::Value::String(text.to_owned()).to_string()
    }
}

impl Loaded {
    /// One line per setting with its value and source, then the warnings.
    #[must_use]
    pub fn table(&self) -> String {
        let rows: Vec<_> = self
            .chosen
            .iter()
            .map(|chosen| {
                let value =
                    self.value_of(chosen).unwrap_or_else(|| chosen.setting.shown_default().to_owned());
                (chosen.setting.key, value, origin(chosen.setting, &chosen.source))
            })
            .collect();
        let width = |of: fn(&(&str, String, String)) -> usize| rows.iter().map(of).max().unwrap_or_default();
        let (keys, values) = (width(|row| row.0.len()), width(|row| row.1.chars().count()));
        let mut text = String::new();
        for (key, value, origin) in &rows {
            push(&mut text, &format!("{key:keys$}  {value:values$}  {origin}\n"));
        }
        for warning in &self.warnings {
            push(&mut text, &format!("warning: {warning}\n"));
        }
        text
    }
}

fn origin(setting: &Setting, origin: &ValueSource) -> String {
    match origin {
        ValueSource::Flag => format!("flag --{}", setting.key),
        ValueSource::Environment => format!("environment {}", setting.variable()),
        ValueSource::File(path) => format!("file {}", path.display()),
        ValueSource::Default => "default".to_owned(),
    }
}

fn push(text: &mut String, more: &str) {
    // Writing to a String cannot fail.
    let _ok = text.write_str(more);
}
