//! HTTP requests to a node, as any user could send them. Every request has a deadline and every answer a limit.
//! Redirects and proxies are not followed, so that the answer comes from the named node. Read [`Fetcher`] first.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::client::{HttpOptions, HttpOptionsError};
use crate::protocol::api::{ConnectionList, NodeMetrics, Problem, Published, Servers};
use crate::runtime::{causes, root_cause};
use crate::tui::config::credentials::Credentials;
use crate::tui::state::action_request::{ActionRequest, Method};
use crate::tui::state::connections::{ListError, ListQuery, Page};
use crate::tui::state::message::{Access, Answer};
use crate::tui::state::reading::{FetchError, Reading};
use crate::tui::text::sanitize::SafeText;
use crate::tui::text::url::NodeUrl;

/// Longest answer: a roster of a thousand nodes, or a histogram of five digits, is far smaller.
const MAX_BODY_BYTES: usize = 4 << 20;

/// Sends requests. Clones share the connections.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    http: Client,
    timeout: Duration,
    pub(crate) credentials: Credentials,
}

/// Deadline of an action: the node may ask the cluster or write to the log.
const ACT_TIMEOUT: Duration = Duration::from_secs(10);
/// Deadline of a list of connections: the node asks the others, each with its own deadline.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

impl Fetcher {
    /// A fetcher whose polls fail after `timeout`.
    ///
    /// # Errors
    /// The TLS library does not start, for instance because the system has no certificates.
    pub(crate) fn new(
        timeout: Duration,
        credentials: Credentials,
        http: &HttpOptions,
    ) -> Result<Self, HttpOptionsError> {
        let options = HttpOptions { follows_redirects: false, idle_connections: 1, ..http.clone() };
        Ok(Self { http: options.build()?, timeout, credentials })
    }

    /// One poll of a node: its metrics, and its roster if it has one.
    pub(crate) async fn read(&self, url: &NodeUrl) -> Result<Answer, FetchError> {
        let (metrics, roster) = tokio::join!(
            self.get::<NodeMetrics>(url, "/api/sse/metrics"),
            self.get::<Servers>(url, "/api/sse/servers"),
        );
        let (rtt, metrics) = metrics?;
        Ok(Answer { rtt, reading: Reading::new(metrics, roster.map(|(_, servers)| servers)) })
    }

    /// Fetches a part of the list of connections of all nodes.
    pub(crate) async fn list(&self, query: &ListQuery) -> Result<Arc<Page>, ListError> {
        let mut url = query.node.join("/api/sse/connections");
        url.query_pairs_mut()
            .append_pair("scope", "cluster")
            .append_pair("filter", &query.filter)
            .append_pair("sort", &query.order.key())
            .append_pair("offset", &query.offset.to_string())
            .append_pair("limit", &query.limit.to_string());
        let asking = async {
            let response = self.send(&query.node, self.http.get(url)).await.map_err(ListError::Fetch)?;
            let status = response.status();
            let body = body(response).await.map_err(ListError::Fetch)?;
            if status != StatusCode::OK {
                return Err(ListError::Refused(said(status, &body)));
            }
            let list = parsed::<ConnectionList>(&body).map_err(ListError::Fetch)?;
            Ok(Arc::new(Page::new(query.offset, list)))
        };
        let late = || Err(ListError::Fetch(FetchError::Timeout(LIST_TIMEOUT)));
        tokio::time::timeout(LIST_TIMEOUT, asking).await.unwrap_or_else(|_| late())
    }

    /// Checks the token at this node: it allows actions when it allows `GET /admin/drain`.
    pub(crate) async fn check(&self, url: &NodeUrl) -> Access {
        let asking = self.send(url, self.http.get(url.join("/admin/drain")));
        match tokio::time::timeout(self.timeout, asking).await {
            Ok(Ok(response)) if response.status() == StatusCode::OK => Access::Granted,
            Ok(Ok(response)) => Access::Refused(response.status().as_u16()),
            Ok(Err(_)) | Err(_) => Access::Unknown,
        }
    }

    /// Sends an action once. Returns the answer in a few words, or the error; after an error the node may still have
    /// carried it out.
    pub(crate) async fn act(&self, action: &ActionRequest) -> Result<SafeText, SafeText> {
        let url = action.node.join(&action.path);
        let mut request = match action.method {
            Method::Post => self.http.post(url),
            Method::Delete => self.http.delete(url),
        };
        if let Some(body) = &action.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let asking = async {
            let response = self.send(&action.node, request).await?;
            Ok((response.status(), body(response).await?))
        };
        let plain = |error: FetchError| SafeText::new(&error.to_string());
        match tokio::time::timeout(ACT_TIMEOUT, asking).await {
            Ok(Ok((status, body))) if status.is_success() => Ok(done(status, &body)),
            Ok(Ok((status, body))) => Err(said(status, &body)),
            Ok(Err(error)) => Err(plain(error)),
            Err(_) => Err(plain(FetchError::Timeout(ACT_TIMEOUT))),
        }
    }

    async fn send(&self, node: &NodeUrl, request: RequestBuilder) -> Result<Response, FetchError> {
        let request = match self.credentials.header_for(node) {
            Some(header) => request.header(AUTHORIZATION, header),
            None => request,
        };
        request.send().await.map_err(|error| fetch_error(&error))
    }

    async fn get<T: DeserializeOwned>(
        &self,
        node: &NodeUrl,
        path: &str,
    ) -> Result<(Duration, T), FetchError> {
        let url: Url = node.join(path);
        let asking = async {
            let started = Instant::now();
            let response = self.send(node, self.http.get(url)).await?;
            let rtt = started.elapsed();
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status().as_u16()));
            }
            Ok((rtt, parsed(&body(response).await?)?))
        };
        tokio::time::timeout(self.timeout, asking).await.unwrap_or(Err(FetchError::Timeout(self.timeout)))
    }
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, FetchError> {
    serde_json::from_slice(body).map_err(|error| FetchError::BadJson(SafeText::new(&error.to_string())))
}

/// The reason of a refusal, from the node's problem document.
fn said(status: StatusCode, body: &[u8]) -> SafeText {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => SafeText::new(&problem.detail),
        Err(_) => SafeText::new(&format!("HTTP {status}")),
    }
}

/// The result of an action that succeeded.
fn done(status: StatusCode, body: &[u8]) -> SafeText {
    match serde_json::from_slice::<Published>(body) {
        Ok(published) => SafeText::new(&format!("in the log as {}", published.id)),
        Err(_) if status == StatusCode::ACCEPTED => SafeText::new("accepted"),
        Err(_) => SafeText::new("done"),
    }
}

async fn body(mut response: Response) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| fetch_error(&error))? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(FetchError::TooLong(MAX_BODY_BYTES));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The error with its root cause: `connection refused` rather than `error sending request`.
fn fetch_error(error: &reqwest::Error) -> FetchError {
    let is_refusal = |cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused)
    };
    if causes(error).any(is_refusal) {
        return FetchError::Refused;
    }
    FetchError::Unreachable(SafeText::new(&root_cause(error).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::sources::tests::server::Server;

    const SOON: Duration = Duration::from_millis(200);
    const PATIENT: Duration = Duration::from_secs(20);

    async fn trouble_with(server: &Server, timeout: Duration) -> FetchError {
        Fetcher::new(timeout, Credentials::default(), &HttpOptions::default())
            .unwrap()
            .read(&server.url)
            .await
            .unwrap_err()
    }

    #[tokio::test]
    async fn every_trouble_has_its_name() {
        let gone = Server::up("node-1").await;
        let url = gone.url.clone();
        gone.stop().await;
        let refused = Fetcher::new(PATIENT, Credentials::default(), &HttpOptions::default())
            .unwrap()
            .read(&url)
            .await
            .unwrap_err();
        assert_eq!(refused, FetchError::Refused);
        assert_eq!(trouble_with(&Server::hanging().await, SOON).await, FetchError::Timeout(SOON));
        assert_eq!(trouble_with(&Server::answering(503, "").await, PATIENT).await, FetchError::Status(503));
        assert_eq!(trouble_with(&Server::answering(302, "").await, PATIENT).await, FetchError::Status(302));
        let bad = trouble_with(&Server::answering(200, "{\"instanceId\":\"a/b\"}").await, PATIENT).await;
        assert!(matches!(&bad, FetchError::BadJson(why) if why.as_str().contains("a/b")), "{bad:?}");
        let long = "x".repeat(MAX_BODY_BYTES + 1);
        assert_eq!(
            trouble_with(&Server::answering(200, &long).await, PATIENT).await,
            FetchError::TooLong(MAX_BODY_BYTES)
        );
    }

    #[tokio::test]
    async fn a_node_without_a_roster_is_read_all_the_same() {
        let server = Server::without_roster("node-1").await;
        let answer = Fetcher::new(PATIENT, Credentials::default(), &HttpOptions::default())
            .unwrap()
            .read(&server.url)
            .await
            .unwrap();
        assert_eq!(answer.reading.id.as_str(), "node-1");
        assert_eq!(answer.reading.roster, Err(FetchError::Status(404)));
    }
}
