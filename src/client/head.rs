//! What the head of a response tells about the way to the server: who answered, through what, in which coding. Copies, not
//! slices, so that no buffer stays pinned. Read [`Head`] first.

use reqwest::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_ENCODING, HeaderMap, HeaderName,
    LOCATION, RETRY_AFTER, SERVER, VIA,
};
use reqwest::{Url, Version};
use serde::{Deserialize, Serialize};

/// Longest value that is kept, in characters.
const VALUE_MAX: usize = 120;

/// The part of a head that says how a stream reaches its client. Values that came in several headers are joined with commas.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Head {
    /// `HTTP/1.0`, `HTTP/1.1`, …
    pub version: String,
    /// The header `Server`.
    pub server: Option<String>,
    /// The header `Via`, which honest proxies add.
    pub via: Option<String>,
    /// The header `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// The header `Access-Control-Allow-Origin`.
    pub allow_origin: Option<String>,
    /// Whether `Access-Control-Allow-Credentials` is `true`.
    pub allows_credentials: bool,
    /// Whether there is a header `Retry-After`.
    pub has_retry_after: bool,
    /// Where redirects led, or would lead, without query; `None`: there was none.
    pub redirected_to: Option<String>,
}

impl Head {
    /// The head of a response to a request for `asked` that `url` answered.
    pub(super) fn of(version: Version, headers: &HeaderMap, asked: &Url, url: &Url) -> Self {
        let value = |name: HeaderName| {
            let values = headers.get_all(name);
            let values = values.iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
            let joined = values.collect::<Vec<_>>().join(", ");
            (!joined.is_empty()).then(|| joined.chars().take(VALUE_MAX).collect::<String>())
        };
        let moved = (url != asked).then(|| without_query(url));
        Self {
            version: format!("{version:?}"),
            server: value(SERVER),
            via: value(VIA),
            content_encoding: value(CONTENT_ENCODING),
            allow_origin: value(ACCESS_CONTROL_ALLOW_ORIGIN),
            allows_credentials: value(ACCESS_CONTROL_ALLOW_CREDENTIALS).as_deref() == Some("true"),
            has_retry_after: headers.contains_key(RETRY_AFTER),
            redirected_to: moved.or_else(|| value(LOCATION)),
        }
    }
}

/// A query may hold a token, and the address that was asked for.
pub(super) fn without_query(url: &Url) -> String {
    let text = url.as_str();
    text.split(['?', '#']).next().unwrap_or(text).chars().take(VALUE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_keeps_what_matters_and_no_query() {
        let mut headers = HeaderMap::new();
        headers.append(ACCESS_CONTROL_ALLOW_ORIGIN, "*".parse().unwrap());
        headers.append(ACCESS_CONTROL_ALLOW_ORIGIN, "https://a".parse().unwrap());
        headers.append(SERVER, "x".repeat(500).parse().unwrap());
        let asked: Url = "http://a/events?token=secret".parse().unwrap();
        let head =
            Head::of(Version::HTTP_10, &headers, &asked, &"http://a/login?next=secret".parse().unwrap());
        assert_eq!((head.version.as_str(), head.allow_origin.as_deref()), ("HTTP/1.0", Some("*, https://a")));
        assert_eq!(head.redirected_to.as_deref(), Some("http://a/login"));
        assert_eq!(head.server.unwrap().len(), VALUE_MAX);
        assert_eq!(Head::of(Version::HTTP_11, &headers, &asked, &asked).redirected_to, None);
    }
}
