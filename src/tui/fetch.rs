//! Asking a node over HTTP, as any user could. Every request has a deadline and every answer a limit; redirects and
//! proxies are not followed, so that what is shown is the node that was named.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use reqwest::{Client, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::message::Answer;
use super::plain::Plain;
use super::reading::{Reading, Trouble};
use super::url::NodeUrl;
use crate::protocol::api::{NodeMetrics, Servers};

/// Longest answer in bytes: a roster of a thousand nodes, or a histogram of five digits, is far smaller.
const MAX_BODY_BYTES: usize = 4 << 20;

/// Asks nodes. Clones share the connections.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    http: Client,
    timeout: Duration,
}

impl Fetcher {
    /// A fetcher whose questions are answered within `timeout` or not at all.
    ///
    /// # Errors
    /// The TLS library does not start, for instance because the system has no certificates.
    pub(crate) fn new(timeout: Duration) -> Result<Self, reqwest::Error> {
        // Only the first call in a process can install a provider; any that is there is as good.
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("sse-tui/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, timeout })
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

    async fn get<T: DeserializeOwned>(&self, url: &NodeUrl, path: &str) -> Result<(Duration, T), Trouble> {
        let asking = async {
            let started = Instant::now();
            let response = self.http.get(url.join(path)).send().await.map_err(|error| trouble(&error))?;
            let rtt = started.elapsed();
            if response.status() != StatusCode::OK {
                return Err(Trouble::Status(response.status().as_u16()));
            }
            let body = body(response).await?;
            let value = serde_json::from_slice(&body);
            Ok((rtt, value.map_err(|error| Trouble::BadJson(Plain::new(&error.to_string())))?))
        };
        tokio::time::timeout(self.timeout, asking).await.unwrap_or(Err(Trouble::Timeout(self.timeout)))
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
        Fetcher::new(timeout).unwrap().read(&server.url).await.unwrap_err()
    }

    #[tokio::test]
    async fn every_trouble_has_its_name() {
        let gone = Server::up("node-1").await;
        let url = gone.url.clone();
        gone.stop().await;
        let refused = Fetcher::new(PATIENT).unwrap().read(&url).await.unwrap_err();
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
        let answer = Fetcher::new(PATIENT).unwrap().read(&server.url).await.unwrap();
        assert_eq!(answer.reading.id.as_str(), "node-1");
        assert_eq!(answer.reading.roster, Err(Trouble::Status(404)));
    }
}
