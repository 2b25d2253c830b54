//! What the console can do to a cluster: one HTTP request each, and the `curl` that does the same. Pure.

use super::plain::Plain;
use super::url::NodeUrl;
use crate::protocol::Address;
use crate::protocol::path::{publish_path, segment};

/// A request that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) node: NodeUrl,
    pub(crate) verb: Verb,
    /// Below the node's URL, encoded.
    pub(crate) path: String,
    /// JSON.
    pub(crate) body: Option<String>,
    /// For people: `drain node-2`.
    pub(crate) what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Post,
    Delete,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Acted {
    pub(crate) what: String,
    /// What the node answered, or why it did not.
    pub(crate) outcome: Result<Plain, Plain>,
}

impl Act {
    /// Publishes an event.
    pub(crate) fn publish(node: NodeUrl, to: &Address, kind: &str, data: &str) -> Self {
        let path = publish_path(to);
        // What is no JSON is meant as a text.
        let data = serde_json::from_str(data).unwrap_or_else(|_| serde_json::Value::from(data));
        let mut body = serde_json::json!({ "data": data });
        if !kind.is_empty() {
            body["type"] = kind.into();
        }
        let what = match to {
            Address::All => "broadcast".to_owned(),
            other => format!("message to {other}"),
        };
        Self { node, verb: Verb::Post, path, body: Some(body.to_string()), what }
    }

    /// Makes a node send its clients away.
    pub(crate) fn drain(node: NodeUrl, name: &str, over: &str, reason: &str) -> Self {
        let mut body = serde_json::json!({});
        for (key, value) in [("over", over), ("reason", reason)] {
            if !value.is_empty() {
                body[key] = value.into();
            }
        }
        let path = "/admin/drain".to_owned();
        Self { node, verb: Verb::Post, path, body: Some(body.to_string()), what: format!("drain {name}") }
    }

    /// Ends a connection, wherever it is.
    pub(crate) fn disconnect(node: NodeUrl, id: &str, client: &str) -> Self {
        let path = format!("/api/sse/connections/{}", segment(id));
        Self { node, verb: Verb::Delete, path, body: None, what: format!("disconnect {client}") }
    }

    /// The command line that does the same. The token is not in it: it would be in the shell's history.
    pub(crate) fn curl(&self) -> String {
        let mut parts = vec!["curl".to_owned()];
        match self.verb {
            Verb::Post => {}
            Verb::Delete => parts.push("-X DELETE".to_owned()),
        }
        parts.push("-H \"authorization: Bearer $SSE_TUI_TOKEN\"".to_owned());
        if let Some(body) = &self.body {
            parts.push("-H 'content-type: application/json'".to_owned());
            parts.push(format!("-d {}", quoted(body)));
        }
        parts.push(quoted(self.node.join(&self.path).as_str()));
        parts.join(" ")
    }
}

/// As a shell takes it for one word, whatever is in it.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | ':' | '.' | '-' | '_' | '%');
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::url;

    #[track_caller]
    fn check(to: &str, data: &str, curl: &str) {
        let act = Act::publish(url(1), &to.parse().unwrap(), "", data);
        assert_eq!(act.curl(), curl);
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
            Act::disconnect(url(1), "01AB", "c").curl(),
            "curl -X DELETE -H \"authorization: Bearer $SSE_TUI_TOKEN\" \
             http://127.0.0.1:8081/api/sse/connections/01AB"
        );
        assert_eq!(
            Act::drain(url(1), "node-1", "30s", "").body.as_deref(),
            Some("{\"over\":\"30s\"}"),
            "what is empty is left to the node"
        );
    }
}
