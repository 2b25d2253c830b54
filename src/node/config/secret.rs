//! The secret with which the nodes of a cluster sign what they ask each other, given as a text or, better, as `@FILE`. It must never be
//! printed or logged. Read [`Secret`] first.

use std::fmt;
use std::ops::RangeInclusive;

use http::HeaderValue;

use super::settings::InvalidValue;
use crate::runtime::secrets::is_same;

/// Allowed lengths: a shorter secret could be guessed, a longer one could exceed the head of a request.
const BYTES: RangeInclusive<usize> = 16..=256;

/// The value of `--cluster-secret`, ready for a header.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(HeaderValue);

impl Secret {
    /// Parses a text, or the content of the file behind `@`.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidValue> {
        Self::from_text(&text_or_file(text)?)
    }

    fn from_text(text: &str) -> Result<Self, InvalidValue> {
        let refuse = |why: &str| {
            let (from, to) = (BYTES.start(), BYTES.end());
            format!("{why}; allowed are {from} to {to} printable ASCII characters without blanks, or @FILE")
        };
        if !BYTES.contains(&text.len()) {
            return Err(refuse(&format!("it has {} bytes", text.len())));
        }
        let unprintable = || refuse("it holds a blank or a character that is not printable ASCII");
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unprintable());
        }
        let mut value = HeaderValue::from_str(text).map_err(|_| unprintable())?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    #[cfg(test)]
    pub(crate) fn for_test(text: &str) -> Self {
        Self::from_text(text).expect("a valid secret")
    }

    /// The value of the header, marked as sensitive.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// Whether `shown` is the secret. Takes the same time for all guesses of the same length.
    pub(crate) fn matches(&self, shown: &[u8]) -> bool {
        is_same(self.0.as_bytes(), shown)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

/// A password, or the file behind `@` that holds it.
pub(super) fn password(text: &str) -> Result<String, InvalidValue> {
    let text = text_or_file(text)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("it is empty or holds control characters; allowed is text, or @FILE".to_owned());
    }
    Ok(text)
}

/// A text, or the content of the file behind `@` without its line end.
pub(super) fn text_or_file(text: &str) -> Result<String, InvalidValue> {
    let Some(path) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
    let content = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    Ok(content.trim_end_matches(['\r', '\n']).to_owned())
}

/// The text of a secret's setting as it may be shown: the path of its file, never the secret.
pub(super) fn shown(text: &str) -> &str {
    if text.starts_with('@') { text } else { "(not shown)" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_as_a_whole_or_not_at_all() {
        let secret = Secret::parse("0123456789abcdef").unwrap();
        assert!(secret.matches(b"0123456789abcdef"));
        for guess in [&b""[..], b"0", b"0123456789abcdeg", b"0123456789abcde", b"0123456789abcdef0"] {
            assert!(!secret.matches(guess), "{guess:?}");
        }
        assert_eq!(format!("{secret:?} {:?}", secret.header()), "Secret(not shown) Sensitive");
    }

    #[test]
    fn a_secret_that_is_short_or_cannot_be_sent_is_refused_without_being_shown() {
        for text in ["", "short", "0123456789 abcdef", "0123456789abcde\u{e9}", &"x".repeat(257)] {
            let refusal = Secret::parse(text).unwrap_err();
            assert!(refusal.contains("16 to 256") && refusal.contains("@FILE"), "{refusal}");
            assert!(text.is_empty() || !refusal.contains(text), "{refusal}");
            assert_eq!(refusal.contains("bytes"), !(16..=256).contains(&text.len()), "{refusal}");
        }
    }

    #[test]
    fn a_file_holds_the_secret_with_or_without_a_line_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        for content in ["0123456789abcdef", "0123456789abcdef\n", "0123456789abcdef\r\n"] {
            std::fs::write(&path, content).unwrap();
            assert!(Secret::parse(&format!("@{}", path.display())).unwrap().matches(b"0123456789abcdef"));
        }
        let refusal = Secret::parse("@/nowhere/secret").unwrap_err();
        assert!(refusal.contains("/nowhere/secret"), "{refusal}");
    }
}
