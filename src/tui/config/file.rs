//! The configuration file, `$XDG_CONFIG_HOME/sse-lab/tui.toml`, or below `~/.config` without that variable. It is
//! optional. Errors name their line. Read [`Config`] first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

/// The keys of the file. A flag or a variable overrides them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// Nodes to watch.
    pub(crate) node: Vec<Spanned<String>>,
    pub(crate) interval: Option<Spanned<String>>,
    pub(crate) theme: Option<Spanned<String>>,
    pub(crate) ascii: Option<bool>,
    pub(crate) token: Option<Spanned<String>>,
    pub(crate) topics: Vec<Spanned<String>>,
    /// Keys by the names of actions; several keys are separated by blanks.
    pub(crate) keys: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(skip)]
    origin: Origin,
}

/// Path and text of the file, for error messages.
#[derive(Debug, Clone, Default)]
struct Origin {
    path: PathBuf,
    text: String,
}

/// A value with its source for error messages: `--interval`, or `FILE line 3: interval`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourcedValue {
    pub(crate) value: String,
    pub(crate) source: String,
}

impl SourcedValue {
    pub(crate) fn from_flag(flag: &str, value: &str) -> Self {
        Self { value: value.to_owned(), source: flag.to_owned() }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read or is invalid: path, line, key and what is allowed.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(path, text)
    }

    fn parse(path: &Path, text: String) -> Result<Self, String> {
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(&text, span.start));
            format!("{} line {line}: {}", path.display(), without_text(error.message()))
        })?;
        config.origin = Origin { path: path.to_owned(), text };
        Ok(config)
    }

    /// A value with its source.
    pub(crate) fn sourced(&self, key: &str, value: &Spanned<String>) -> SourcedValue {
        let line = line_of(&self.origin.text, value.span().start);
        let source = format!("{} line {line}: {key}", self.origin.path.display());
        SourcedValue { value: value.get_ref().clone(), source }
    }

    /// The entries of `[keys]` in the order of their lines: the name of each action, and its keys.
    pub(crate) fn other_keys(&self) -> Vec<(SourcedValue, SourcedValue)> {
        let mut keys: Vec<_> = self.keys.iter().collect();
        keys.sort_by_key(|(name, _)| name.span().start);
        keys.into_iter()
            .map(|(name, said)| (self.sourced("keys", name), self.sourced(name.get_ref(), said)))
            .collect()
    }
}

/// The path of the file, from the environment; `None` without `XDG_CONFIG_HOME` and `HOME`.
pub(crate) fn default_path(env: impl Fn(&str) -> String) -> Option<PathBuf> {
    let of = |name: &str| Some(env(name)).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The XDG specification says to ignore a relative path.
    let base = of("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let base = base.or_else(|| of("HOME").map(|home| home.join(".config")))?;
    Some(base.join("sse-lab").join("tui.toml"))
}

/// A message about the type of a value, without the value: it may be a token, or a URL with a password.
fn without_text(message: &str) -> String {
    match (message.split_once("string \""), message.rsplit_once('"')) {
        (Some((before, _)), Some((_, behind))) => format!("{before}string{behind}"),
        _ => message.to_owned(),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("/etc/tui.toml"), text.to_owned())
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let unknown = parse("interval = \"1s\"\n\nintervall = \"2s\"\n").unwrap_err();
        assert!(unknown.starts_with("/etc/tui.toml line 3: unknown field `intervall`"), "{unknown}");
        assert!(unknown.contains("`theme`"), "{unknown}");
        let kind = parse("ascii = true\nnode = \"x\"\n").unwrap_err();
        assert!(kind.starts_with("/etc/tui.toml line 2: "), "{kind}");
        let kind = parse("node = \"http://u:sec\\\"ret@h\"\n").unwrap_err();
        assert!(kind.contains("expected a sequence") && !kind.contains("ret"), "{kind}");
        assert!(parse("node = [").is_err());
    }

    #[test]
    fn a_value_knows_its_line() {
        let config = parse("# mine\nnode = [\n  \"a:1\",\n  \"b:2\",\n]\ninterval = \"5s\"\n").unwrap();
        assert_eq!(config.sourced("node", &config.node[1]).source, "/etc/tui.toml line 4: node");
        let interval = config.sourced("interval", config.interval.as_ref().unwrap());
        assert_eq!(
            (interval.value.as_str(), interval.source.as_str()),
            ("5s", "/etc/tui.toml line 6: interval")
        );
    }

    #[test]
    fn the_file_is_where_the_specification_says() {
        let path = |pairs: &'static [(&str, &str)]| {
            let env = |name: &str| {
                pairs
                    .iter()
                    .find(|(other, _)| *other == name)
                    .map_or_else(String::new, |(_, value)| (*value).to_owned())
            };
            default_path(env).map(|path| path.display().to_string())
        };
        assert_eq!(path(&[("XDG_CONFIG_HOME", "/x")]).as_deref(), Some("/x/sse-lab/tui.toml"));
        let both = &[("XDG_CONFIG_HOME", "x"), ("HOME", "/home/a")];
        assert_eq!(path(both).as_deref(), Some("/home/a/.config/sse-lab/tui.toml"));
        assert_eq!(path(&[]), None);
    }
}
