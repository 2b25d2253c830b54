//! Replaces `${NAME}` and `${NAME:-default}` in the texts of a scenario by environment variables, before checks. `$${`
//! stands for a literal `${`. Read [`expand`] first.

use std::collections::{BTreeMap, BTreeSet};

use super::problem::Problem;
use super::raw::{self, Node, Table, Value};
use crate::bench::scenario::EmptyVariable;

/// Environment variables by name.
pub type Variables = BTreeMap<String, String>;

/// Variables in these texts that are set in the environment. Stored with a run, so that it can be planned again.
#[must_use]
pub fn variables<'a>(texts: impl IntoIterator<Item = &'a str>) -> Variables {
    names(texts).into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect()
}

/// The names of the variables in these texts.
pub(super) fn names<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let parts = texts.into_iter().flat_map(|text| text.split("${").skip(1));
    parts.filter_map(|part| part.split(['}', ':']).next()).collect()
}

/// What became of the variables of a scenario.
#[derive(Debug, Default)]
pub(super) struct Expanded {
    /// One for each variable that cannot be replaced.
    pub(super) problems: Vec<Problem>,
    pub(super) empty: Vec<EmptyVariable>,
}

/// Replaces the variables in all texts.
pub(super) fn expand(table: &mut Table, variables: &Variables) -> Expanded {
    let mut expanded = Expanded::default();
    for (key, node) in table {
        expand_node(node, key, variables, &mut expanded);
    }
    expanded
}

fn expand_node(node: &mut Node, path: &str, variables: &Variables, expanded: &mut Expanded) {
    match &mut node.value {
        Value::Text(text) if text.contains("${") => match fill(text, variables) {
            Ok((filled, empty)) => {
                let empty = empty.into_iter().map(|name| EmptyVariable { key: path.to_owned(), name });
                expanded.empty.extend(empty);
                // `clients = "${CLIENTS:-100}"` is a number.
                let is_whole = text.starts_with("${") && text.find('}') == Some(text.len() - 1);
                node.value = if is_whole { raw::value_of(&filled) } else { Value::Text(filled) };
            }
            Err(message) => expanded.problems.push(Problem { at: node.at, key: path.to_owned(), message }),
        },
        Value::Array(list) => {
            for (index, node) in list.iter_mut().enumerate() {
                expand_node(node, &format!("{path}.{index}"), variables, expanded);
            }
        }
        Value::Table(table) => {
            for (key, node) in table {
                expand_node(node, &format!("{path}.{key}"), variables, expanded);
            }
        }
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Datetime(_) => {}
    }
}

/// The text with its variables, and the names of those that are replaced by nothing.
pub(super) fn fill(text: &str, variables: &Variables) -> Result<(String, Vec<String>), String> {
    let (mut filled, mut empty) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = &after[2..];
            continue;
        }
        filled.push_str(before);
        let (inner, behind) = after[2..].split_once('}').ok_or(
            "\"${\" has no \"}\"; the forms are ${NAME} and ${NAME:-default}, and $${ for a literal ${",
        )?;
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(format!(
                "{name:?} is not the name of a variable; allowed are letters, digits and '_', as in ${{NAME}} or ${{NAME:-default}}"
            ));
        }
        // As in a shell: an empty variable counts as unset.
        let value = variables
            .get(name)
            .filter(|value| !value.is_empty())
            .cloned()
            .or_else(|| default.map(str::to_owned));
        let unset = || {
            format!(
                "{name} is not set in the environment; set it, or write a default as in ${{{name}:-value}}"
            )
        };
        let value = value.ok_or_else(unset)?;
        if value.is_empty() {
            empty.push(name.to_owned());
        }
        filled.push_str(&value);
        rest = behind;
    }
    filled.push_str(rest);
    Ok((filled, empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> Variables {
        let pairs = [("HOST", "h"), ("COUNT", "7"), ("EMPTY", "")];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[track_caller]
    fn check(text: &str, expected: &Value) {
        let mut table = raw::read(&format!("key = {text:?}")).unwrap();
        assert_eq!(expand(&mut table, &set()).problems, []);
        assert_eq!(&table["key"].value, expected);
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn variables_are_filled_in_with_their_defaults() {
        check("http://${HOST}:${PORT:-80}/", &text("http://h:80/"));
        check("${EMPTY:-none}", &text("none"));
        check("u${COUNT}", &text("u7"));
        check("$5 and $${HOST}", &text("$5 and ${HOST}"));
        check("plain {i%5}", &text("plain {i%5}"));
    }

    #[test]
    fn a_text_that_is_one_variable_is_what_it_looks_like() {
        check("${COUNT}", &Value::Integer(7));
        check("${FLAG:-true}", &Value::Bool(true));
        check("${RATE:-2.5}", &Value::Float(2.5));
        check("${FOR:-30s}", &text("30s"));
    }

    #[test]
    fn only_what_a_text_names_is_taken_from_the_environment() {
        let found = variables(["a = \"${PATH:-x}\" ${NOT_SET_ANYWHERE} ${", "${HOME"]);
        assert!(found.keys().all(|name| name == "PATH" || name == "HOME"), "{found:?}");
        assert_eq!(found.get("PATH"), std::env::var("PATH").ok().as_ref());
    }

    #[test]
    fn a_variable_that_cannot_be_replaced_is_reported_with_its_place() {
        let mut table = raw::read("a = 1\nb = [\"${NOT_THERE}\", \"${open\", \"${a b}\"]").unwrap();
        let Expanded { problems, empty } = expand(&mut table, &set());
        let places: Vec<(&str, Option<(usize, usize)>)> =
            problems.iter().map(|problem| (problem.key.as_str(), problem.at)).collect();
        assert_eq!(places, [("b.0", Some((2, 6))), ("b.1", Some((2, 22))), ("b.2", Some((2, 32)))]);
        assert!(problems[0].message.contains("NOT_THERE is not set") && empty.is_empty(), "{problems:?}");
    }

    #[test]
    fn a_variable_that_leaves_nothing_is_remembered_with_its_place() {
        let mut table = raw::read("a = \"x${EMPTY:-}${HOST:-}\"\nb = { c = [\"${NOT_THERE:-}\"] }").unwrap();
        let empty = |key: &str, name: &str| EmptyVariable { key: key.to_owned(), name: name.to_owned() };
        assert_eq!(expand(&mut table, &set()).empty, [empty("a", "EMPTY"), empty("b.c.0", "NOT_THERE")]);
    }
}
