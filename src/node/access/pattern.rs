//! Patterns of names in tokens and API keys: an exact name, `*`, one segment (`{x}` or `:x`), and `*` at the end. All else
//! is refused, since a pattern that is misread opens a door. Read [`Pattern::parse`] first.

use crate::protocol::Address;

/// What ends a segment. A name of ours never holds `/`, but the names in tokens for other servers do.
const SEPARATORS: [char; 3] = ['/', '.', ':'];

/// Names that a token or an API key allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// Everything up to the next separator, at least one character.
    Segment,
    /// Everything that is left.
    Rest,
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the pattern {0:?} is not supported; allowed are an exact name, *, {{name}} or :name for one segment, and * at the end"
)]
pub(crate) struct InvalidPattern(String);

impl Pattern {
    /// The pattern that only this name matches.
    pub(crate) fn exact(name: &str) -> Self {
        Self(vec![Part::Text(name.into())])
    }

    /// The pattern that every name matches.
    pub(crate) fn any() -> Self {
        Self(vec![Part::Rest])
    }

    /// The names that begin with this text.
    pub(crate) fn prefix(text: &str) -> Self {
        Self(vec![Part::Text(text.into()), Part::Rest])
    }

    /// # Errors
    /// [`InvalidPattern`] names the text.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let refused = || InvalidPattern(text.chars().take(80).collect());
        let mut parts = Vec::new();
        let (mut left, mut before) = (text, '/');
        while let Some(first) = left.chars().next() {
            let (part, length) = match first {
                '*' if left == "*" => (Part::Rest, 1),
                '{' => (Part::Segment, left.find('}').ok_or_else(refused)? + 1),
                // `news:sport` is a name; a parameter stands at the beginning of a segment of a path.
                ':' if before == '/' => (Part::Segment, left.find('/').unwrap_or(left.len())),
                '*' | '}' | '(' | ')' | '?' | '+' | '\\' | '[' | ']' | '^' | '|' => return Err(refused()),
                _ => {
                    let special = |(at, c): (usize, char)| {
                        let is_parameter = c == ':' && left[..at].ends_with('/');
                        (is_parameter || "*{}()?+\\[]^|".contains(c)).then_some(at)
                    };
                    let end = left.char_indices().find_map(special).unwrap_or(left.len());
                    (Part::Text(left[..end].into()), end)
                }
            };
            let (piece, rest) = left.split_at(length);
            if part == Part::Segment && !(is_parameter(piece) && ends_segment(rest)) {
                return Err(refused());
            }
            before = piece.chars().next_back().unwrap_or('/');
            parts.push(part);
            left = rest;
        }
        if parts.is_empty() { Err(refused()) } else { Ok(Self(parts)) }
    }

    /// Whether the name is one of the pattern.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let mut left = name;
        for part in &self.0 {
            left = match part {
                Part::Rest => return true,
                Part::Text(text) => match left.strip_prefix(&**text) {
                    Some(rest) => rest,
                    None => return false,
                },
                Part::Segment => match left.find(SEPARATORS).unwrap_or(left.len()) {
                    0 => return false,
                    end => &left[end..],
                },
            };
        }
        left.is_empty()
    }
}

/// `{name}` or `:name`, without the operators and modifiers of URI templates and URL patterns.
fn is_parameter(piece: &str) -> bool {
    let name = piece.strip_prefix(':').or_else(|| piece.strip_prefix('{')?.strip_suffix('}'));
    name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

fn ends_segment(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(SEPARATORS)
}

/// Addresses that a token or an API key may write to: `*`, `all`, `topic:P`, `user:P`, `client:P` and `node:P`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AddressPattern {
    /// `*`: every address there is.
    Everything,
    /// Broadcasts, [`Address::All`], and nothing else.
    All,
    Topic(Pattern),
    User(Pattern),
    Client(Pattern),
    Node(Pattern),
}

/// Why a text is not an [`AddressPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidAddressPattern {
    #[error(
        "{0:?} is not an address; allowed are *, all, topic:P, user:P, client:P and node:P, where P is a pattern of names"
    )]
    Kind(String),
    #[error(transparent)]
    Name(#[from] InvalidPattern),
}

impl AddressPattern {
    /// # Errors
    /// [`InvalidAddressPattern`] names the text.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidAddressPattern> {
        let pattern = |make: fn(Pattern) -> Self, name: &str| Ok(make(Pattern::parse(name)?));
        match text.split_once(':') {
            None if text == "*" => Ok(Self::Everything),
            None if text == "all" => Ok(Self::All),
            Some(("topic", name)) => pattern(Self::Topic, name),
            Some(("user", name)) => pattern(Self::User, name),
            Some(("client", name)) => pattern(Self::Client, name),
            Some(("node", name)) => pattern(Self::Node, name),
            None | Some(_) => Err(InvalidAddressPattern::Kind(text.chars().take(80).collect())),
        }
    }

    /// Whether the address is one of the pattern. A client's connections to one node are some of the client's, and some
    /// of the node's.
    pub(crate) fn matches(&self, address: &Address) -> bool {
        match (self, address) {
            (Self::Everything, _) | (Self::All, Address::All) => true,
            (Self::Topic(pattern), Address::Topic(topic)) => pattern.matches(topic.as_str()),
            (Self::User(pattern), Address::User(user)) => pattern.matches(user.as_str()),
            (Self::Client(pattern), Address::Client(client) | Address::NodeClient(_, client)) => {
                pattern.matches(client.as_str())
            }
            (Self::Node(pattern), Address::Node(node) | Address::NodeClient(node, _)) => {
                pattern.matches(node.as_str())
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let pattern = Pattern::parse(pattern).unwrap();
        for name in matching {
            assert!(pattern.matches(name), "{pattern:?} {name:?}");
        }
        for name in others {
            assert!(!pattern.matches(name), "{pattern:?} {name:?}");
        }
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        check("orders", &["orders"], &["order", "orders2", "Orders", "", " orders"]);
        check("news:sport", &["news:sport"], &["news:x", "news"]);
        check("*", &["orders", "a:b", "ä"], &[]);
        check("orders.*", &["orders.eu", "orders.eu.1", "orders."], &["orders", "order.eu"]);
        check("orders.{region}", &["orders.eu"], &["orders.", "orders.eu.1", "orders", "xorders.eu"]);
        check("{kind}.eu", &["orders.eu"], &[".eu", "a.b.eu", "orders.eux"]);
        check("{a}:{b}", &["x:y"], &["x", "x:", ":y", "x:y:z"]);
        check("user-{id}", &["user-7"], &["user-", "user-7.x"]);
        check(
            "https://example.com/books/{id}",
            &["https://example.com/books/7"],
            &["https://example.com/books/7/x"],
        );
        check(
            "https://example.com/books/:id",
            &["https://example.com/books/7"],
            &["https://example.com/books/"],
        );
        check(":id", &["7"], &["", "7.8"]);
        check("/users/:id/*", &["/users/7/", "/users/7/a"], &["/users/7", "/users//a"]);
    }

    #[test]
    fn what_might_be_misread_is_refused_by_name() {
        for text in [
            "", "a*b", "**", "*a", "{", "{}", "a{b", "a}b", "{+path}", "{?q}", "{a,b}", "{a}b", "a/:",
            "a/:b+", "a/:b(c)", "(a|b)", "a?", "[ab]", "a\\*", "^a", "{a}{b}",
        ] {
            let refusal = Pattern::parse(text).unwrap_err().to_string();
            assert!(refusal.contains(&format!("{text:?}")), "{refusal}");
        }
    }

    #[test]
    fn addresses_are_matched_by_kind_and_name() {
        let matches = |pattern: &str, address: &str| {
            AddressPattern::parse(pattern).unwrap().matches(&address.parse().unwrap())
        };
        for address in ["all", "topic:a", "user:a", "client:a", "node:a", "node:n/client:a"] {
            assert!(matches("*", address), "{address}");
            assert_eq!(matches("all", address), address == "all", "{address}");
            assert_eq!(matches("topic:*", address), address == "topic:a", "{address}");
            assert_eq!(matches("user:a", address), address == "user:a", "{address}");
            assert_eq!(matches("client:a", address), address.ends_with("client:a"), "{address}");
            assert_eq!(matches("node:n", address), address == "node:n/client:a", "{address}");
        }
        for text in ["", "a", "topic", "user:", "users:a", "topic:a*b", "ALL"] {
            let refusal = AddressPattern::parse(text).unwrap_err().to_string();
            assert!(refusal.contains("allowed"), "{text}: {refusal}");
        }
    }
}
