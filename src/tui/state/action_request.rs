//! Actions on a cluster: one HTTP request each, and the `curl` command that sends the same request. Pure. Read
//! [`ActionRequest`] first.

use crate::protocol::Address;
use crate::protocol::path::{publish_path, segment};
use crate::tui::text::sanitize::SafeText;
use crate::tui::text::url::NodeUrl;

/// A request that changes the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActionRequest {
    pub(crate) node: NodeUrl,
    pub(crate) method: Method,
    /// Path below the node's URL, percent-encoded.
    pub(crate) path: String,
    /// JSON body; `None` sends no body.
    pub(crate) body: Option<String>,
    /// Title for the screen: `drain node-2`.
    pub(crate) what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Post,
    Delete,
}

/// The result of a request.
#[derive(Debug, Clone)]
pub(crate) struct ActionResult {
    pub(crate) what: String,
    /// The node's answer, or the reason for the failure.
    pub(crate) outcome: Result<SafeText, SafeText>,
}

impl ActionRequest {
    /// A request that publishes an event.
    pub(crate) fn publish(node: NodeUrl, to: &Address, kind: &str, data: &str) -> Self {
        let path = publish_path(to);
        // Data that is not JSON is sent as a JSON string.
        let data = serde_json::from_str(data).unwrap_or_else(|_| serde_json::Value::from(data));
        let mut body = serde_json::json!({ "data": data });
        if !kind.is_empty() {
            body["type"] = kind.into();
        }
        let what = match to {
            Address::All => "broadcast".to_owned(),
            other => format!("message to {other}"),
        };
        Self { node, method: Method::Post, path, body: Some(body.to_string()), what }
    }

    /// A request that starts a drain: the node asks its clients to reconnect elsewhere.
    pub(crate) fn drain(node: NodeUrl, name: &str, over: &str, reason: &str) -> Self {
        let mut body = serde_json::json!({});
        for (key, value) in [("over", over), ("reason", reason)] {
            if !value.is_empty() {
                body[key] = value.into();
            }
        }
        let path = "/admin/drain".to_owned();
        Self { node, method: Method::Post, path, body: Some(body.to_string()), what: format!("drain {name}") }
    }

    /// A request that closes a connection on whichever node has it.
    pub(crate) fn disconnect(node: NodeUrl, id: &str, client: &str) -> Self {
        let path = format!("/api/sse/connections/{}", segment(id));
        Self { node, method: Method::Delete, path, body: None, what: format!("disconnect {client}") }
    }

    /// The `curl` command that sends the same request. It names the token's variable, since a token would stay in the
    /// shell's history.
    pub(crate) fn curl(&self) -> String {
        let mut parts = vec!["curl".to_owned()];
        match self.method {
            Method::Post => {}
            Method::Delete => parts.push("-X DELETE".to_owned()),
        }
        parts.push("-H \"authorization: Bearer $SSE_TUI_TOKEN\"".to_owned());
        if let Some(body) = &self.body {
            parts.push("-H 'content-type: application/json'".to_owned());
            parts.push(format!("-d {}", shell_quoted(body)));
        }
        parts.push(shell_quoted(self.node.join(&self.path).as_str()));
        parts.join(" ")
    }
}

/// The text quoted as one word of a POSIX shell.
fn shell_quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | ':' | '.' | '-' | '_' | '%');
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::state::tests::fixture::url;

    #[track_caller]
    fn check(to: &str, data: &str, curl: &str) {
        let request = ActionRequest::publish(url(1), &to.parse().unwrap(), "", data);
        assert_eq!(request.curl(), curl);
    }

    #[test]
    fn the_curl_does_the_same() {
        let head = "curl -H \"authorization: Bearer $SSE_TUI_TOKEN\" -H 'content-type: application/json' -d";
        let check = |to: &str, data: &str, rest: &str| check(to, data, &format!("{head} {rest}"));
        check("all", "{\"a\":1}", "'{\"data\":{\"a\":1}}' http://127.0.0.1:8081/api/sse/broadcast");
        check("topic:a b", "it's", r#"'{"data":"it'\''s"}' http://127.0.0.1:8081/api/sse/topics/a%20b"#);
        check("user:ü", "1", "'{\"data\":1}' http://127.0.0.1:8081/api/sse/users/%C3%BC");
        check(
            "node:n1/client:c",
            "null",
            "'{\"data\":null}' http://127.0.0.1:8081/api/sse/broadcast/server/n1/client/c",
        );
        assert_eq!(
            ActionRequest::disconnect(url(1), "01AB", "c").curl(),
            "curl -X DELETE -H \"authorization: Bearer $SSE_TUI_TOKEN\" \
             http://127.0.0.1:8081/api/sse/connections/01AB"
        );
        assert_eq!(
            ActionRequest::drain(url(1), "node-1", "30s", "").body.as_deref(),
            Some("{\"over\":\"30s\"}"),
            "what is empty is left to the node"
        );
    }
}
