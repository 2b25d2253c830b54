//! Finds the text of each setting. The sources in order of precedence: flag, environment, file, default. Also reports
//! all errors of the sources themselves, such as unknown keys. Does no I/O. Read [`Sources`] first.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::secret;
use super::settings::{BROKER, FILE, Fallback, PREFIX, SETTINGS, Setting};
use crate::runtime::secrets::without_secrets;

/// The texts of the user, by source.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources {
    /// Values of flags, by key.
    pub(super) flags: BTreeMap<&'static str, String>,
    /// Values of environment variables, by name; only names with [`PREFIX`] count.
    pub(super) environment: BTreeMap<String, String>,
    /// Path and content of the configuration file.
    pub(super) file: Option<(PathBuf, String)>,
}

/// Where the value of a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueSource {
    /// A flag of the command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The configuration file at this path.
    File(PathBuf),
    /// No source has the setting.
    Default,
}

/// The text of a setting, and its source.
#[derive(Clone)]
pub(super) struct Chosen {
    pub(super) setting: &'static Setting,
    /// `None` if no source has the setting and its default is not fixed.
    pub(super) text: Option<String>,
    pub(super) source: ValueSource,
}

/// One error: the setting with its source and value, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem(String);

/// All errors of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidConfig {
    problems: Vec<ConfigProblem>,
}

/// The result of [`Sources::resolve`].
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) chosen: Vec<Chosen>,
    /// Warnings, which do not keep the node from starting.
    pub(super) warnings: Vec<String>,
    pub(super) problems: Vec<ConfigProblem>,
}

impl Sources {
    pub(super) fn resolve(&self) -> Resolved {
        let mut resolved = Resolved::default();
        let file =
            self.file.as_ref().map(|(path, text)| (path, read_file(path, text, &mut resolved.problems)));
        let warnings = self.environment.keys().filter_map(|name| misspelt(name));
        resolved.warnings.extend(warnings);
        resolved.chosen = SETTINGS
            .iter()
            .map(|setting| {
                let from_file =
                    file.as_ref().and_then(|(path, values)| Some((*path, values.get(setting.key)?)));
                self.choose(setting, from_file)
            })
            .collect();
        resolved
    }

    fn choose(&self, setting: &'static Setting, from_file: Option<(&PathBuf, &String)>) -> Chosen {
        // An empty variable counts as not set: compose files leave such variables.
        let variable = self.environment.get(&setting.variable()).filter(|value| !value.is_empty());
        let (text, source) = if let Some(flag) = self.flags.get(setting.key) {
            (Some(flag.clone()), ValueSource::Flag)
        } else if let Some(variable) = variable {
            (Some(variable.clone()), ValueSource::Environment)
        } else if let Some((path, value)) = from_file {
            (Some(value.clone()), ValueSource::File(path.clone()))
        } else {
            match setting.default {
                Fallback::Text(text) => (Some(text.to_owned()), ValueSource::Default),
                Fallback::Made { .. } => (None, ValueSource::Default),
            }
        };
        Chosen { setting, text, source }
    }
}

/// The values of the file as texts, so that values of all sources are parsed in the same way.
fn read_file(path: &Path, text: &str, problems: &mut Vec<ConfigProblem>) -> BTreeMap<String, String> {
    let place = path.display();
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            // Not its whole text, which repeats the line: that may hold a secret.
            let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
            let (line, why) = (before.matches('\n').count() + 1, error.message());
            problems.push(ConfigProblem(format!("{place} is not valid TOML: line {line}: {why}")));
            return BTreeMap::new();
        }
    };
    let mut values = BTreeMap::new();
    for (key, value) in table {
        if !SETTINGS.iter().any(|setting| setting.key == key) {
            let hint = suggest(&key).map_or_else(
                || "sse-node default-config shows all keys".to_owned(),
                |known| format!("did you mean {known}?"),
            );
            problems.push(ConfigProblem(format!("{key:?} in {place} is not a setting; {hint}")));
        } else if let Some(text) = value_text(&value) {
            values.insert(key, text);
        } else {
            let allowed = "allowed are strings, whole numbers, true, false and lists of strings";
            problems.push(ConfigProblem(format!(
                "{key} in {place} has the type {}; {allowed}",
                value.type_str()
            )));
        }
    }
    values
}

fn value_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(switch) => Some(switch.to_string()),
        toml::Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(toml::Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

/// The known key that is most like `key`, if one is like enough.
fn suggest(key: &str) -> Option<&'static str> {
    const LIKE_ENOUGH: f64 = 0.7;
    let key = key.replace('_', "-").to_lowercase();
    SETTINGS
        .iter()
        .map(|setting| (strsim::normalized_damerau_levenshtein(&key, setting.key), setting.key))
        .filter(|(likeness, _)| *likeness >= LIKE_ENOUGH)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// A warning about a variable that is nearly the variable of a setting. Other variables may have the prefix too:
/// Kubernetes names some after every service.
fn misspelt(name: &str) -> Option<String> {
    let key = name.strip_prefix(PREFIX)?.replace('_', "-").to_lowercase();
    if key == FILE || SETTINGS.iter().any(|setting| setting.key == key) {
        return None;
    }
    let known = SETTINGS.iter().find(|setting| Some(setting.key) == suggest(&key))?;
    Some(format!(
        "{name} is not the variable of a setting and is ignored; did you mean {}?",
        known.variable()
    ))
}

// Derived, it would show secrets.
impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?} ({:?})", self.setting.key, self.shown(), self.source)
    }
}

impl Chosen {
    /// The text without secrets and passwords.
    pub(super) fn shown(&self) -> Option<String> {
        let text = self.text.as_deref()?;
        let is_url = self.setting.key == BROKER || text.contains("://");
        Some(match (self.setting.is_secret(), is_url) {
            (true, _) => secret::shown(text).to_owned(),
            (false, true) => without_secrets(text),
            (false, false) => text.to_owned(),
        })
    }

    /// The error of this value.
    pub(super) fn problem(&self, why: &str) -> ConfigProblem {
        let text = self.shown().unwrap_or_default();
        let Setting { key, .. } = self.setting;
        let name = match &self.source {
            ValueSource::Flag => format!("--{key}"),
            ValueSource::Environment => self.setting.variable(),
            ValueSource::File(path) => format!("{key} in {}", path.display()),
            ValueSource::Default => (*key).to_owned(),
        };
        ConfigProblem(format!("{name} {text:?} is not valid: {why}"))
    }

    /// A warning about a secret on the command line.
    pub(super) fn exposure_warning(&self) -> Option<String> {
        let text = self.text.as_deref()?;
        let Setting { key, .. } = self.setting;
        let variable = self.setting.variable();
        let instead = match (self.setting.is_secret(), *key) {
            (true, _) if !text.starts_with('@') => format!("{variable} or --{key} @FILE"),
            (false, BROKER) if without_secrets(text) != text => variable,
            _ => return None,
        };
        let why = "every user of this machine can read";
        (self.source == ValueSource::Flag)
            .then(|| format!("{why} --{key} in the list of processes; use {instead}"))
    }
}

impl ConfigProblem {
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self(format!("cannot read the configuration file {}: {error}", path.display()))
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl InvalidConfig {
    /// All errors: those of the sources first, then those of values in the order of the settings.
    #[must_use]
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.problems
    }
}

impl From<ConfigProblem> for InvalidConfig {
    fn from(problem: ConfigProblem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl From<Vec<ConfigProblem>> for InvalidConfig {
    fn from(problems: Vec<ConfigProblem>) -> Self {
        Self { problems }
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is not valid")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}
