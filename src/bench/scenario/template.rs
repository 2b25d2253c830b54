//! Names with a number in them: `room-{i%10}` for client number `i`.

use std::fmt;

/// A name with places for the client's number: `{i}`, or `{i%N}` for the rest of a division by N.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Number { modulus: Option<u32> },
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A `{` without its `}`.
    #[error("the '{{' at byte {0} has no '}}'")]
    Open(usize),
    /// Something else between the braces.
    #[error("{{{0}}} is not known; allowed are {{i}} and {{i%N}} with N from 1 to 4294967295")]
    Unknown(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`InvalidTemplate`] when a brace is open, or holds something unknown.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let at = text.len() - rest.len() + open;
            let (before, after) = rest.split_at(open);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (inner, behind) = after[1..].split_once('}').ok_or(InvalidTemplate::Open(at))?;
            parts.push(Part::Number { modulus: modulus(inner)? });
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The name for client number `i`.
    #[must_use]
    pub fn fill(&self, i: u32) -> String {
        use fmt::Write as _;
        let mut name = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Number { modulus } => {
                    let number = modulus.map_or(i, |modulus| i % modulus);
                    // Writing to a String cannot fail.
                    let _ok = write!(name, "{number}");
                }
            }
        }
        name
    }

    /// The longest name that it can become, in bytes.
    #[must_use]
    pub fn longest(&self) -> usize {
        let length = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Number { modulus } => modulus.map_or(u32::MAX, |modulus| modulus - 1).to_string().len(),
        };
        self.parts.iter().map(length).sum()
    }
}

fn modulus(inner: &str) -> Result<Option<u32>, InvalidTemplate> {
    let unknown = || InvalidTemplate::Unknown(inner.chars().take(40).collect());
    match inner.trim().strip_prefix('i').map(str::trim) {
        Some("") => Ok(None),
        Some(rest) => {
            let number = rest.strip_prefix('%').ok_or_else(unknown)?;
            let modulus: u32 = number.trim().parse().map_err(|_| unknown())?;
            if modulus == 0 { Err(unknown()) } else { Ok(Some(modulus)) }
        }
        None => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, i: u32, expected: &str) {
        assert_eq!(Template::parse(template).unwrap().fill(i), expected);
    }

    #[test]
    fn numbers_are_filled_in() {
        check("room-1", 7, "room-1");
        check("u{i}", 7, "u7");
        check("room-{i%10}/{ i % 3 }", 17, "room-7/2");
        check("{i}{i}", 2, "22");
    }

    #[test]
    fn what_is_not_a_template_is_refused() {
        for text in ["u{i", "u{}", "u{j}", "u{i%0}", "u{i%}", "u{zipf:50}", "{i+1}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
