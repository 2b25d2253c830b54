//! The filter of lists and tails, one grammar for the node that pages connections and the console that shows them.
//! Words separated by blanks, all of which must hold: `text` anywhere, `!word` not, `/pattern/` a regular expression,
//! `key:text` in one field, `key>n` and `key<n` of a number. Read [`Filter`] first.

use regex::{Regex, RegexBuilder};

/// Longest filter in bytes. It travels in a query.
pub const FILTER_MAX_BYTES: usize = 1_024;
/// Memory of one compiled expression in bytes: a client that sends filters must not be able to fill the memory of a
/// node.
const PATTERN_BYTES: usize = 1 << 18;

/// A thing that can be filtered: its texts and its numbers.
pub trait Fields {
    /// Keys of texts, for `key:text`. Another word with a colon, as an address has one, is looked for anywhere.
    const TEXTS: &'static [&'static str];
    /// Keys of numbers, for `key>n`.
    const NUMBERS: &'static [&'static str];

    /// Whether `is_it` holds for one of the texts of this key; without a key, of any text.
    fn any_text(&self, key: Option<&str>, is_it: &mut dyn FnMut(&str) -> bool) -> bool;

    /// The number of this key; `None` where the thing has none.
    fn number(&self, key: &str) -> Option<f64>;
}

/// A parsed filter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    words: Vec<Word>,
}

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// Bytes of a filter that has more than [`FILTER_MAX_BYTES`].
    #[error("the filter has {0} bytes; allowed are up to {FILTER_MAX_BYTES} bytes")]
    TooLong(usize),
    /// A pattern is not a regular expression.
    #[error("the pattern /{pattern}/ is not valid: {why}")]
    Pattern {
        pattern: String,
        /// The error of the expression.
        why: String,
    },
    /// A comparison with a word that is not a number.
    #[error(
        "{word:?} compares with a word that is not a number; allowed are numbers such as 5, 5k, 5M, 5G, and times such as 5s, 5m, 5h, 5d"
    )]
    Number { word: String },
    /// A comparison of a key that has no number.
    #[error("{word:?} compares {key:?}, which is not a number; keys of numbers are {allowed}")]
    Key {
        word: String,
        key: String,
        /// The keys of numbers.
        allowed: String,
    },
}

#[derive(Debug, Clone)]
struct Word {
    is_negated: bool,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    /// In lower case.
    Anywhere(String),
    Pattern(Regex),
    Field(&'static str, String),
    Above(&'static str, f64),
    Below(&'static str, f64),
}

impl Filter {
    /// Parses a filter for things of this kind. The empty text matches everything.
    ///
    /// # Errors
    /// [`InvalidFilter`] names the word and the reason.
    pub fn parse<F: Fields>(text: &str) -> Result<Self, InvalidFilter> {
        if text.len() > FILTER_MAX_BYTES {
            return Err(InvalidFilter::TooLong(text.len()));
        }
        let mut words = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (word, after) = first_word(rest);
            rest = after.trim_start();
            let (is_negated, bare) = word.strip_prefix('!').map_or((false, word), |bare| (true, bare));
            if !bare.is_empty() {
                words.push(Word { is_negated, test: Test::parse::<F>(bare)? });
            }
        }
        Ok(Self { words })
    }

    /// Whether the filter matches everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether the filter matches this thing.
    pub fn matches<F: Fields>(&self, thing: &F) -> bool {
        self.words.iter().all(|word| word.test.holds(thing) != word.is_negated)
    }
}

/// The first word and what follows it. A pattern ends at a slash before a blank, so it may hold blanks itself.
fn first_word(text: &str) -> (&str, &str) {
    let bare = text.strip_prefix('!').unwrap_or(text);
    let skipped = text.len() - bare.len();
    let ends_pattern =
        |index: &usize| *index > 0 && bare[index + 1..].chars().next().is_none_or(char::is_whitespace);
    let pattern_end = bare
        .starts_with('/')
        .then(|| bare.match_indices('/').map(|(index, _)| index).find(ends_pattern))
        .flatten();
    let end = match pattern_end {
        Some(slash) => skipped + slash + 1,
        None => text.find(char::is_whitespace).unwrap_or(text.len()),
    };
    text.split_at(end)
}

impl Test {
    fn parse<F: Fields>(word: &str) -> Result<Self, InvalidFilter> {
        if let Some(pattern) =
            word.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|rest| !rest.is_empty())
        {
            let built = RegexBuilder::new(pattern).case_insensitive(true).size_limit(PATTERN_BYTES).build();
            return built.map(Self::Pattern).map_err(|error| InvalidFilter::Pattern {
                pattern: pattern.to_owned(),
                why: error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
            });
        }
        if let Some((key, text)) = word.split_once(':')
            && let Some(known) = F::TEXTS.iter().find(|known| **known == key)
        {
            return Ok(Self::Field(known, text.to_lowercase()));
        }
        if let Some(at) = word.find(['>', '<']) {
            let (key, value) = (&word[..at], &word[at + 1..]);
            let Some(known) = F::NUMBERS.iter().find(|known| **known == key) else {
                let allowed = F::NUMBERS.join(", ");
                return Err(InvalidFilter::Key { word: word.to_owned(), key: key.to_owned(), allowed });
            };
            let value = number(value).ok_or_else(|| InvalidFilter::Number { word: word.to_owned() })?;
            return Ok(if word[at..].starts_with('>') {
                Self::Above(known, value)
            } else {
                Self::Below(known, value)
            });
        }
        Ok(Self::Anywhere(word.to_lowercase()))
    }

    fn holds<F: Fields>(&self, thing: &F) -> bool {
        match self {
            Self::Anywhere(text) => thing.any_text(None, &mut |field| contains(field, text)),
            Self::Pattern(pattern) => thing.any_text(None, &mut |field| pattern.is_match(field)),
            Self::Field(key, text) => thing.any_text(Some(key), &mut |field| contains(field, text)),
            Self::Above(key, value) => thing.number(key).is_some_and(|number| number > *value),
            Self::Below(key, value) => thing.number(key).is_some_and(|number| number < *value),
        }
    }
}

/// Compares without regard to case; `text` is in lower case.
fn contains(field: &str, text: &str) -> bool {
    if field.is_ascii() && text.is_ascii() {
        // Without a copy: ten thousand rows are looked at for one page.
        let (field, text) = (field.as_bytes(), text.as_bytes());
        return text.is_empty() || field.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text));
    }
    field.to_lowercase().contains(text)
}

/// `5`, `1.5k`, `10m` (of time: seconds).
fn number(text: &str) -> Option<f64> {
    let (digits, factor) = match text.char_indices().next_back()? {
        (at, 's') => (&text[..at], 1.0),
        (at, 'm') => (&text[..at], 60.0),
        (at, 'h') => (&text[..at], 3_600.0),
        (at, 'd') => (&text[..at], 86_400.0),
        (at, 'k') => (&text[..at], 1e3),
        (at, 'M') => (&text[..at], 1e6),
        (at, 'G') => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    digits.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Thing {
        client: &'static str,
        topic: &'static str,
        lag: f64,
    }

    impl Fields for Thing {
        const TEXTS: &'static [&'static str] = &["client", "topic"];
        const NUMBERS: &'static [&'static str] = &["lag", "age"];

        fn any_text(&self, key: Option<&str>, is_it: &mut dyn FnMut(&str) -> bool) -> bool {
            (key.is_none_or(|key| key == "client") && is_it(self.client))
                || (key.is_none_or(|key| key == "topic") && is_it(self.topic))
        }

        fn number(&self, key: &str) -> Option<f64> {
            (key == "lag").then_some(self.lag)
        }
    }

    const THING: Thing = Thing { client: "U-1042", topic: "orders/17", lag: 12.0 };

    #[track_caller]
    fn check(filter: &str, passes: bool) {
        assert_eq!(Filter::parse::<Thing>(filter).unwrap().matches(&THING), passes, "{filter}");
    }

    #[test]
    fn words_must_all_hold() {
        check("", true);
        check("  ", true);
        check("u-10", true);
        check("u-10 orders", true);
        check("u-10 chat", false);
        check("!chat", true);
        check("!orders", false);
        check("!", true);
        check("client:u-1", true);
        check("client:orders", false);
        check("!client:orders", true);
        check("topic:ORDERS/1", true);
        check("127.0.0.1:80", false);
        check("lag>11", true);
        check("lag>12", false);
        check("lag<1k", true);
        check("!lag>0.5k", true);
        check("age>5", false);
    }

    #[test]
    fn a_pattern_stands_between_slashes_and_a_path_is_none() {
        check("/^u-\\d+$/", true);
        check("/^u-\\d$/", false);
        check("!/chat|news/", true);
        check("/orders/1.$/ lag>1", true);
        check("/u- |ORD/", true);
        check("/17", true);
        check("/", true);
        check("//", false);
        check("orders/17", true);
    }

    #[test]
    fn a_wrong_word_is_told_with_what_is_allowed() {
        let told = |text: &str| Filter::parse::<Thing>(text).unwrap_err().to_string();
        assert!(told("ok /(/").contains("/(/") && told("/(/").contains("unclosed"), "{}", told("/(/"));
        assert!(told("sent>5").contains("numbers are lag, age"));
        assert!(told("lag>five").contains("\"lag>five\""));
        assert!(told(&"x".repeat(2_000)).contains("2000 bytes"));
        assert!(told(r"/\w{900}{900}/").contains("size limit"), "{}", told(r"/\w{900}{900}/"));
    }

    #[test]
    fn numbers_have_units() {
        for (text, expected) in [("5", 5.0), ("1.5k", 1_500.0), ("2m", 120.0), ("2M", 2e6), ("1d", 86_400.0)]
        {
            assert_eq!(number(text), Some(expected), "{text}");
        }
        assert!(["", "k", "x", "inf", "1kk"].iter().all(|text| number(text).is_none()));
    }

    proptest! {
        #[test]
        fn any_text_is_a_filter_or_an_error(text in "[a-z!/:><. 0-9é(\\\\]{0,40}") {
            if let Ok(filter) = Filter::parse::<Thing>(&text) {
                filter.matches(&THING);
            }
        }
    }
}
