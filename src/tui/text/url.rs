//! The URL of a node, checked once, when it is parsed.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::runtime::secrets::without_secrets;

/// Longest URL, in bytes.
const MAX_BYTES: usize = 512;

/// Base URL of a node, `http` or `https`, without credentials, query and fragment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct NodeUrl(Url);

/// Why a text is not the URL of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not valid: {why}; allowed are http://HOST[:PORT], https://HOST[:PORT] and HOST:PORT")]
pub(crate) struct InvalidNodeUrl {
    value: String,
    why: String,
}

impl NodeUrl {
    /// The URL of a path below this node; the path starts with a slash.
    pub(crate) fn join(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path().trim_end_matches('/')));
        url
    }

    /// The URL for tables: without the scheme when it is `http`.
    pub(crate) fn short(&self) -> String {
        let text = self.to_string();
        text.strip_prefix("http://").map(str::to_owned).unwrap_or(text)
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl TryFrom<String> for NodeUrl {
    type Error = InvalidNodeUrl;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NodeUrl> for String {
    fn from(url: NodeUrl) -> Self {
        url.to_string()
    }
}

impl FromStr for NodeUrl {
    type Err = InvalidNodeUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || without_secrets(text).chars().take(80).collect();
        let refuse = |why: &str| Err(InvalidNodeUrl { value: shown(), why: why.to_owned() });
        if text.is_empty() {
            return refuse("it is empty");
        }
        if text.len() > MAX_BYTES {
            return refuse("it is longer than 512 bytes");
        }
        if !text.contains("://") {
            return format!("http://{text}")
                .parse()
                .map_err(|error: Self::Err| InvalidNodeUrl { value: shown(), why: error.why });
        }
        match Url::parse(text) {
            Err(error) => refuse(&error.to_string()),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => refuse("its scheme is not http or https"),
            // A password in a URL would be shown on the screen and in recordings.
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                refuse("it holds credentials")
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                refuse("it holds a query or a fragment")
            }
            Ok(url) => Ok(Self(url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, url: &str, short: &str) {
        let parsed: NodeUrl = text.parse().unwrap();
        assert_eq!((parsed.to_string().as_str(), parsed.short().as_str()), (url, short));
    }

    #[test]
    fn a_node_is_named_by_url_or_by_host_and_port() {
        check("http://127.0.0.1:8081", "http://127.0.0.1:8081", "127.0.0.1:8081");
        check("http://127.0.0.1:8081/", "http://127.0.0.1:8081", "127.0.0.1:8081");
        check("localhost:8081", "http://localhost:8081", "localhost:8081");
        check("https://sse.example/a/", "https://sse.example/a", "https://sse.example/a");
        check("http://[::1]:80", "http://[::1]", "[::1]");
        let url: NodeUrl = "https://sse.example/a/".parse().unwrap();
        assert_eq!(url.join("/api/sse/metrics").as_str(), "https://sse.example/a/api/sse/metrics");
    }

    #[test]
    fn what_is_not_a_node_is_refused_with_what_is_allowed() {
        for (text, why) in [
            ("", "empty"),
            ("ftp://h", "scheme"),
            ("http://", "empty host"),
            ("http://user:secret@h", "credentials"),
            ("user:secret@h", "credentials"),
            ("http://h?token=secret", "query"),
            ("http://h:99999", "port"),
            ("a b", "domain"),
        ] {
            let error = text.parse::<NodeUrl>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("http://HOST[:PORT]"), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
