//! Which log to use, as `--broker` names it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A broker URL: one URL, one meaning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BrokerUrl {
    /// `memory:`: in this process, nothing survives it.
    #[default]
    Memory,
    /// `file:DIR`: a durable log in a directory, for one node.
    File(PathBuf),
}

/// Why a text is not a broker URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("broker {value:?} is not valid: {why}; allowed are memory: and file:DIR")]
pub struct InvalidBrokerUrl {
    value: String,
    why: &'static str,
}

impl FromStr for BrokerUrl {
    type Err = InvalidBrokerUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |why| Err(InvalidBrokerUrl { value: text.to_owned(), why });
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("memory", _)) => refuse("memory: takes nothing behind the colon"),
            Some(("file", dir)) => match dir.strip_prefix("//").unwrap_or(dir) {
                "" => refuse("file: needs a directory"),
                dir => Ok(Self::File(PathBuf::from(dir))),
            },
            Some(("redis" | "rediss" | "redis+sentinel" | "redis+cluster", _)) => {
                refuse("this version keeps its log itself and cannot use Redis")
            }
            _ => refuse("it names no known kind of broker"),
        }
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::File(dir) => write!(f, "file:{}", dir.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_url_has_one_meaning() {
        assert_eq!("memory:".parse(), Ok(BrokerUrl::Memory));
        assert_eq!("file:/var/lib/sse".parse(), Ok(BrokerUrl::File("/var/lib/sse".into())));
        assert_eq!("file:///var/lib/sse".parse(), Ok(BrokerUrl::File("/var/lib/sse".into())));
        assert_eq!("file:data".parse(), Ok(BrokerUrl::File("data".into())));
        for text in ["", "memory", "memory:x", "file:", "redis://h", "kafka://h"] {
            let error = text.parse::<BrokerUrl>().unwrap_err().to_string();
            assert!(error.contains("memory: and file:DIR"), "{error}");
        }
    }
}
