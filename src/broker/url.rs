//! Which log to use, as `--broker` names it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::redis::RedisUrl;
use crate::runtime::secrets::without_secrets;

/// A broker URL: one URL, one meaning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BrokerUrl {
    /// `memory:`: in this process, nothing survives it.
    #[default]
    Memory,
    /// `file:DIR`: a durable log in a directory, for one node.
    File(PathBuf),
    /// `redis://…` and its kin: a log that several nodes share.
    Redis(RedisUrl),
}

/// Why a text is not a broker URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("broker {value:?} is not valid: {}", self.reason())]
pub struct InvalidBrokerUrl {
    value: String,
    why: &'static str,
}

impl InvalidBrokerUrl {
    /// The rule that the text breaks, and what is allowed, for a message that has the text already.
    #[must_use]
    pub fn reason(&self) -> String {
        format!(
            "{}; allowed are memory:, file:DIR, redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], redis+sentinel://HOST[:PORT],…/MASTER and redis+cluster://HOST[:PORT],…, each with rediss for TLS and ?prefix=NAME, and with sentinels ?sentinel-user=NAME&sentinel-password=PASSWORD",
            self.why
        )
    }
}

impl FromStr for BrokerUrl {
    type Err = InvalidBrokerUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |why| Err(InvalidBrokerUrl { value: without_secrets(text), why });
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("memory", _)) => refuse("nothing is allowed after memory:"),
            Some(("file", dir)) => match dir.strip_prefix("//").unwrap_or(dir) {
                "" => refuse("the directory after file: is missing"),
                dir => Ok(Self::File(PathBuf::from(dir))),
            },
            Some((scheme, rest)) if RedisUrl::is_scheme(scheme) => match RedisUrl::parse(scheme, rest) {
                Ok(url) => Ok(Self::Redis(url)),
                Err(why) => refuse(why),
            },
            _ => refuse("its scheme is not known"),
        }
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::File(dir) => write!(f, "file:{}", dir.display()),
            Self::Redis(url) => url.fmt(f),
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
        assert!(matches!("redis://h".parse(), Ok(BrokerUrl::Redis(_))));
        let error = "redis://app:secret@h:x".parse::<BrokerUrl>().unwrap_err().to_string();
        assert!(error.contains("\"redis://***@h:x\"") && !error.contains("secret"), "{error}");
        for text in
            ["valkey://app:secret@h", "memory:app:secret@h", "app:secret@h", "redis://h?password=secret"]
        {
            let error = text.parse::<BrokerUrl>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
        for text in ["", "memory", "memory:x", "file:", "redis:h", "kafka://h"] {
            let error = text.parse::<BrokerUrl>().unwrap_err().to_string();
            assert!(error.contains("allowed are memory:, file:DIR, redis://"), "{error}");
        }
    }
}
