//! Four places that go before one another: flag, environment, file, default. Finds for each setting the place that
//! counts, and everything that is wrong with the places themselves. Pure. Read [`Sources`] first.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::secret;
use super::settings::{FILE, Fallback, PREFIX, SETTINGS, Setting};

/// What the user wrote, wherever.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources {
    /// By key.
    pub(super) flags: BTreeMap<&'static str, String>,
    /// By name; only those with our prefix count.
    pub(super) environment: BTreeMap<String, String>,
    /// Path and content.
    pub(super) file: Option<(PathBuf, String)>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag of this call.
    Flag,
    /// An environment variable.
    Environment,
    /// A configuration file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

/// The text that counts for a setting.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub(super) setting: &'static Setting,
    /// `None` where nobody said anything and there is no fixed default.
    pub(super) text: Option<String>,
    pub(super) origin: Origin,
}

/// One thing that is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(String);

/// All that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidConfig {
    problems: Vec<Problem>,
}

/// Texts by key, warnings, problems.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) chosen: Vec<Chosen>,
    /// Worth saying, yet no reason not to start.
    pub(super) warnings: Vec<String>,
    pub(super) problems: Vec<Problem>,
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
        // An empty variable means nothing, as compose files leave them.
        let variable = self.environment.get(&setting.variable()).filter(|value| !value.is_empty());
        let (text, origin) = if let Some(flag) = self.flags.get(setting.key) {
            (Some(flag.clone()), Origin::Flag)
        } else if let Some(variable) = variable {
            (Some(variable.clone()), Origin::Environment)
        } else if let Some((path, value)) = from_file {
            (Some(value.clone()), Origin::File(path.clone()))
        } else {
            match setting.default {
                Fallback::Text(text) => (Some(text.to_owned()), Origin::Default),
                Fallback::Made { .. } => (None, Origin::Default),
            }
        };
        Chosen { setting, text, origin }
    }
}

/// The file's values as texts, so that one reader does for all places.
fn read_file(path: &Path, text: &str, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let place = path.display();
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            problems.push(Problem(format!("{place} is not TOML: {}", error.to_string().trim_end())));
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
            problems.push(Problem(format!("{key:?} in {place} is not a setting; {hint}")));
        } else if let Some(text) = value_text(&value) {
            values.insert(key, text);
        } else {
            let allowed = "allowed are texts, whole numbers, true, false and lists of texts";
            problems.push(Problem(format!("{key} in {place} is a {}; {allowed}", value.type_str())));
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

/// The key that somebody may have meant.
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

/// A variable that is nearly one of ours. Others may have our prefix: Kubernetes names one after every service.
fn misspelt(name: &str) -> Option<String> {
    let key = name.strip_prefix(PREFIX)?.replace('_', "-").to_lowercase();
    if key == FILE || SETTINGS.iter().any(|setting| setting.key == key) {
        return None;
    }
    let known = SETTINGS.iter().find(|setting| Some(setting.key) == suggest(&key))?;
    Some(format!("{name} is not a setting and changes nothing; did you mean {}?", known.variable()))
}

impl Chosen {
    /// The text as people may see it.
    pub(super) fn shown(&self) -> Option<String> {
        let text = self.text.as_deref()?;
        let is_secret = self.setting.is_secret();
        Some(if is_secret { secret::shown(text).to_owned() } else { secret::without_password(text) })
    }

    /// A problem of this value.
    pub(super) fn problem(&self, why: &str) -> Problem {
        let text = self.shown().unwrap_or_default();
        let Setting { key, .. } = self.setting;
        let name = match &self.origin {
            Origin::Flag => format!("--{key}"),
            Origin::Environment => self.setting.variable(),
            Origin::File(path) => format!("{key} in {}", path.display()),
            Origin::Default => (*key).to_owned(),
        };
        Problem(format!("{name} {text:?} is not valid: {why}"))
    }
}

impl Chosen {
    /// A warning about a secret that others can see.
    pub(super) fn exposed(&self) -> Option<String> {
        let text = self.text.as_deref()?;
        let exposed = self.setting.is_secret() && self.origin == Origin::Flag && !text.starts_with('@');
        let Setting { key, .. } = self.setting;
        let variable = self.setting.variable();
        exposed.then(|| {
            format!("every user of this machine can read --{key} in the list of processes; use {variable} or @FILE")
        })
    }
}

impl Problem {
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self(format!("cannot read the configuration file {}: {error}", path.display()))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl InvalidConfig {
    /// All that is wrong, in the order of the settings.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for InvalidConfig {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl From<Vec<Problem>> for InvalidConfig {
    fn from(problems: Vec<Problem>) -> Self {
        Self { problems }
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is not valid")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}
