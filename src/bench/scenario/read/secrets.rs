//! A scenario without its secrets, as runs store it: tokens, headers, passwords in URLs, secret settings of nodes, and the
//! variables behind them become marks. A mark is a keyed hash whose key nobody keeps: equal secrets of one scenario have
//! equal marks, and nothing can be tried against them. What a plan is made from stays. Read [`ScenarioSource::without_secrets`]
//! first.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::expand::{self, Variables};
use super::overrides::ScenarioSource;
use super::problem::Problem;
use super::raw::{Node, Table, Value};
use crate::runtime::secrets::{HIDDEN, without_secrets};

/// Headers that are no secrets. Any other may be one.
const HARMLESS: [&str; 8] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-type",
    "last-event-id",
    "origin",
    "user-agent",
];
/// Parts of names that suggest a secret.
const SUGGESTIVE: [&str; 9] =
    ["auth", "cookie", "credential", "jwt", "key", "pass", "secret", "signature", "token"];

/// What a text may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A secret, from its first to its last character.
    Secret,
    /// A URL, perhaps with a password.
    Url,
    /// A path or a body: each variable in it is a secret, and so are some parameters of its query.
    Request,
}

impl ScenarioSource {
    /// The same source with marks in the place of its secrets. It makes the same plan, but for headers and requests.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let mut hiding =
            Hiding { key: RandomState::new(), variables: &self.variables, hidden: BTreeSet::new() };
        let text = hiding.in_toml(&self.text, None).unwrap_or_else(|| self.text.clone());
        let set: Vec<String> = self.set.iter().map(|assignment| hiding.in_assignment(assignment)).collect();
        let left = expand::names(set.iter().map(String::as_str).chain([text.as_str()]));
        let used = self.variables.iter().filter(|(name, _)| left.contains(name.as_str()));
        // A secret may stand in another place, too.
        let value = |value: &String| {
            if hiding.hidden.contains(value) { hiding.mark(value) } else { value.clone() }
        };
        let variables = used.map(|(name, text)| (name.clone(), value(text))).collect();
        Self { text, set, variables, ..self.clone() }
    }
}

/// Replaces secrets by marks.
struct Hiding<'a> {
    key: RandomState,
    variables: &'a Variables,
    /// Secrets that were replaced.
    hidden: BTreeSet<String>,
}

impl Hiding<'_> {
    /// The value of `--set`, `key.path=value`.
    fn in_assignment(&mut self, assignment: &str) -> String {
        let Some((path, text)) = assignment.split_once('=') else { return assignment.to_owned() };
        let keys: Vec<&str> = path.split('.').map(str::trim).collect();
        // As the reader: what is not TOML is a text.
        let toml = format!("value = {}", text.trim());
        let hidden = self.in_toml(&toml, Some(&keys)).map(|toml| toml["value = ".len()..].to_owned());
        let hidden = hidden.or_else(|| self.hide(place(&keys)?, text.trim()));
        hidden.map_or_else(|| assignment.to_owned(), |text| format!("{path}={text}"))
    }

    /// A document without its secrets. `at`: it is one value, that of these keys. `None`: it is not TOML.
    fn in_toml(&mut self, text: &str, at: Option<&[&str]>) -> Option<String> {
        let table = DeTable::parse(text).ok()?;
        let mut found = Vec::new();
        for (key, value) in table.get_ref() {
            let own = [key.get_ref().as_ref()];
            self.in_value(value, at.unwrap_or(&own), &mut found);
        }
        found.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
        let mut hidden = text.to_owned();
        found.into_iter().for_each(|(range, value)| hidden.replace_range(range, &value));
        Some(hidden)
    }

    /// Adds what has to be replaced in a value, and by what.
    fn in_value(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        path: &[&str],
        found: &mut Vec<(Range<usize>, String)>,
    ) {
        match value.get_ref() {
            DeValue::String(text) => {
                if let Some(hidden) = place(path).and_then(|place| self.hide(place, text)) {
                    // A JSON string is a TOML string.
                    found.push((value.span(), serde_json::Value::from(hidden).to_string()));
                }
            }
            DeValue::Table(table) => {
                for (key, value) in table {
                    self.in_value(value, &[path, &[key.get_ref().as_ref()]].concat(), found);
                }
            }
            DeValue::Array(list) => list.iter().for_each(|value| self.in_value(value, path, found)),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
        }
    }

    /// The text without its secrets; `None`: it has none.
    fn hide(&mut self, place: Place, text: &str) -> Option<String> {
        let filled =
            |text: &str| expand::fill(text, self.variables).map_or(text.to_owned(), |filled| filled.0);
        let hidden = match place {
            Place::Secret => {
                let filled = filled(text);
                self.masked(&filled)
            }
            Place::Url => {
                let filled = filled(text);
                self.without_password(&filled).unwrap_or_else(|| text.to_owned())
            }
            Place::Request => {
                let marked = self.without_variables(text);
                self.without_parameters(&marked)
            }
        };
        (hidden != text).then_some(hidden)
    }

    fn mark(&self, secret: &str) -> String {
        format!("hidden-{:016x}", self.key.hash_one(secret))
    }

    /// Marks for all but the placeholders of a text.
    fn masked(&mut self, text: &str) -> String {
        let mut masked = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (secret, placeholder, behind) = next_placeholder(rest);
            if !secret.is_empty() {
                self.hidden.insert(secret.to_owned());
                masked.push_str(&self.mark(secret));
            }
            masked.push_str(placeholder);
            rest = behind;
        }
        masked
    }

    /// A URL with a mark for its user and password, and for the values of its query; `None`: it has none.
    fn without_password(&mut self, url: &str) -> Option<String> {
        let shown = without_secrets(url);
        let (_, rest) = url.split_once("://").filter(|_| shown != url)?;
        if let Some((user, _)) = rest.rsplit_once('@') {
            self.hidden.insert(user.split_once(':').map_or(user, |(_, password)| password).to_owned());
        }
        Some(shown.replace(HIDDEN, &self.mark(url)))
    }

    /// A text whose variables are marks. A slash at the beginning stays, so that a path is a path.
    fn without_variables(&mut self, text: &str) -> String {
        let mut marked = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let end = rest[at..].find('}').map_or(rest.len(), |end| at + end + 1);
            marked.push_str(&rest[..at]);
            let variable = &rest[at..end];
            match expand::fill(variable, self.variables) {
                Ok((value, _)) if !rest[..at].ends_with('$') && !value.is_empty() => {
                    let secret = value.trim_start_matches('/');
                    marked.push_str(&value[..value.len() - secret.len()]);
                    self.hidden.insert(value.clone());
                    marked.push_str(&self.masked(secret));
                }
                Ok(_) | Err(_) => marked.push_str(variable),
            }
            rest = &rest[end..];
        }
        marked + rest
    }

    /// A path and query whose parameters with suggestive names are marks.
    fn without_parameters(&mut self, text: &str) -> String {
        let mut marked = String::new();
        for piece in text.split_inclusive(['?', '&']) {
            let body = piece.trim_end_matches(['?', '&']);
            let is_parameter = marked.ends_with(['?', '&']);
            match body.split_once('=') {
                Some((name, value)) if is_parameter && is_suggestive(name) => {
                    marked.push_str(&format!("{name}={}", self.masked(value)));
                    marked.push_str(&piece[body.len()..]);
                }
                _ => marked.push_str(piece),
            }
        }
        marked
    }
}

/// Takes secrets out of the messages of a scenario that is refused: the values of keys that hold some, and what may be
/// one in any other URL, because it may be at the wrong key.
pub(super) fn hide_in(problems: &mut [Problem], table: &Table) {
    if !problems.is_empty() {
        table.iter().for_each(|(key, node)| hide_value(problems, node, &[key]));
    }
    for problem in problems {
        problem.key = without_secrets(&problem.key);
    }
}

fn hide_value(problems: &mut [Problem], node: &Node, path: &[&str]) {
    match &node.value {
        Value::Array(list) => return list.iter().for_each(|node| hide_value(problems, node, path)),
        Value::Table(table) => {
            return table.iter().for_each(|(key, node)| hide_value(problems, node, &[path, &[key]].concat()));
        }
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Datetime(_) => {}
    }
    let text = match &node.value {
        Value::Text(text) => text.clone(),
        other => other.shown(),
    };
    let hidden = match place(path) {
        Some(Place::Secret | Place::Request) => format!("({HIDDEN})"),
        Some(Place::Url) | None => without_secrets(&text),
    };
    if hidden == text {
        return;
    }
    // A short text may be a part of any word.
    let plain = (text.len() >= 4).then(|| text.clone());
    let shapes = [Some(format!("{text:?}")), Some(node.value.shown()), plain];
    for problem in problems {
        for shape in shapes.iter().flatten() {
            problem.message = problem.message.replace(shape, &hidden);
        }
    }
}

/// The text up to the next placeholder, the placeholder, and what is behind it.
fn next_placeholder(text: &str) -> (&str, &str, &str) {
    let is_placeholder = |at: &usize| {
        let inner = text[at + 1..].split_once('}').map(|(inner, _)| inner).unwrap_or_default();
        inner.starts_with(|c: char| c.is_ascii_lowercase())
            && inner.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '%' | ':'))
    };
    let Some(at) = text.match_indices('{').map(|(at, _)| at).find(is_placeholder) else {
        return (text, "", "");
    };
    let end = text[at..].find('}').map_or(text.len(), |end| at + end + 1);
    (&text[..at], &text[at..end], &text[end..])
}

fn is_suggestive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SUGGESTIVE.iter().any(|part| name.contains(part))
}

/// What the text at a path of keys may hold; `None`: no secret.
fn place(path: &[&str]) -> Option<Place> {
    match path {
        ["clients" | "publishers", _, "token"] | ["dialect", "publish", "token"] => Some(Place::Secret),
        ["clients" | "publishers", _, "headers", name] | ["dialect", "publish", "headers", name] => {
            let is_harmless = HARMLESS.iter().any(|harmless| name.eq_ignore_ascii_case(harmless));
            (!is_harmless).then_some(Place::Secret)
        }
        ["cluster", "flags", name] => Some(if is_suggestive(name) { Place::Secret } else { Place::Url }),
        ["cluster", "redis", "external"] => Some(Place::Url),
        ["dialect", "stream" | "ready"] | ["dialect", "publish", "path" | "body"] => Some(Place::Request),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::ids::RunId;
    use crate::bench::scenario::plan::Plan;

    const TEXT: &str = r#"schema = 1
name = "secrets"
duration = "9s"
description = "with ${PIN}"
[cluster]
attach = ["http://127.0.0.1:1"]
[dialect]
stream = "/events?access_token=sesame-1&room={addresses}&u={user}"
ready = "${READY:-/sesame-0}"
[dialect.publish]
path = "/publish"
headers = { idempotency-key = "{id}", content-type = "application/json", X-Api-Key = 'sesame-2"' }
body = '{"key":"${KEY}","data":{payload}}'
[clients.c]
clients = 2
token = "sesame-4-{i}"   # so it is
headers = { Cookie = """a=${KEY}; b=sesame-5""", Accept = "text/event-stream" }
[publishers.p]
rate = 1
token = "${PIN}"
"#;

    fn source() -> ScenarioSource {
        let variables = [("KEY", "sesame-3"), ("PIN", "1234"), ("ROOM", "lobby")];
        ScenarioSource {
            file: "s.toml".to_owned(),
            text: TEXT.to_owned(),
            set: vec![
                "publishers.p.headers={ X-A = \"sesame-6\", Accept = \"b\" }".to_owned(),
                "publishers.p.token=sesame-7{i}".to_owned(),
                "clients.c.subscribe.client=${ROOM}-{i}".to_owned(),
                "seed=4".to_owned(),
            ],
            variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..ScenarioSource::default()
        }
    }

    #[test]
    fn no_secret_is_left_and_the_plan_is_the_same_but_for_headers() {
        let source = source();
        let hidden = source.without_secrets();
        let shown = format!("{hidden:?}");
        for secret in ["sesame", "1234"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        for kept in [
            "# so it is",
            "text/event-stream",
            "{id}",
            "application/json",
            "lobby",
            "seed=4",
            "room={addresses}",
        ] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
        let plan = |source: &ScenarioSource| {
            let mut plan = Plan::new(&source.scenario().unwrap(), RunId::from_random(1));
            plan.groups.iter_mut().for_each(|group| group.headers.clear());
            plan.publishers.iter_mut().for_each(|publisher| publisher.headers = std::sync::Arc::default());
            // Says `with ${PIN}`, which is hidden.
            (plan.description, plan.dialect) = (String::new(), None);
            plan
        };
        assert_eq!(plan(&hidden), plan(&source));
        let headers = hidden.scenario().unwrap().clients[0].headers.clone();
        let filled: Vec<String> = headers.iter().map(|(_, value)| value.fill(7, 0)).collect();
        assert!(filled[0].starts_with("Bearer hidden-") && filled[0].ends_with('7'), "{filled:?}");
    }

    #[test]
    fn equal_secrets_have_equal_marks_in_one_run_only() {
        let hide = || {
            let mut source = source();
            source.text =
                "a = 1\n[clients.a]\ntoken = \"x\"\n[clients.b]\ntoken = \"x\"\n[clients.c]\ntoken = \"y\""
                    .to_owned();
            let hidden = source.without_secrets().text;
            hidden
                .lines()
                .filter_map(|line| line.strip_prefix("token = ").map(str::to_owned))
                .collect::<Vec<_>>()
        };
        let (one, other) = (hide(), hide());
        assert_eq!(one[0], one[1]);
        assert_ne!(one[0], one[2]);
        assert_ne!(one, other, "the key is another");
    }

    #[test]
    fn settings_of_nodes_and_passwords_of_redis_are_hidden() {
        let text = "[cluster]\nflags = { cluster-secret = \"sesame-sesame-1\", keep-events = 5, hook = \"http://u:sesame-2@h/p\" }\n\
                    [cluster.redis]\nexternal = \"redis://:sesame-3@h:1/0?sentinel-password=sesame-4\"\n";
        let hidden = ScenarioSource { text: text.to_owned(), ..ScenarioSource::default() }.without_secrets();
        assert!(!hidden.text.contains("sesame"), "{}", hidden.text);
        for kept in ["keep-events = 5", "http://hidden-", "@h/p", "redis://hidden-", "@h:1/0"] {
            assert!(hidden.text.contains(kept), "{kept}: {}", hidden.text);
        }
        let plain = source();
        let nothing =
            ScenarioSource { text: "[clients.c]\nclients = 1\n".to_owned(), set: Vec::new(), ..plain };
        assert_eq!(nothing.without_secrets().text, nothing.text);
    }
    #[test]
    fn a_scenario_that_is_refused_is_refused_without_its_secrets() {
        let text = r#"schema = 1
name = "x"
duration = "9s"
[cluster]
broker = "redis://u:sesame-1@h"
redis = { external = "rediss+sentinel://u:sesame-2@h/m" }
flags = { broker = "redis://u:sesame-3@h", cluster-secret = [1] }
[clients.c]
clients = 1
token = 7654321
headers = { X-A = "sesame-4{i", X-B = "sesame\u0007" }
[publishers.p]
rate = "redis://u:sesame-5@h"
"#;
        let set = ["redis://u:sesame-6@h".to_owned(), "cluster.attach=sesame:sesame-7@h".to_owned()];
        let source = ScenarioSource { text: text.to_owned(), set: set.into(), ..ScenarioSource::default() };
        let problems = source.scenario().unwrap_err();
        for shown in [problems.to_string(), format!("{problems:?}")] {
            assert!(!shown.contains("sesame") && !shown.contains("7654321"), "{shown}");
            assert!(shown.contains("***@h"), "{shown}");
        }
    }
}
