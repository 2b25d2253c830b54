//! Sends requests to other nodes, all at once and each with a deadline. A node that does not answer is named in the
//! result and never left out. Must know nothing of the content of requests. Read [`Peers::ask`] first.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::de::DeserializeOwned;

use super::config::Secret;
use super::metrics::Metrics;
use super::peer_signature::SignedRequest;
use super::roster::Member;
use crate::protocol::api::{Problem, Unreachable};
use crate::runtime::clock::unix_ms;
use crate::runtime::root_cause;

/// Names the incarnation of the node that asks or answers. A web page cannot send it to another origin without CORS.
pub(crate) const PEER: HeaderName = HeaderName::from_static("x-sse-peer");
/// Carries the signature of a request.
const SIGNATURE: HeaderName = HeaderName::from_static("x-sse-peer-signature");
/// Carries the `--cluster-secret` itself, for and from nodes of earlier builds.
const SECRET: HeaderName = HeaderName::from_static("x-sse-cluster-secret");
/// Headers that a proxy adds. A request that has one may come from another machine.
const PROXY_HEADERS: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// Limits of a request to other nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerLimits {
    /// How long a node may take to answer.
    pub(crate) deadline: Duration,
    /// Nodes that one request asks at the same time.
    pub(crate) at_once: usize,
    /// Most bytes of an answer.
    pub(crate) answer_bytes: usize,
}

/// How the nodes of a cluster know each other.
#[derive(Debug, Default)]
pub(crate) struct PeerSecurity {
    /// What requests are signed with.
    pub(crate) secret: Option<Secret>,
    /// Nodes that cannot check a signature get the secret.
    pub(crate) secret_in_clear: bool,
    /// TLS to the others; `None`: an authority of the system has signed their certificates.
    pub(crate) tls: Option<rustls::ClientConfig>,
}

/// The HTTP client for other nodes.
#[derive(Debug)]
pub(crate) struct Peers {
    http: reqwest::Client,
    incarnation: Arc<str>,
    secret: Option<Secret>,
    /// Nodes that cannot check a signature get the secret.
    secret_in_clear: bool,
    /// A node of an earlier build has shown the secret, and the log says so.
    warned: AtomicBool,
    limits: PeerLimits,
    metrics: Arc<Metrics>,
}

/// A request that goes to other nodes.
#[derive(Debug, Clone)]
pub(crate) struct PeerRequest {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<String>,
}

/// The answers of other nodes.
#[derive(Debug)]
pub(crate) struct PeerResponses<T> {
    /// In the order in which they came.
    pub(crate) answers: Vec<T>,
    /// The nodes that did not answer, each with the reason.
    pub(crate) unreachable: Vec<Unreachable>,
}

/// Why a node did not answer.
#[derive(Debug, thiserror::Error)]
enum PeerError {
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    #[error("{0}")]
    Http(String),
    #[error("the node refused the request: {0}")]
    Refused(String),
    #[error(
        "the node cannot check a signature, as in earlier builds; upgrade it, or set --cluster-secret-in-clear meanwhile"
    )]
    NeedsSecret,
    #[error("another node answers at this address; give each node its own --advertise")]
    WrongNode,
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    #[error("the answer cannot be parsed: {0}")]
    Malformed(serde_json::Error),
}

impl From<reqwest::Error> for PeerError {
    fn from(error: reqwest::Error) -> Self {
        // The outer errors only say that a request failed; the innermost says why.
        Self::Http(root_cause(&error).to_string())
    }
}

impl PeerRequest {
    /// A request without query and body.
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), body: None }
    }

    /// Adds a parameter to the query; nothing if `value` is `None`.
    #[must_use]
    pub(crate) fn with(mut self, key: &'static str, value: Option<String>) -> Self {
        self.query.extend(value.map(|value| (key, value)));
        self
    }

    /// Sets the JSON body.
    #[must_use]
    pub(crate) fn body(mut self, body: &impl serde::Serialize) -> Self {
        self.body = Some(serde_json::to_string(body).expect("bodies of text and numbers always become JSON"));
        self
    }
}

impl Peers {
    /// Builds the HTTP client. `incarnation` is the one of this node.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(crate) fn new(
        incarnation: Arc<str>,
        security: PeerSecurity,
        limits: PeerLimits,
        metrics: Arc<Metrics>,
    ) -> Result<Self, reqwest::Error> {
        install_tls_provider();
        // On a machine without certificate authorities (a bare container) the setup of TLS fails, which would rule out
        // plain http too.
        let PeerSecurity { secret, secret_in_clear, tls } = security;
        let http = match tls {
            None => client(limits).build().or_else(|_| client(limits).tls_certs_only([]).build())?,
            Some(tls) => client(limits).tls_backend_preconfigured(tls).build()?,
        };
        let warned = AtomicBool::new(false);
        Ok(Self { http, incarnation, secret, secret_in_clear, warned, limits, metrics })
    }

    /// Sends a request to these nodes.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        members: Vec<Member>,
        request: &PeerRequest,
    ) -> PeerResponses<T> {
        let asked = stream::iter(members).map(async |member: Member| self.ask_one(&member, request).await);
        let outcomes: Vec<_> = asked.buffer_unordered(self.limits.at_once).collect().await;
        let mut all = PeerResponses { answers: Vec::new(), unreachable: Vec::new() };
        for outcome in outcomes {
            match outcome {
                Ok(answer) => all.answers.push(answer),
                Err(unreachable) => {
                    tracing::debug!(node = %unreachable.instance_id, reason = unreachable.reason, "a node did not answer");
                    all.unreachable.push(unreachable);
                }
            }
        }
        all
    }

    /// Sends a request to one node.
    ///
    /// # Errors
    /// The node, with the reason why it did not answer.
    pub(crate) async fn ask_one<T: DeserializeOwned>(
        &self,
        member: &Member,
        request: &PeerRequest,
    ) -> Result<T, Unreachable> {
        let deadline = self.limits.deadline;
        let outcome = match tokio::time::timeout(deadline, self.send(member, request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(PeerError::Deadline(deadline)),
        };
        outcome.map_err(|error| {
            self.metrics.peer_errors.fetch_add(1, Ordering::Relaxed);
            let (instance_id, url) = (member.server.instance_id.clone(), member.server.url.clone());
            Unreachable { instance_id, url, reason: error.to_string() }
        })
    }

    async fn send<T: DeserializeOwned>(
        &self,
        member: &Member,
        request: &PeerRequest,
    ) -> Result<T, PeerError> {
        let url = format!("{}{}", member.server.url, request.path);
        let mut builder = self.http.request(request.method.clone(), url).query(&request.query);
        builder = builder.header(PEER, &*self.incarnation);
        if let Some(body) = &request.body {
            builder = builder.header(http::header::CONTENT_TYPE, "application/json").body(body.clone());
        }
        let mut built = builder.build()?;
        self.authenticate(member, &mut built)?;
        let mut response = self.http.execute(built).await?;
        let status = response.status();
        let answered_by = response.headers().get(PEER).map(|value| value.as_bytes().to_vec());
        let body = self.body(&mut response).await?;
        if status.is_success() && answered_by.as_deref() != Some(member.incarnation.as_bytes()) {
            return Err(PeerError::WrongNode);
        }
        if !status.is_success() {
            return Err(PeerError::Refused(refusal_text(status, &body)));
        }
        serde_json::from_slice(&body).map_err(PeerError::Malformed)
    }

    /// Signs a request. The secret itself goes only to nodes of earlier builds, and only where a setting says so: a stranger
    /// who can write into the roster would get it.
    fn authenticate(&self, member: &Member, request: &mut reqwest::Request) -> Result<(), PeerError> {
        let Some(secret) = &self.secret else { return Ok(()) };
        let value = if member.checks_signatures {
            let url = request.url();
            let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
            let target = &format!("{}{query}", url.path());
            let signed = SignedRequest {
                method: request.method().as_str(),
                target,
                from: &self.incarnation,
                to: &member.incarnation,
                body: request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default(),
            };
            (SIGNATURE, signed.sign(secret, unix_ms()))
        } else if self.secret_in_clear {
            (SECRET, secret.header())
        } else {
            return Err(PeerError::NeedsSecret);
        };
        request.headers_mut().insert(value.0, value.1);
        Ok(())
    }

    /// Checks that a request comes from a node of the cluster: it is signed with the cluster secret, or without a secret it
    /// comes from this machine.
    ///
    /// # Errors
    /// The reason for the one who asked.
    pub(crate) fn check(
        &self,
        remote: IpAddr,
        head: &http::request::Parts,
        body: &[u8],
    ) -> Result<(), String> {
        let header = |name| head.headers.get(name).map(HeaderValue::as_bytes);
        let Some(from) = header(PEER) else {
            return Err("this path answers only nodes of the cluster".to_owned());
        };
        let Some(secret) = &self.secret else {
            let is_here = remote.to_canonical().is_loopback()
                && PROXY_HEADERS.iter().all(|name| !head.headers.contains_key(*name));
            return is_here.then_some(()).ok_or_else(|| {
                "this node has no --cluster-secret, so it answers only nodes on its own machine".to_owned()
            });
        };
        if let Some(signature) = header(SIGNATURE) {
            let signed = SignedRequest {
                method: head.method.as_str(),
                target: head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
                from: std::str::from_utf8(from).unwrap_or_default(),
                to: &self.incarnation,
                body,
            };
            return signed.check(secret, signature, unix_ms()).map_err(|error| error.to_string());
        }
        if !secret.matches(header(SECRET).unwrap_or_default()) {
            return Err("the request is not signed, and the nodes need the same --cluster-secret".to_owned());
        }
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(%remote, "a node of an earlier build sends the cluster secret itself; upgrade it");
        }
        Ok(())
    }

    async fn body(&self, response: &mut reqwest::Response) -> Result<Vec<u8>, PeerError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > self.limits.answer_bytes {
                return Err(PeerError::TooLarge(self.limits.answer_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn client(limits: PeerLimits) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(limits.deadline)
        // Shorter than nodes keep idle connections, so that none is used while its node closes it.
        .pool_idle_timeout(Duration::from_secs(5))
        .pool_max_idle_per_host(limits.at_once)
        .user_agent(concat!("sse-node/", env!("CARGO_PKG_VERSION")))
}

/// Makes ring the TLS of this process, before the first client is built.
pub(crate) fn install_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none()
        && rustls::crypto::ring::default_provider().install_default().is_err()
    {
        tracing::debug!("another thread has installed the TLS provider");
    }
}

/// The status and detail of an answer that is an error.
fn refusal_text(status: StatusCode, body: &[u8]) -> String {
    let problem = serde_json::from_slice::<Problem>(body).ok();
    problem.map_or_else(|| status.to_string(), |problem| format!("{} {}", status.as_u16(), problem.detail))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;
    use crate::node::roster::tests::{member, server};
    use crate::node::tls::{self, TlsFiles, TlsSettings};

    const LIMITS: PeerLimits =
        PeerLimits { deadline: Duration::from_millis(500), at_once: 2, answer_bytes: 128 };

    /// Asks a node that answers with these bytes, or not at all.
    async fn ask(answer: Option<&str>) -> Result<u64, String> {
        let metrics = Arc::new(Metrics::new(Instant::now()));
        let peers = Peers::new(Arc::from("01ME"), PeerSecurity::default(), LIMITS, metrics).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut row = server("n-1", 0, "ready");
        row.url = format!("http://{}", socket.local_addr().unwrap());
        let member = member("01YOU", row);
        let serve = async {
            let (mut socket, _) = socket.accept().await.unwrap();
            let mut head = vec![0; 1_024];
            let read = socket.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            assert!(head.starts_with("GET /cluster/x?a=b%26c HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("x-sse-peer: 01ME\r\n"), "{head}");
            match answer {
                Some(answer) => socket.write_all(answer.as_bytes()).await.unwrap(),
                None => std::future::pending().await,
            }
            std::future::pending::<()>().await;
        };
        let request = PeerRequest::new(Method::GET, "/cluster/x").with("a", Some("b&c".to_owned()));
        let asked = peers.ask(vec![member], &request);
        let PeerResponses { answers, unreachable } = tokio::select! {
            answers = asked => answers,
            () = serve => unreachable!("it waits to be left"),
        };
        assert_eq!(answers.len() + unreachable.len(), 1);
        assert_eq!(peers.metrics.peer_errors.load(Ordering::Relaxed), unreachable.len() as u64);
        answers.into_iter().next().ok_or_else(|| unreachable[0].reason.clone())
    }

    #[track_caller]
    fn check(outcome: &Result<u64, String>, words: &str) {
        let reason = outcome.as_ref().unwrap_err();
        assert!(reason.contains(words), "{reason}");
    }

    fn ok(headers: &str, body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn an_answer_counts_only_from_the_node_that_was_asked() {
        assert_eq!(ask(Some(&ok("X-Sse-Peer: 01YOU\r\n", "7"))).await, Ok(7));
        check(&ask(Some(&ok("X-Sse-Peer: 01ME\r\n", "7"))).await, "--advertise");
        check(&ask(Some(&ok("", "7"))).await, "--advertise");
        check(&ask(Some(&ok("X-Sse-Peer: 01YOU\r\n", "seven"))).await, "cannot be parsed");
        check(&ask(Some(&ok("X-Sse-Peer: 01YOU\r\n", &" ".repeat(129)))).await, "128 bytes");
        let moved = "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n";
        check(&ask(Some(moved)).await, "302");
        let problem =
            r#"{"type":"about:blank","title":"t","status":403,"detail":"no secret","code":"forbidden"}"#;
        let refused = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{problem}", problem.len());
        check(&ask(Some(&refused)).await, "403 no secret");
    }

    /// What a node in the roster gets to read of a request, or why it is not asked.
    async fn heard(checks_signatures: bool, secret_in_clear: bool) -> Result<String, String> {
        let metrics = Arc::new(Metrics::new(Instant::now()));
        let secret = Some(Secret::for_test(CLUSTER_SECRET));
        let security = PeerSecurity { secret, secret_in_clear, ..PeerSecurity::default() };
        let peers = Peers::new(Arc::from("01ME"), security, LIMITS, metrics).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut row = server("n-1", 0, "ready");
        row.url = format!("http://{}", socket.local_addr().unwrap());
        let mut member = member("01YOU", row);
        member.checks_signatures = checks_signatures;
        let request = PeerRequest::new(Method::POST, "/cluster/x").with("a", Some("b&c".to_owned())).body(&1);
        let serve = async {
            let (mut socket, _) = socket.accept().await.unwrap();
            let mut read = vec![0; 4_096];
            let mut filled = 0;
            while !read[..filled].ends_with(b"\r\n\r\n1") {
                filled += socket.read(&mut read[filled..]).await.unwrap();
            }
            String::from_utf8(read[..filled].to_vec()).unwrap()
        };
        tokio::select! {
            answer = peers.ask_one::<u64>(&member, &request) => Err(answer.unwrap_err().reason),
            heard = serve => Ok(heard),
        }
    }

    /// A node that others ask, and one that asks, with the certificate of its listener or without one.
    #[tokio::test]
    async fn a_node_shows_others_the_certificate_of_its_listener() {
        let file = |name| [env!("CARGO_MANIFEST_DIR"), "/tests/tls/", name].concat();
        let files = TlsFiles {
            certificate: file("cert.pem").into(),
            key: file("key.pem").into(),
            client_ca: Some(file("cert.pem").into()),
        };
        let own = TlsSettings::load(files).unwrap();
        for with in [Some(&own), None] {
            let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut row = server("n-1", 0, "ready");
            row.url = format!("https://{}", socket.local_addr().unwrap());
            let tls = tls::to_peers(tls::authorities(file("cert.pem")).unwrap(), with).unwrap();
            let security = PeerSecurity { tls: Some(tls), ..PeerSecurity::default() };
            let metrics = Arc::new(Metrics::new(Instant::now()));
            let peers = Peers::new(Arc::from("01ME"), security, LIMITS, metrics).unwrap();
            let (member, request) = (member("01YOU", row), PeerRequest::new(Method::GET, "/cluster/x"));
            let shown = async {
                let (socket, _) = socket.accept().await.unwrap();
                let session = own.acceptor().accept(socket).await.unwrap();
                session.get_ref().1.peer_certificates().is_some()
            };
            let shown = tokio::select! {
                answer = peers.ask_one::<u64>(&member, &request) => panic!("{answer:?}"),
                shown = shown => shown,
            };
            assert_eq!(shown, with.is_some());
        }
    }

    const CLUSTER_SECRET: &str = "the-secret-of-this-cluster";

    /// Anybody who can write into the roster can be a member of it.
    #[tokio::test]
    async fn a_member_of_the_roster_gets_a_signature_and_not_the_secret() {
        let head = heard(true, true).await.unwrap();
        assert!(!head.contains(CLUSTER_SECRET) && head.contains("\r\nx-sse-peer-signature: "), "{head}");
        let refused = heard(false, false).await.unwrap_err();
        assert!(refused.contains("--cluster-secret-in-clear"), "{refused}");
        let head = heard(false, true).await.unwrap();
        assert!(head.contains("\r\nx-sse-cluster-secret: the-secret-of-this-cluster\r\n"), "{head}");
    }

    /// The request that one node writes passes the check of the other one, and of no third one.
    #[tokio::test]
    async fn a_signed_request_is_accepted_by_the_node_that_was_asked() {
        let request = heard(true, false).await.unwrap();
        let line = |name: &str| {
            let lines = request.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(field, _)| *field == name).map(|(_, value)| value.to_owned()).next().unwrap()
        };
        let (head, ()) = http::Request::post("/cluster/x?a=b%26c")
            .header(PEER, line("x-sse-peer"))
            .header(SIGNATURE, line("x-sse-peer-signature"))
            .body(())
            .unwrap()
            .into_parts();
        let check = |incarnation: &str, secret: &str, body: &[u8]| {
            let metrics = Arc::new(Metrics::new(Instant::now()));
            let security = PeerSecurity { secret: Some(Secret::for_test(secret)), ..PeerSecurity::default() };
            let peers = Peers::new(Arc::from(incarnation), security, LIMITS, metrics).unwrap();
            peers.check([10, 0, 0, 1].into(), &head, body)
        };
        assert_eq!(check("01YOU", CLUSTER_SECRET, b"1"), Ok(()));
        assert!(check("01OTHER", CLUSTER_SECRET, b"1").unwrap_err().contains("--advertise"));
        assert!(
            check("01YOU", "another-secret-of-a-cluster", b"1").unwrap_err().contains("--cluster-secret")
        );
        assert!(check("01YOU", CLUSTER_SECRET, b"2").unwrap_err().contains("does not match"));
    }

    #[tokio::test]
    async fn a_node_that_does_not_answer_is_named_after_its_deadline() {
        let began = Instant::now();
        check(&ask(None).await, "no answer within 500ms");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
