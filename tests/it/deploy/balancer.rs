//! nginx or HAProxy as a process, with the files of `deploy/`. Only what a site has to change is changed: port, nodes,
//! places of logs. Every change must find its text, so that no test runs with files that nobody ships. Read
//! [`Setup`] first.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use reqwest::Method;
use rustix::process::{Pid, Signal};
use sse_lab::client::{HttpOptions, Request, Stream, Trust, connect};
use tokio::net::TcpSocket;
use tokio::process::{Child, Command};

use crate::support::{Answer, Node, Raw, directory, eventually, own_address, within};

/// nginx or HAProxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Nginx,
    Haproxy,
}

/// A balancer as a test wants it.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    kind: Kind,
    sticky: &'static str,
    tls: bool,
    changes: Vec<(&'static str, String)>,
}

/// A running balancer.
pub(super) struct Balancer {
    kind: Kind,
    tls: bool,
    address: SocketAddr,
    directory: tempfile::TempDir,
    child: Child,
}

/// The nodes that the shipped files name.
const SHIPPED_NODES: [&str; 3] = ["backend-1:8080", "backend-2:8080", "backend-3:8080"];

/// A configuration file, by its path in this repository.
pub(super) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Daemons live in directories that are not always on a user's `PATH`.
pub(super) fn program(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).stdin(Stdio::null());
    command
}

/// A text with one thing in it replaced, which must be there.
#[track_caller]
pub(super) fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in\n{text}");
    text.replace(from, to)
}

/// An address that nobody uses.
pub(super) fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind((own_address(), 0)).unwrap();
    listener.local_addr().unwrap()
}

impl Kind {
    /// The variant that the shipped file has switched on.
    fn shipped_sticky(self) -> &'static str {
        match self {
            Self::Nginx => "ip_hash",
            Self::Haproxy => "source",
        }
    }

    /// Starts the configuration as it is shipped.
    pub(super) fn setup(self) -> Setup {
        Setup { kind: self, sticky: self.shipped_sticky(), tls: false, changes: Vec::new() }
    }
}

impl Setup {
    /// With another way to bring a client back to its node.
    pub(super) fn sticky(mut self, sticky: &'static str) -> Self {
        self.sticky = sticky;
        self
    }

    /// With TLS and HTTP/2, by the lines that the shipped files have as comments.
    pub(super) fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// With a text of its files changed, to show what a line is good for, or to make it quicker.
    pub(super) fn change(mut self, from: &'static str, to: impl Into<String>) -> Self {
        self.changes.push((from, to.into()));
        self
    }

    /// As [`Setup::change`], where the two programs say it differently.
    pub(super) fn change_either(self, nginx: (&'static str, &str), haproxy: (&'static str, &str)) -> Self {
        let (from, to) = match self.kind {
            Kind::Nginx => nginx,
            Kind::Haproxy => haproxy,
        };
        self.change(from, to)
    }

    /// Starts it in front of real nodes.
    pub(super) async fn start(self, nodes: &[Node]) -> Balancer {
        let addresses: Vec<_> = nodes.iter().map(Node::address).collect();
        self.start_before(&addresses).await
    }

    /// Starts it in front of whoever listens there.
    pub(super) async fn start_before(self, nodes: &[SocketAddr]) -> Balancer {
        let nodes: [SocketAddr; 3] = nodes.try_into().expect("the shipped files name three nodes");
        let (address, directory) = (free_address(), directory());
        let mut command = match self.kind {
            Kind::Nginx => self.nginx(directory.path(), address, nodes),
            Kind::Haproxy => self.haproxy(directory.path(), address, nodes),
        };
        let log = std::fs::File::create(directory.path().join("output.log")).unwrap();
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap_or_else(|error| {
            panic!("{:?} does not start: {error}; `make setup` installs it", self.kind)
        });
        let mut balancer = Balancer { kind: self.kind, tls: self.tls, address, directory, child };
        balancer.wait_until_ready().await;
        balancer
    }

    /// What the program says about its files, without running.
    pub(super) fn warnings(&self) -> String {
        let directory = directory();
        let nodes = [free_address(), free_address(), free_address()];
        let mut command = match self.kind {
            Kind::Nginx => self.nginx(directory.path(), free_address(), nodes),
            Kind::Haproxy => self.haproxy(directory.path(), free_address(), nodes),
        };
        let output = match self.kind {
            Kind::Nginx => command.arg("-t").as_std_mut().output().unwrap(),
            Kind::Haproxy => command.arg("-c").as_std_mut().output().unwrap(),
        };
        let text = String::from_utf8(output.stderr).unwrap();
        // nginx says that all is well, HAProxy which version it is.
        let unimportant = ["syntax is ok", "test is successful", "[NOTICE]"];
        let important = text.lines().filter(|line| !unimportant.iter().any(|words| line.contains(words)));
        let important: Vec<_> = important.collect();
        important.join("\n")
    }

    /// The changed files; each change must concern one of them.
    fn write(&self, directory: &Path, mut files: Vec<(PathBuf, String)>) {
        for (from, to) in &self.changes {
            let mut found = false;
            for (_, text) in &mut files {
                found |= text.contains(from);
                *text = text.replace(from, to);
            }
            assert!(found, "{from:?} is in no file of {:?}", self.kind);
        }
        for (path, text) in files {
            let path = directory.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    fn nginx(&self, directory: &Path, address: SocketAddr, nodes: [SocketAddr; 3]) -> Command {
        let place = directory.display();
        let mut files = Vec::new();
        for path in
            ["nginx.conf", "nodes.conf", "site.conf", "trusted.conf"].into_iter().chain(NGINX_STICKY_FILES)
        {
            let text = std::fs::read_to_string(repository("deploy/nginx").join(path)).unwrap();
            files.push((PathBuf::from(path), text));
        }
        let sticky = format!("include sticky/{}.conf;", self.sticky);
        files[0].1 = replaced(&files[0].1, "include sticky/ip_hash.conf;", &sticky);
        for (shipped, node) in SHIPPED_NODES.iter().zip(nodes) {
            files[1].1 = replaced(&files[1].1, shipped, &node.to_string());
        }
        files[2].1 = if self.tls {
            let text = replaced(&files[2].1, "listen 80 default_server;", "");
            let text = replaced(&text, "# listen 443 ssl ", &format!("listen {address} ssl "));
            let text = replaced(&text, "# ssl_certificate", "ssl_certificate");
            let certificate = repository("tests/tls/cert.pem").display().to_string();
            let text = replaced(&text, "/etc/nginx/tls/site.pem", &certificate);
            replaced(&text, "/etc/nginx/tls/site.key", &repository("tests/tls/key.pem").display().to_string())
        } else {
            replaced(&files[2].1, "listen 80 ", &format!("listen {address} "))
        };
        files[2].1 = replaced(&files[2].1, "/var/log/nginx/access.log", &format!("{place}/access.log"));
        // Where nginx may write if it is not started by root.
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            files[2].1.push_str(&format!("{kind}_temp_path {place}/{kind};\n"));
        }
        self.write(directory, files);
        let mut command = program("nginx");
        let own = format!("daemon off; pid {place}/nginx.pid;");
        command.args(["-e", &format!("{place}/error.log"), "-c", &format!("{place}/nginx.conf"), "-g", &own]);
        command
    }

    fn haproxy(&self, directory: &Path, address: SocketAddr, nodes: [SocketAddr; 3]) -> Command {
        let mut text = std::fs::read_to_string(repository("deploy/haproxy/haproxy.cfg")).unwrap();
        if !rustix::process::geteuid().is_root() {
            text = replaced(&text, "  user haproxy\n  group haproxy\n", "");
        }
        self.write(directory, vec![(PathBuf::from("haproxy.cfg"), text)]);
        let mut command = program("haproxy");
        command.arg("-db").arg("-f").arg(directory.join("haproxy.cfg")).kill_on_drop(true);
        command.env("SSE_STICKY", self.sticky).env("SSE_BIND", self.haproxy_bind(directory, address));
        for (number, node) in (1..).zip(nodes) {
            command.env(format!("BACKEND_{number}"), node.to_string());
        }
        command
    }
}

impl Setup {
    /// What HAProxy listens on, as the file has it.
    fn haproxy_bind(&self, directory: &Path, address: SocketAddr) -> String {
        if !self.tls {
            return address.to_string();
        }
        let read = |path| std::fs::read_to_string(repository(path)).unwrap();
        let both = directory.join("site.pem");
        std::fs::write(&both, read("tests/tls/cert.pem") + &read("tests/tls/key.pem")).unwrap();
        let shipped = read("deploy/haproxy/haproxy.cfg");
        let (_, line) = shipped.split_once("# presetenv SSE_BIND \"").unwrap();
        let bind = replaced(line.split('"').next().unwrap(), ":443 ", &format!("{address} "));
        replaced(&bind, "/etc/haproxy/site.pem", &both.display().to_string())
    }
}

const NGINX_STICKY_FILES: [&str; 3] = ["sticky/ip_hash.conf", "sticky/cookie.conf", "sticky/client_id.conf"];

impl Balancer {
    async fn wait_until_ready(&mut self) {
        let address = self.address;
        eventually("a balancer that listens", async || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{:?} ended with {status}:\n{}", self.kind, self.logs());
            }
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
    }

    /// `SIGHUP`: read the files again.
    pub(super) fn reload(&self) {
        let id = i32::try_from(self.child.id().expect("the balancer runs")).unwrap();
        rustix::process::kill_process(Pid::from_raw(id).unwrap(), Signal::HUP).unwrap();
    }

    fn logs(&self) -> String {
        let read = |name| std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        format!("{}{}{}", read("output.log"), read("error.log"), read("access.log"))
    }

    pub(super) fn url(&self, path: &str) -> reqwest::Url {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address).parse().unwrap()
    }

    /// A request from 127.0.0.1.
    pub(super) async fn send(&self, method: Method, path: &str, body: &str) -> Answer {
        self.send_from(Ipv4Addr::LOCALHOST, method, path, body).await
    }

    /// A request from an address.
    pub(super) async fn send_from(&self, from: Ipv4Addr, method: Method, path: &str, body: &str) -> Answer {
        self.answer(from, self.http(from).request(method, self.url(path)).body(body.to_owned())).await
    }

    /// A request that the test has built, with [`Balancer::http`].
    pub(super) async fn answer(&self, from: Ipv4Addr, request: reqwest::RequestBuilder) -> Answer {
        let answer = within("an answer of the balancer", async {
            let response = request.send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok::<_, reqwest::Error>(Answer { status, headers, body: response.text().await? })
        });
        answer.await.unwrap_or_else(|error| panic!("from {from}: {error:?}\n{}", self.logs()))
    }

    pub(super) fn http(&self, from: Ipv4Addr) -> reqwest::Client {
        let options = HttpOptions {
            local_address: Some(IpAddr::V4(from)),
            trust: Trust::Only(Vec::new()),
            ..HttpOptions::default()
        };
        options.build().unwrap()
    }

    /// Opens a stream as a client would.
    pub(super) async fn stream(&self, query: &str) -> Stream {
        self.stream_after(query, None).await
    }

    /// Opens a stream as a client would that comes back.
    pub(super) async fn stream_after(&self, query: &str, last_event_id: Option<&str>) -> Stream {
        let mut request = Request::new(self.url(&format!("/api/sse/stream?{query}")));
        if let Some(id) = last_event_id {
            request.headers.insert("last-event-id", id.parse().unwrap());
        }
        within("a stream", connect(&self.http(Ipv4Addr::LOCALHOST), &request)).await.unwrap()
    }

    /// The head of the answer to a stream request, and the connection, which ends the stream when it is dropped.
    pub(super) async fn head(&self, from: Ipv4Addr, query: &str, cookie: Option<&str>) -> (String, Raw) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        let mut raw = Raw::over(within("a connection", socket.connect(self.address)).await.unwrap());
        let cookie = cookie.map_or_else(String::new, |cookie| format!("Cookie: {cookie}\r\n"));
        raw.send(&format!("GET /api/sse/stream?{query} HTTP/1.1\r\nHost: sse.example\r\n{cookie}\r\n")).await;
        let head = raw.until("\r\n\r\n").await;
        (head, raw)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- logs of {:?} at {}:\n{}", self.kind, self.address, self.logs());
        }
        // The workers of an nginx that was killed would live on; one that was told to end takes them along.
        if let Some(id) = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap())) {
            let _gone = rustix::process::kill_process(id, Signal::TERM);
        }
    }
}
