//! Texts with placeholders: `/rooms/{name}/events`, `{"channel":"{name}","data":{payload}}`. Braces around anything but
//! lower-case letters and `_` stand for themselves, so that JSON needs no escapes. Read [`TextTemplate::parse`] first.

use std::fmt;

/// The value of a placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// The address of an event, by the server's name.
    Name,
    /// The name, escaped for the inside of a JSON text.
    NameText,
    /// All addresses of a client, each by the template `dialect.address`.
    Addresses,
    /// The id of the client.
    Client,
    /// The user of the client; empty without one.
    User,
    /// The payload of an event, a JSON value.
    Payload,
    /// The payload, escaped for the inside of a JSON text.
    PayloadText,
    /// The idempotency key: the same for each attempt to publish an event.
    Id,
}

impl Placeholder {
    const ALL: [(&'static str, Self); 8] = [
        ("name", Self::Name),
        ("name_text", Self::NameText),
        ("addresses", Self::Addresses),
        ("client", Self::Client),
        ("user", Self::User),
        ("payload", Self::Payload),
        ("payload_text", Self::PayloadText),
        ("id", Self::Id),
    ];

    /// The text between the braces.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, placeholder)| *placeholder == self).map_or("", |(name, _)| name)
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, placeholder)| *placeholder)
    }
}

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(Placeholder),
}

/// A placeholder that is not allowed in this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidTextTemplate {
    placeholder: String,
    allowed: Vec<&'static str>,
}

impl fmt::Display for InvalidTextTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed: Vec<String> = self.allowed.iter().map(|name| format!("{{{name}}}")).collect();
        let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
        write!(f, "{{{}}} is not allowed here; allowed are {allowed}", self.placeholder)
    }
}

impl TextTemplate {
    /// Parses a text with these placeholders.
    ///
    /// # Errors
    /// [`InvalidTextTemplate`]: the text has another placeholder.
    pub fn parse(text: &str, allowed: &[Placeholder]) -> Result<Self, InvalidTextTemplate> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            plain.push_str(&rest[..open]);
            let after = &rest[open + 1..];
            let Some(name) = placeholder(after) else {
                plain.push('{');
                rest = after;
                continue;
            };
            let placeholder = Placeholder::of(name).filter(|placeholder| allowed.contains(placeholder));
            let Some(placeholder) = placeholder else {
                let allowed = allowed.iter().map(|placeholder| placeholder.name()).collect();
                return Err(InvalidTextTemplate { placeholder: name.to_owned(), allowed });
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Placeholder(placeholder));
            rest = &after[name.len() + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// Whether the text contains this placeholder.
    #[must_use]
    pub fn has(&self, placeholder: Placeholder) -> bool {
        self.parts.contains(&Part::Placeholder(placeholder))
    }

    /// The text with the values of its placeholders.
    #[must_use]
    pub fn fill(&self, value: impl Fn(Placeholder) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Placeholder(placeholder) => value(*placeholder),
        };
        self.parts.iter().map(part).collect()
    }
}

/// The name at the start of a text, up to a `}`; `None` if it cannot be a placeholder's.
fn placeholder(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('}')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let template = TextTemplate::parse(text, &[Placeholder::Name, Placeholder::Payload]).unwrap();
        let value = |placeholder: Placeholder| match placeholder {
            Placeholder::Name => "news".to_owned(),
            _ => "{\"a\":1}".to_owned(),
        };
        assert_eq!(template.fill(value), expected);
    }

    #[test]
    fn placeholders_are_filled_and_other_braces_stay() {
        check("", "");
        check("/events", "/events");
        check("/rooms/{name}", "/rooms/news");
        check(r#"{"channel":"{name}","data":{payload}}"#, r#"{"channel":"news","data":{"a":1}}"#);
        check(r#"{"subs":{{name}}}"#, r#"{"subs":{news}}"#);
        check("{", "{");
        check("{}{name}", "{}news");
        check("{a b}{name", "{a b}{name");
    }

    #[test]
    fn a_placeholder_that_is_not_allowed_is_named_with_those_that_are() {
        let error = TextTemplate::parse("/{nam}", &[Placeholder::Name, Placeholder::Id]).unwrap_err();
        assert_eq!(error.to_string(), "{nam} is not allowed here; allowed are {name}, {id}");
        assert!(TextTemplate::parse("{payload}", &[Placeholder::Name]).is_err());
    }
}
