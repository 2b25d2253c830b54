//! The configuration as people see it: the commented file, and the table of what counts and why. Pure.

use std::fmt::Write as _;

use super::resolve::Origin;
use super::settings::{FILE, Fallback, Group, PREFIX, SETTINGS, Setting};
use super::typed::Loaded;

/// A file that says what would hold without it.
#[must_use]
pub fn default_file() -> String {
    let mut text = format!(
        "# Configuration of sse-node: every setting with its default.\n\
         # Each is a flag (--max-connections), a variable ({PREFIX}MAX_CONNECTIONS) and a key of this file at once;\n\
         # a flag goes before a variable, a variable before this file. Named by --{FILE} or {PREFIX}{}.\n",
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
            format!("\n# {help}. Without it: {shown}.\n# {key} = {}\n", literal(example))
        }
    }
}

/// A text as TOML: numbers and switches stand without quotes.
fn literal(text: &str) -> String {
    if text.parse::<i64>().is_ok() || text.parse::<bool>().is_ok() {
        text.to_owned()
    } else {
        toml::Value::String(text.to_owned()).to_string()
    }
}

impl Loaded {
    /// Each setting with its value and where that came from, a line each.
    #[must_use]
    pub fn table(&self) -> String {
        let rows: Vec<_> = self
            .chosen
            .iter()
            .map(|chosen| {
                let value =
                    self.value_of(chosen).unwrap_or_else(|| chosen.setting.shown_default().to_owned());
                (chosen.setting.key, value, origin(chosen.setting, &chosen.origin))
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

fn origin(setting: &Setting, origin: &Origin) -> String {
    match origin {
        Origin::Flag => format!("flag --{}", setting.key),
        Origin::Environment => format!("environment {}", setting.variable()),
        Origin::File(path) => format!("file {}", path.display()),
        Origin::Default => "default".to_owned(),
    }
}

fn push(text: &mut String, more: &str) {
    // Writing to a String cannot fail.
    let _ok = text.write_str(more);
}
