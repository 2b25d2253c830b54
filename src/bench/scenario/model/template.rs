//! Templates of names and headers: `room-{i%10}` for client number `i`, `room-{zipf:50}` for a drawn number. Read
//! [`Template`] first.

use std::fmt;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

/// Upper bound of N in `{random:N}` and `{zipf:N}`: each draw adds up N weights.
const DRAWN_MAX: u32 = 100_000;

/// A name with placeholders: `{i}` is the client's number, `{i%N}` its remainder modulo N, `{random:N}` a uniform
/// number below N, and `{zipf:N}` a number below N of which 0 is drawn twice as often as 1, three times as often as 2,
/// ….
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// As the text that it was read from.
impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Number { modulus: None } => "{i}".to_owned(),
            Part::Number { modulus: Some(modulus) } => format!("{{i%{modulus}}}"),
            Part::Random { below } => format!("{{random:{below}}}"),
            Part::Zipf { below } => format!("{{zipf:{below}}}"),
        };
        fmt::Debug::fmt(&self.parts.iter().map(part).collect::<String>(), f)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Number { modulus: Option<u32> },
    Random { below: u32 },
    Zipf { below: u32 },
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A `{` without a `}`; the byte where it is.
    #[error("the '{{' at byte {0} has no '}}'; allowed are {{i}}, {{i%N}}, {{random:N}} and {{zipf:N}}")]
    Open(usize),
    /// The text between the braces is not a placeholder.
    #[error(
        "{{{0}}} is not a placeholder; allowed are {{i}}, {{i%N}} with N from 1, {{random:N}} and {{zipf:N}} with N from 1 to 100000"
    )]
    Unknown(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`InvalidTemplate`]: a brace is not closed, or encloses an unknown placeholder.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        Self::parse_where(text, |_| true)
    }

    /// Reads a text that may hold braces of its own, as a header may: only `{` before a lower-case letter begins a placeholder.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_text(text: &str) -> Result<Self, InvalidTemplate> {
        Self::parse_where(text, |behind| behind.starts_with(|c: char| c.is_ascii_lowercase()))
    }

    /// Reads a template in which the braces open a placeholder where `opens` says so of the text behind them.
    fn parse_where(text: &str, opens: impl Fn(&str) -> bool) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        let first =
            |rest: &str| rest.match_indices('{').find(|(at, _)| opens(&rest[at + 1..])).map(|found| found.0);
        while let Some(open) = first(rest) {
            let at = text.len() - rest.len() + open;
            let (before, after) = rest.split_at(open);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (inner, behind) = after[1..].split_once('}').ok_or(InvalidTemplate::Open(at))?;
            parts.push(placeholder(inner)?);
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The name of client number `i`; random numbers are drawn from `seed`.
    #[must_use]
    pub fn fill(&self, i: u32, seed: u64) -> String {
        use fmt::Write as _;
        let mut name = String::new();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for part in &self.parts {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Number { modulus } => {
                    let number = modulus.map_or(i, |modulus| i % modulus);
                    // Writing to a String cannot fail.
                    let _ok = write!(name, "{number}");
                }
                Part::Random { below } => {
                    let _ok = write!(name, "{}", rng.random_range(0..*below));
                }
                Part::Zipf { below } => {
                    let _ok = write!(name, "{}", zipf(*below, &mut rng));
                }
            }
        }
        name
    }

    /// Upper bound of the length of a name, in bytes.
    #[must_use]
    pub fn longest(&self) -> usize {
        let length = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Number { modulus } => modulus.map_or(u32::MAX, |modulus| modulus - 1).to_string().len(),
            Part::Random { below } | Part::Zipf { below } => (below - 1).to_string().len(),
        };
        self.parts.iter().map(length).sum()
    }
}

/// Drawn with weights 1, 1/2, 1/3, …
fn zipf(below: u32, rng: &mut ChaCha8Rng) -> u32 {
    let weight = |number: u32| 1.0 / (f64::from(number) + 1.0);
    let sum: f64 = (0..below).map(weight).sum();
    let mut left = rng.random::<f64>() * sum;
    for number in 0..below {
        left -= weight(number);
        if left < 0.0 {
            return number;
        }
    }
    below.saturating_sub(1)
}

fn placeholder(inner: &str) -> Result<Part, InvalidTemplate> {
    let unknown = || InvalidTemplate::Unknown(inner.chars().take(40).collect());
    let number = |text: &str| text.trim().parse().ok().filter(|number| *number > 0).ok_or_else(unknown);
    if let Some((word, below)) = inner.split_once(':') {
        let below = Some(number(below)?).filter(|below| *below <= DRAWN_MAX).ok_or_else(unknown)?;
        return match word.trim() {
            "random" => Ok(Part::Random { below }),
            "zipf" => Ok(Part::Zipf { below }),
            _ => Err(unknown()),
        };
    }
    match inner.trim().strip_prefix('i').map(str::trim) {
        Some("") => Ok(Part::Number { modulus: None }),
        Some(rest) => {
            let modulus = number(rest.strip_prefix('%').ok_or_else(unknown)?)?;
            Ok(Part::Number { modulus: Some(modulus) })
        }
        None => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, i: u32, expected: &str) {
        assert_eq!(Template::parse(template).unwrap().fill(i, 1), expected);
    }

    #[test]
    fn numbers_are_filled_in() {
        check("room-1", 7, "room-1");
        check("u{i}", 7, "u7");
        check("room-{i%10}/{ i % 3 }", 17, "room-7/2");
        check("{i}{i}", 2, "22");
    }

    #[test]
    fn a_text_may_hold_braces_of_its_own() {
        let fill = |text: &str| Template::parse_text(text).map(|template| template.fill(7, 1));
        assert_eq!(fill(r#"{"user":"u{i}"} {} { i }"#).unwrap(), r#"{"user":"u7"} {} { i }"#);
        assert_eq!(fill("Bearer t-{i%5}").unwrap(), "Bearer t-2");
        assert!(fill("{j}").is_err() && fill("{i").is_err());
        let read = Template::parse("a{i}b{i%3}{random:4}{zipf:5}").unwrap();
        assert_eq!(format!("{read:?}"), r#""a{i}b{i%3}{random:4}{zipf:5}""#);
    }

    #[test]
    fn what_is_not_a_template_is_refused() {
        for text in
            ["u{i", "u{}", "u{j}", "u{i%0}", "u{i%}", "u{zipf:0}", "{dice:6}", "{random:100001}", "{i+1}"]
        {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_drawn_is_drawn_from_the_seed() {
        let counts = |text: &str| {
            let template = Template::parse(text).unwrap();
            let mut counts = [0_u32; 10];
            for seed in 0..2_000 {
                counts[template.fill(0, seed).parse::<usize>().unwrap()] += 1;
            }
            assert_eq!(template.fill(3, 9), template.fill(4, 9));
            counts
        };
        // Of ten, Zipf gives 34 % to the first, 17 % to the second, 3.4 % to the last.
        let zipf = counts("{zipf:10}");
        assert!((600..770).contains(&zipf[0]) && (280..400).contains(&zipf[1]), "{zipf:?}");
        assert!((35..105).contains(&zipf[9]), "{zipf:?}");
        let even = counts("{random:10}");
        assert!(even.iter().all(|count| (140..260).contains(count)), "{even:?}");
    }
}
