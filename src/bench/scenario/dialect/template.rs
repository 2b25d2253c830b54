//! Texts with places in them: `/rooms/{name}/events`, `{"channel":"{name}","data":{payload}}`. A `{` that opens no known
//! place of lower-case letters stands for itself, so that JSON can be written as it is. Read [`TextTemplate::parse`] first.

use std::fmt;

/// What can stand in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Whom something is for, as the server names it.
    Name,
    /// The same as the inside of a JSON text.
    NameText,
    /// All addresses of a client, each as `dialect.address` says.
    Addresses,
    /// The client's own id.
    Client,
    /// Its user, or nothing.
    User,
    /// What is published, a JSON value.
    Payload,
    /// The same as the inside of a JSON text.
    PayloadText,
    /// The same each time that one event is sent.
    Id,
}

impl Word {
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

    /// As it is written between the braces.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, word)| *word == self).map_or("", |(name, _)| name)
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, word)| *word)
    }
}

/// A text with places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Word),
}

/// A place that cannot be here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidTextTemplate {
    place: String,
    allowed: Vec<&'static str>,
}

impl fmt::Display for InvalidTextTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed: Vec<String> = self.allowed.iter().map(|name| format!("{{{name}}}")).collect();
        let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
        write!(f, "{{{}}} cannot stand here; allowed are {allowed}", self.place)
    }
}

impl TextTemplate {
    /// Reads a text whose places may be these.
    ///
    /// # Errors
    /// [`InvalidTextTemplate`]: another place.
    pub fn parse(text: &str, allowed: &[Word]) -> Result<Self, InvalidTextTemplate> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            plain.push_str(&rest[..open]);
            let after = &rest[open + 1..];
            let Some(name) = place(after) else {
                plain.push('{');
                rest = after;
                continue;
            };
            let word = Word::of(name).filter(|word| allowed.contains(word));
            let Some(word) = word else {
                let allowed = allowed.iter().map(|word| word.name()).collect();
                return Err(InvalidTextTemplate { place: name.to_owned(), allowed });
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Place(word));
            rest = &after[name.len() + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// Whether it has this place.
    #[must_use]
    pub fn has(&self, word: Word) -> bool {
        self.parts.contains(&Part::Place(word))
    }

    /// The text with what belongs into its places.
    #[must_use]
    pub fn fill(&self, value: impl Fn(Word) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Place(word) => value(*word),
        };
        self.parts.iter().map(part).collect()
    }
}

/// The name of a place that ends with `}`, if that is what comes.
fn place(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('}')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let wording = TextTemplate::parse(text, &[Word::Name, Word::Payload]).unwrap();
        let value = |word: Word| match word {
            Word::Name => "news".to_owned(),
            _ => "{\"a\":1}".to_owned(),
        };
        assert_eq!(wording.fill(value), expected);
    }

    #[test]
    fn places_are_filled_and_other_braces_stay() {
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
    fn a_place_that_cannot_be_here_is_named_with_those_that_can() {
        let error = TextTemplate::parse("/{nam}", &[Word::Name, Word::Id]).unwrap_err();
        assert_eq!(error.to_string(), "{nam} cannot stand here; allowed are {name}, {id}");
        assert!(TextTemplate::parse("{payload}", &[Word::Name]).is_err());
    }
}
