//! A node as a process: started on a free port, stopped by its process id, never left behind. Read [`Node`] first.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sse_lab::protocol::api::{ConnectionList, History, NodeMetrics, Problem, Published};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinSet;

use super::{eventually, within};

const BINARY: &str = env!("CARGO_BIN_EXE_sse-node");

/// The arguments of a node that speaks HTTPS.
pub(crate) const TLS: [&str; 4] = [
    "--tls-certificate",
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/cert.pem"),
    "--tls-key",
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/key.pem"),
];

/// Makes every node of these tests speak HTTPS where it is set, and so HTTP/2.
const ALL_TLS: &str = "SSE_LAB_TEST_TLS";

/// A running node.
pub(crate) struct Node {
    child: Child,
    address: SocketAddr,
    args: Vec<String>,
    log: Log,
    reader: JoinSet<()>,
    http: reqwest::Client,
}

/// What the process wrote to stderr, all of its lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

/// An answer of the node.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

/// What became of a process that ended by itself.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Log {
    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    /// The address of the newest life, once it has one.
    fn address(&self, from: usize) -> Option<SocketAddr> {
        let text = self.text();
        let (_, behind) = text[from..].split_once("listening on http")?;
        let behind = behind.trim_start_matches('s').strip_prefix("://")?;
        // A line that is still being written has no end yet.
        let (line, _) = behind.split_once('\n')?;
        line.split_whitespace().next()?.parse().ok()
    }
}

impl Node {
    /// Starts a node with these arguments behind `serve --listen`, and waits until it is ready.
    pub(crate) async fn start(args: &[&str]) -> Self {
        let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        if std::env::var_os(ALL_TLS).is_some() && !args.iter().any(|arg| arg == TLS[0]) {
            args.extend(TLS.map(str::to_owned));
        }
        let log = Log::default();
        let mut reader = JoinSet::new();
        let wanted = SocketAddr::from((own_address(), 0));
        let child = spawn(wanted, &args, &log, &mut reader);
        let mut node = Self { child, address: wanted, args, log, reader, http: super::http() };
        node.wait_until_ready(0).await;
        node
    }

    /// Starts the process again, at the same address, with the same arguments.
    pub(crate) async fn restart(&mut self) {
        self.restart_with(&[]).await;
    }

    /// As [`Node::restart`], with more arguments.
    pub(crate) async fn restart_with(&mut self, more: &[&str]) {
        assert!(self.child.try_wait().unwrap().is_some(), "a node that runs cannot be started again");
        let from = self.log.text().len();
        let args: Vec<String> =
            self.args.iter().cloned().chain(more.iter().map(|arg| (*arg).to_owned())).collect();
        self.child = spawn(self.address, &args, &self.log, &mut self.reader);
        self.wait_until_ready(from).await;
    }

    async fn wait_until_ready(&mut self, from: usize) {
        let log = self.log.clone();
        let child = &mut self.child;
        self.address = eventually("the address of the node", async || {
            let address = log.address(from);
            if let (None, Some(status)) = (address, child.try_wait().unwrap()) {
                panic!("the node ended with {status}:\n{}", log.text());
            }
            address
        })
        .await;
        eventually("a node that is ready", async || {
            let answer = self.http.get(self.url("/health/ready")).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// `SIGKILL`: the process has no time for anything.
    pub(crate) async fn kill(&mut self) {
        within("the end of a killed node", self.child.kill()).await.unwrap();
    }

    /// `SIGTERM`: please leave.
    pub(crate) fn term(&self) {
        self.signal(Signal::TERM);
    }

    /// `SIGSTOP`: the process stands still until it is told to go on.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Sends `SIGCONT`: a paused node goes on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        let id = i32::try_from(self.child.id().expect("the node runs")).unwrap();
        Pid::from_raw(id).unwrap()
    }

    /// Lowers a limit of the running process.
    pub(crate) fn limit(&self, resource: Resource, to: u64) {
        let limit = Rlimit { current: Some(to), maximum: Some(to) };
        rustix::process::prlimit(Some(self.pid()), resource, limit).unwrap();
    }

    /// Descriptors that the process has open.
    pub(crate) fn open_files(&self) -> u64 {
        let id = self.pid().as_raw_nonzero();
        std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count() as u64
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        within("the end of the node", self.child.wait()).await.unwrap()
    }

    /// Whether the process is there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A path of this node.
    pub(crate) fn url(&self, path: &str) -> reqwest::Url {
        let scheme = if self.args.iter().any(|arg| arg == TLS[0]) { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address).parse().unwrap()
    }

    /// An HTTP client that keeps no connections.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Speaks to the node with another client.
    pub(crate) fn speak_with(&mut self, http: reqwest::Client) {
        self.http = http;
    }

    /// Sends a request.
    pub(crate) async fn send(&self, method: Method, path: &str, body: impl Into<String>) -> Answer {
        let request = self.http.request(method, self.url(path)).body(body.into());
        self.answer(request).await
    }

    /// Sends a request that the test has built.
    pub(crate) async fn answer(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = within("an answer", async {
            let response = request.send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok::<_, reqwest::Error>(Answer { status, headers, body: response.text().await? })
        });
        answer.await.unwrap_or_else(|error| panic!("{error:?}\n{}", self.log.text()))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<String>) -> Answer {
        self.send(Method::POST, path, body).await
    }

    /// Publishes to a path below `/api/sse/`; the log must have it.
    pub(crate) async fn publish(&self, to: &str, body: &Value) -> Published {
        let answer = self.post(&format!("/api/sse/{to}"), body.to_string()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        answer.json()
    }

    pub(crate) async fn metrics(&self) -> NodeMetrics {
        self.get("/api/sse/metrics").await.json()
    }

    pub(crate) async fn connections(&self, query: &str) -> ConnectionList {
        self.get(&format!("/api/sse/connections{query}")).await.json()
    }

    /// Everything that the log keeps, page by page.
    pub(crate) async fn history(&self) -> Vec<sse_lab::protocol::api::LogEvent> {
        let mut events = Vec::new();
        let mut after = "earliest".to_owned();
        loop {
            let page: History = self.get(&format!("/api/sse/history?limit=1000&after={after}")).await.json();
            assert_eq!(page.gap, None);
            events.extend(page.events);
            match page.next {
                Some(next) => after = next.to_string(),
                None => return events,
            }
        }
    }

    /// Waits for a line of the Prometheus text: what was written to a client is counted a moment later.
    pub(crate) async fn wait_for_line(&self, line: &str) {
        eventually(line, async || {
            let text = self.get("/metrics").await.body;
            text.lines().any(|known| known == line).then_some(())
        })
        .await;
    }

    /// Whether the node has written this to its log.
    pub(crate) fn said(&self, text: &str) -> bool {
        self.log.text().contains(text)
    }

    /// Waits for a text in the node's log.
    pub(crate) async fn wait_for_log(&self, text: &str) {
        eventually(text, async || self.said(text).then_some(())).await;
    }

    /// The rest of a line of the node's log, behind this text.
    pub(crate) async fn logged(&self, text: &str) -> String {
        eventually(text, async || {
            let log = self.log.text();
            let (rest, _) = log.split_once(text)?.1.split_once('\n')?;
            Some(rest.to_owned())
        })
        .await
    }

    /// Waits until this many streams are open.
    pub(crate) async fn wait_for_connections(&self, count: u64) {
        eventually("the number of open streams", async || {
            (self.metrics().await.active_connections == count).then_some(())
        })
        .await;
    }
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The problem of this status and code; its detail.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> String {
        let type_of_body = self.header("content-type");
        assert_eq!(
            (self.status.as_u16(), type_of_body),
            (status, Some("application/problem+json")),
            "{self:?}"
        );
        let problem: Problem = self.json();
        assert_eq!((problem.status, problem.code.as_str()), (status, code), "{self:?}");
        assert!(!problem.title.is_empty() && !problem.kind.is_empty(), "{self:?}");
        problem.detail
    }
}

/// A new API key and the line of its hash.
pub(crate) async fn api_key(args: &[&str]) -> (String, String) {
    let made = run(&[&["token", "--api-key"], args].concat()).await;
    let (key, line) = made.stdout.trim().split_once('\n').unwrap();
    (key.to_owned(), line.to_owned())
}

/// Runs the binary until it ends by itself.
pub(crate) async fn run(args: &[&str]) -> Output {
    let output =
        within("the end of the process", command(args).stdout(Stdio::piped()).output()).await.unwrap();
    Output {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// An address of the loopback network that no other server of these tests has. Clients come from 127.0.0.1, so a port
/// of a node that is down can be taken by nobody, and a client that knocks there cannot meet itself.
pub(crate) fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let process = u8::try_from(std::process::id() % 200).unwrap();
    Ipv4Addr::new(127, 20 + process, high, low)
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    for (name, _) in std::env::vars() {
        if name.starts_with("SSE_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

fn spawn(listen: SocketAddr, args: &[String], log: &Log, reader: &mut JoinSet<()>) -> Child {
    let listen = listen.to_string();
    let mut all = vec!["serve", "--listen", &listen, "--die-with-parent"];
    all.extend(args.iter().map(String::as_str));
    let mut child = command(&all).spawn().unwrap();
    let stderr = child.stderr.take().unwrap();
    reader.spawn(keep(stderr, log.clone()));
    child
}

/// Reads stderr to its end: a process whose pipe is full would stop.
async fn keep(stderr: ChildStderr, log: Log) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut text = log.0.lock().unwrap();
        text.push_str(&line);
        text.push('\n');
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- stderr of the node at {}:\n{}", self.address, self.log.text());
        }
    }
}
