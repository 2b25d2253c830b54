//! `GET /`, `GET /sse.js` and `GET /openapi.json`: a page that shows the stream working, the browser's client, and the
//! description of the interface.

use std::sync::LazyLock;

use axum::response::IntoResponse;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, HeaderValue, header};
use ring::digest::{SHA256, digest};

const PAGE: &str = include_str!("../../../web/index.html");
/// The description of the interface, OpenAPI 3.1. A test writes the file and compares it with the router and the types.
const OPENAPI: &str = include_str!("../../../web/openapi.json");
/// A browser may keep a copy, but asks before it uses it.
const ASK: (HeaderName, &str) = (header::CACHE_CONTROL, "no-cache");

/// What the page may do: run its own script, have its own style and speak to this node. No other page may frame it.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let [script, style] = ["script", "style"].map(|tag| hash(element(tag)));
    let policy = format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("it is ASCII")
});

/// The text of the only element of this name in the page.
fn element(tag: &str) -> &'static str {
    let rest = PAGE.split_once(&format!("<{tag}")).and_then(|(_, rest)| rest.split_once('>'));
    let text = rest.and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
    text.expect("the page has one").0
}

fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

/// `GET /`: the page of the node.
pub(crate) async fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static(ASK.1)),
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, PAGE)
}

/// `GET /sse.js`: the client for browsers.
pub(crate) async fn client() -> impl IntoResponse {
    let kind = (header::CONTENT_TYPE, "text/javascript; charset=utf-8");
    ([kind, ASK], include_str!("../../../web/sse.js"))
}

/// `GET /openapi.json`: the description of the interface.
pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json"), ASK], OPENAPI)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_one_script_and_the_one_style_of_the_page_and_nothing_inline_else() {
        for (tag, start) in [("script", "\n  const ROWS_MAX"), ("style", "\n  :root {")] {
            assert_eq!(PAGE.matches(&format!("<{tag}")).count(), 1, "{tag}");
            assert!(element(tag).starts_with(start), "{tag}");
        }
        assert!(
            !PAGE.contains(" style=") && !PAGE.contains(" onclick="),
            "a policy of hashes forbids attributes"
        );
        // echo -n abc | openssl dgst -sha256 -binary | base64
        assert_eq!(hash("abc"), "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
        assert!(POLICY.to_str().unwrap().contains("frame-ancestors 'none'"));
    }
}
