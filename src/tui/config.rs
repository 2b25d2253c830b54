//! The configuration file: what flags say, for good. `$XDG_CONFIG_HOME/sse-lab/tui.toml`, or `~/.config` in its place;
//! a file that is not there is none. Mistakes are told with their line. Read [`Config`] first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

/// What a file may say. A flag or a variable is stronger.
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
    /// Other keys, by the names of actions.
    pub(crate) keys: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(skip)]
    origin: Origin,
}

/// Where a configuration came from, for messages.
#[derive(Debug, Clone, Default)]
struct Origin {
    path: PathBuf,
    text: String,
}

/// A value and where it was said, as messages begin: `--interval`, or `FILE line 3: interval`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) value: String,
    pub(crate) place: String,
}

impl Told {
    pub(crate) fn by_flag(flag: &str, value: &str) -> Self {
        Self { value: value.to_owned(), place: flag.to_owned() }
    }
}

impl Config {
    /// The configuration of this path.
    ///
    /// # Errors
    /// It cannot be read, or is not what it should be: file, line, key and what is allowed.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(path, text)
    }

    fn parse(path: &Path, text: String) -> Result<Self, String> {
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(&text, span.start));
            format!("{} line {line}: {}", path.display(), error.message())
        })?;
        config.origin = Origin { path: path.to_owned(), text };
        Ok(config)
    }

    /// A value with its place.
    pub(crate) fn told(&self, key: &str, value: &Spanned<String>) -> Told {
        let line = line_of(&self.origin.text, value.span().start);
        let place = format!("{} line {line}: {key}", self.origin.path.display());
        Told { value: value.get_ref().clone(), place }
    }

    /// Other keys in the order of their lines: the name of each action, and its keys.
    pub(crate) fn other_keys(&self) -> Vec<(Told, Told)> {
        let mut keys: Vec<_> = self.keys.iter().collect();
        keys.sort_by_key(|(name, _)| name.span().start);
        keys.into_iter()
            .map(|(name, said)| (self.told("keys", name), self.told(name.get_ref(), said)))
            .collect()
    }
}

/// Where the file is looked for, by what the environment says.
pub(crate) fn default_path(env: impl Fn(&str) -> String) -> Option<PathBuf> {
    let of = |name: &str| Some(env(name)).filter(|value| !value.is_empty()).map(PathBuf::from);
    // A relative one is to be ignored, says the specification.
    let base = of("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let base = base.or_else(|| of("HOME").map(|home| home.join(".config")))?;
    Some(base.join("sse-lab").join("tui.toml"))
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
        assert!(parse("node = [").is_err());
    }

    #[test]
    fn a_value_knows_its_line() {
        let config = parse("# mine\nnode = [\n  \"a:1\",\n  \"b:2\",\n]\ninterval = \"5s\"\n").unwrap();
        assert_eq!(config.told("node", &config.node[1]).place, "/etc/tui.toml line 4: node");
        let interval = config.told("interval", config.interval.as_ref().unwrap());
        assert_eq!(
            (interval.value.as_str(), interval.place.as_str()),
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
