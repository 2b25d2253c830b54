//! Texts of users as messages may repeat them: a URL without user, password and parameters, also where it is not a valid
//! URL, because most messages about a URL are about one that is not. And how a secret is compared. Read
//! [`without_secrets`] first.

use std::hint::black_box;

use clap::error::ContextValue;

/// Stands for what is not shown.
pub const HIDDEN: &str = "***";
/// Parameters whose values are no secrets.
const HARMLESS: [&str; 1] = ["prefix"];

/// The text without what may be a secret in a URL: everything between the scheme and the last `@`, a port that is not a
/// number, and the values of a query. Only what is certain to be no secret is shown. The path of `file:` is shown.
#[must_use]
pub fn without_secrets(text: &str) -> String {
    if text.starts_with("file:") {
        return text.to_owned();
    }
    let text = text.trim();
    let (scheme, rest) = text.split_at(text.find("://").map_or(0, |at| at + 3));
    let has_scheme = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-:/".contains(&b))
        && scheme.matches([':', '/']).count() == 3;
    let (scheme, rest) = if has_scheme { (scheme, rest) } else { ("", text) };
    let query = rest.find(['?', '#']).unwrap_or(rest.len());
    match last_at(rest) {
        // The one may be part of a password as well as the other.
        Some(at) if at > query => format!("{scheme}{HIDDEN}"),
        Some(at) => {
            let (place, query) = (&rest[at..query], &rest[query..]);
            let place = if place.chars().all(is_of_a_place) { place } else { HIDDEN };
            format!("{scheme}{HIDDEN}@{place}{}", without_values(query))
        }
        None => {
            let (place, query) = rest.split_at(query);
            let known = if text.contains("://") { known_place(place) } else { place.len() };
            if known < place.len() {
                return format!("{scheme}{}{HIDDEN}", &place[..known]);
            }
            format!("{scheme}{place}{}", without_values(query))
        }
    }
}

/// Behind the last `@`, in any of its spellings.
fn last_at(text: &str) -> Option<usize> {
    let spellings = ["@", "%40", "＠"];
    spellings.iter().filter_map(|at| Some(text.rfind(at)? + at.len())).max()
}

fn is_of_a_place(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~:/,[]".contains(c)
}

/// How much of hosts and path is known to be no password: all of it, unless what follows a colon is not a number.
fn known_place(place: &str) -> usize {
    let mut from = 0;
    for part in place.split_inclusive([',', '/']) {
        let name = part.find(']').filter(|_| part.starts_with('[')).unwrap_or(0);
        let port = part[name..].find(':').map(|colon| name + colon + 1);
        let is_number = |port: &str| port.trim_end_matches([',', '/']).bytes().all(|b| b.is_ascii_digit());
        if let Some(port) = port.filter(|port| !is_number(&part[*port..])) {
            return from + port;
        }
        from += part.len();
    }
    place.len()
}

/// A query up to its first value that may be a secret. What follows may belong to that value.
fn without_values(query: &str) -> String {
    let mut shown = String::new();
    for pair in query.split_inclusive(['?', '&', '#']) {
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        let is_harmless = HARMLESS.contains(&name) && value.chars().all(|c| is_of_a_place(c) || c == '&');
        if !is_harmless && pair != "?" {
            let is_name = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !name.is_empty();
            let name = if is_name { format!("{name}=") } else { String::new() };
            return shown + &name + HIDDEN;
        }
        shown.push_str(pair);
    }
    shown
}

/// Whether two secrets are the same. Takes the same time for all of the same length.
#[must_use]
pub fn is_same(known: &[u8], shown: &[u8]) -> bool {
    let differences = known.iter().zip(shown).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
    known.len() == shown.len() && black_box(differences) == 0
}

/// What clap refuses, without the secrets of its arguments and variables.
#[must_use]
pub fn refusal(mut error: clap::Error) -> clap::Error {
    let hide = |texts: &[String]| texts.iter().map(|text| without_secrets(text)).collect();
    let hidden: Vec<_> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => Some((kind, ContextValue::String(without_secrets(text)))),
            ContextValue::Strings(texts) => Some((kind, ContextValue::Strings(hide(texts)))),
            _ => None,
        })
        .collect();
    for (kind, value) in hidden {
        error.insert(kind, value);
    }
    error
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(without_secrets(text), shown, "{text}");
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        for text in [
            "",
            "redis://h:1,[::1]:7,h/2?prefix=shop",
            "https://ä.example:8443/app",
            "memory:x",
            "file:///data/a@b?c",
            "127.0.0.1:80a80",
            "warn,sse_lab=debug",
            "redis://",
        ] {
            check(text, text);
        }
        check("valkey://app:secret@h", "valkey://***@h");
        check("redis://app:secret@h:x/2?prefix=a&db=1&prefix=b", "redis://***@h:x/2?prefix=a&db=***");
        check("redis://localhost:63a79", "redis://localhost:***");
        check("redis://h?sentinel-password=s", "redis://h?sentinel-password=***");
        check("http://h?x", "http://h?***");
        check("http://h#x", "http://h***");
    }

    const SECRET: &str = "s7Crt";

    /// A password, with one character somewhere in it that means something in a URL.
    fn password() -> impl Strategy<Value = String> {
        let odd = prop::sample::select(vec![
            "", "@", "/", "?", "#", "&", "=", ":", ",", "%40", "%", "[", "]", " ", "://", "\\", "\"", "'",
            "\n", "ü",
        ]);
        (odd.clone(), odd).prop_map(|(a, b)| format!("{SECRET}{a}{SECRET}{b}{SECRET}"))
    }

    fn spelling() -> impl Strategy<Value = String> {
        let scheme = prop::sample::select(vec![
            "redis://",
            "rediss://",
            "redis+sentinel://",
            "redis+cluster://",
            "valkey://",
            "REDIS://",
            "redis:/",
            "redis:",
            "redis//",
            "redis:///",
            "http://",
            "memory:",
            " redis://",
            "",
        ]);
        let user = prop::sample::select(vec!["", "app", "a:b", "a@b"]);
        let behind = prop::sample::select(vec![
            "@h",
            "@h:1/0",
            "@h:port",
            "@",
            "%40h",
            "@h,i/master?prefix=x",
            "@[::1",
            "@h?db=1",
            "＠h",
        ]);
        let name = prop::sample::select(vec!["password", "sentinel-password", "token", "prefix=p&password"]);
        let in_front = (scheme.clone(), user, password(), behind)
            .prop_map(|(scheme, user, password, behind)| format!("{scheme}{user}:{password}{behind}"))
            // Without a scheme and an `@` nothing says that this is a URL.
            .prop_filter("is a URL", |text| {
                text.contains("://") || text.contains(['@']) || text.contains("%40")
            });
        let in_query = (scheme, name, password())
            .prop_map(|(scheme, name, password)| format!("{scheme}h/m?{name}={password}"));
        prop_oneof![in_front, in_query]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_spelling_of_a_url_leaves_its_secret(text in spelling()) {
            let shown = without_secrets(&text);
            prop_assert!(!shown.contains(SECRET), "{text}: {shown}");
        }
    }

    #[test]
    fn a_refused_command_line_is_repeated_without_its_secrets() {
        let command = || clap::Command::new("c").arg(clap::Arg::new("n").long("n").value_parser(["a", "b"]));
        for line in [
            &["c", "redis://app:s7Crt@h"][..],
            &["c", "--n", "redis://app:s7Crt@h"],
            &["c", "--m=redis://app:s7Crt@h"],
        ] {
            let error = command().try_get_matches_from(line).unwrap_err();
            let shown = refusal(error).to_string();
            assert!(!shown.contains(SECRET) && shown.starts_with("error: "), "{shown}");
        }
    }
}
