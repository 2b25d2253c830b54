//! Asking a node over HTTP, as any user could. Every request has a deadline and every answer a limit; redirects and
//! proxies are not followed, so that what is shown is the node that was named.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use super::act::{Act, Verb};
use super::credentials::Credentials;
use super::listing::{ListQuery, Page, Refusal};
use super::message::{Access, Answer};
use super::plain::Plain;
use super::reading::{Reading, Trouble};
use super::url::NodeUrl;
use crate::protocol::api::{ConnectionList, NodeMetrics, Problem, Published, Servers};

/// Longest answer in bytes: a roster of a thousand nodes, or a histogram of five digits, is far smaller.
const MAX_BODY_BYTES: usize = 4 << 20;

/// Asks nodes. Clones share the connections.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    http: Client,
    timeout: Duration,
    pub(crate) credentials: Credentials,
}

/// What to do may take so long: a cluster may have to be asked, and a log may have to be written.
const ACT_TIMEOUT: Duration = Duration::from_secs(10);
/// The node asks the others, each with a deadline of its own.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

impl Fetcher {
    /// A fetcher whose questions are answered within `timeout` or not at all.
    ///
    /// # Errors
    /// The TLS library does not start, for instance because the system has no certificates.
    pub(crate) fn new(timeout: Duration, credentials: Credentials) -> Result<Self, reqwest::Error> {
        // Only the first call in a process can install a provider; any that is there is as good.
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("sse-tui/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, timeout, credentials })
    }

    /// One look at a node: its metrics, and its roster if it tells one.
    pub(crate) async fn read(&self, url: &NodeUrl) -> Result<Answer, Trouble> {
        let (metrics, roster) = tokio::join!(
            self.get::<NodeMetrics>(url, "/api/sse/metrics"),
            self.get::<Servers>(url, "/api/sse/servers"),
        );
        let (rtt, metrics) = metrics?;
        Ok(Answer { rtt, reading: Reading::new(metrics, roster.map(|(_, servers)| servers)) })
    }

    /// A part of the list of connections of all nodes.
    pub(crate) async fn list(&self, query: &ListQuery) -> Result<Arc<Page>, Refusal> {
        let mut url = query.node.join("/api/sse/connections");
        url.query_pairs_mut()
            .append_pair("scope", "cluster")
            .append_pair("filter", &query.filter)
            .append_pair("sort", &query.order.key())
            .append_pair("offset", &query.offset.to_string())
            .append_pair("limit", &query.limit.to_string());
        let asking = async {
            let response = self.send(&query.node, self.http.get(url)).await.map_err(Refusal::Trouble)?;
            let status = response.status();
            let body = body(response).await.map_err(Refusal::Trouble)?;
            if status != StatusCode::OK {
                return Err(Refusal::Refused(said(status, &body)));
            }
            let list = parsed::<ConnectionList>(&body).map_err(Refusal::Trouble)?;
            Ok(Arc::new(Page::new(query.offset, list)))
        };
        let late = || Err(Refusal::Trouble(Trouble::Timeout(LIST_TIMEOUT)));
        tokio::time::timeout(LIST_TIMEOUT, asking).await.unwrap_or_else(|_| late())
    }

    /// What the token is worth at this node: it may act where it may look at a drain.
    pub(crate) async fn check(&self, url: &NodeUrl) -> Access {
        let asking = self.send(url, self.http.get(url.join("/admin/drain")));
        match tokio::time::timeout(self.timeout, asking).await {
            Ok(Ok(response)) if response.status() == StatusCode::OK => Access::Granted,
            Ok(Ok(response)) => Access::Refused(response.status().as_u16()),
            Ok(Err(_)) | Err(_) => Access::Unknown,
        }
    }

    /// Does something, once. The answer in a few words, or why there is none; then it may have been done all the same.
    pub(crate) async fn act(&self, act: &Act) -> Result<Plain, Plain> {
        let url = act.node.join(&act.path);
        let mut request = match act.verb {
            Verb::Post => self.http.post(url),
            Verb::Delete => self.http.delete(url),
        };
        if let Some(body) = &act.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let asking = async {
            let response = self.send(&act.node, request).await?;
            Ok((response.status(), body(response).await?))
        };
        let plain = |trouble: Trouble| Plain::new(&trouble.to_string());
        match tokio::time::timeout(ACT_TIMEOUT, asking).await {
            Ok(Ok((status, body))) if status.is_success() => Ok(done(status, &body)),
            Ok(Ok((status, body))) => Err(said(status, &body)),
            Ok(Err(trouble)) => Err(plain(trouble)),
            Err(_) => Err(plain(Trouble::Timeout(ACT_TIMEOUT))),
        }
    }

    async fn send(&self, node: &NodeUrl, request: RequestBuilder) -> Result<Response, Trouble> {
        let request = match self.credentials.header_for(node) {
            Some(header) => request.header(AUTHORIZATION, header),
            None => request,
        };
        request.send().await.map_err(|error| trouble(&error))
    }

    async fn get<T: DeserializeOwned>(&self, node: &NodeUrl, path: &str) -> Result<(Duration, T), Trouble> {
        let url: Url = node.join(path);
        let asking = async {
            let started = Instant::now();
            let response = self.send(node, self.http.get(url)).await?;
            let rtt = started.elapsed();
            if response.status() != StatusCode::OK {
                return Err(Trouble::Status(response.status().as_u16()));
            }
            Ok((rtt, parsed(&body(response).await?)?))
        };
        tokio::time::timeout(self.timeout, asking).await.unwrap_or(Err(Trouble::Timeout(self.timeout)))
    }
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Trouble> {
    serde_json::from_slice(body).map_err(|error| Trouble::BadJson(Plain::new(&error.to_string())))
}

/// What a node said when it refused.
fn said(status: StatusCode, body: &[u8]) -> Plain {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => Plain::new(&problem.detail),
        Err(_) => Plain::new(&format!("HTTP {status}")),
    }
}

/// What a node said when it did what it was asked to.
fn done(status: StatusCode, body: &[u8]) -> Plain {
    match serde_json::from_slice::<Published>(body) {
        Ok(published) => Plain::new(&format!("in the log as {}", published.id)),
        Err(_) if status == StatusCode::ACCEPTED => Plain::new("accepted"),
        Err(_) => Plain::new("done"),
    }
}

async fn body(mut response: Response) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| trouble(&error))? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(Trouble::TooLong(MAX_BODY_BYTES));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The last cause says most: `connection refused` rather than `error sending request`.
fn trouble(error: &reqwest::Error) -> Trouble {
    let mut cause: &dyn Error = error;
    loop {
        if let Some(io) = cause.downcast_ref::<io::Error>()
            && io.kind() == io::ErrorKind::ConnectionRefused
        {
            return Trouble::Refused;
        }
        match cause.source() {
            Some(source) => cause = source,
            None => return Trouble::Unreachable(Plain::new(&cause.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::Server;

    const SOON: Duration = Duration::from_millis(200);
    const PATIENT: Duration = Duration::from_secs(20);

    async fn trouble_with(server: &Server, timeout: Duration) -> Trouble {
        Fetcher::new(timeout, Credentials::default()).unwrap().read(&server.url).await.unwrap_err()
    }

    #[tokio::test]
    async fn every_trouble_has_its_name() {
        let gone = Server::up("node-1").await;
        let url = gone.url.clone();
        gone.stop().await;
        let refused = Fetcher::new(PATIENT, Credentials::default()).unwrap().read(&url).await.unwrap_err();
        assert_eq!(refused, Trouble::Refused);
        assert_eq!(trouble_with(&Server::hanging().await, SOON).await, Trouble::Timeout(SOON));
        assert_eq!(trouble_with(&Server::answering(503, "").await, PATIENT).await, Trouble::Status(503));
        assert_eq!(trouble_with(&Server::answering(302, "").await, PATIENT).await, Trouble::Status(302));
        let bad = trouble_with(&Server::answering(200, "{\"instanceId\":\"a/b\"}").await, PATIENT).await;
        assert!(matches!(&bad, Trouble::BadJson(why) if why.as_str().contains("a/b")), "{bad:?}");
        let long = "x".repeat(MAX_BODY_BYTES + 1);
        assert_eq!(
            trouble_with(&Server::answering(200, &long).await, PATIENT).await,
            Trouble::TooLong(MAX_BODY_BYTES)
        );
    }

    #[tokio::test]
    async fn a_node_without_a_roster_is_read_all_the_same() {
        let server = Server::without_roster("node-1").await;
        let answer = Fetcher::new(PATIENT, Credentials::default()).unwrap().read(&server.url).await.unwrap();
        assert_eq!(answer.reading.id.as_str(), "node-1");
        assert_eq!(answer.reading.roster, Err(Trouble::Status(404)));
    }
}
