//! A Redis of a test's own: on a free port, with nothing on the disk, killed when the test drops it, and also when the
//! test process dies. Needs Debian's redis-server. Read [`Redis`] first.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{eventually, within};

/// A shell that starts the server and kills it when its own input ends: with this process, however that came about.
const KEEPER: &str = r#"
    exec 3<&0
    redis-server "$@" >/dev/null 2>&1 &
    server=$!
    (read -r _; kill -9 $server) <&3 &
    wait $server
    kill -9 $! 2>/dev/null
"#;

/// A running server.
pub(crate) struct Redis {
    keeper: Child,
    port: u16,
    args: Vec<String>,
    dir: tempfile::TempDir,
}

impl Redis {
    /// Starts a server that keeps nothing on the disk, and waits until it answers.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--appendonly", "no"]).await
    }

    /// Starts a server with these arguments, and waits until it answers.
    pub(crate) async fn start_with(args: &[&str]) -> Self {
        let port = free_port();
        let own = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""];
        let args: Vec<_> = own.iter().chain(args).map(|arg| (*arg).to_owned()).collect();
        let dir = tempfile::tempdir().unwrap();
        let redis = Self { keeper: launch(&args, dir.path()), port, args, dir };
        redis.wait_until_it_answers().await;
        redis
    }

    /// Starts it again where it was, after [`Redis::kill`].
    pub(crate) async fn restart(&mut self) {
        self.keeper = launch(&self.args, self.dir.path());
        self.wait_until_it_answers().await;
    }

    async fn wait_until_it_answers(&self) {
        eventually("an answer of Redis", async || {
            self.command("PING").await.ok().filter(|answer| answer.contains("PONG"))
        })
        .await;
    }

    /// As `--broker` takes it.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What it answers to a command, as far as it comes at once.
    pub(crate) async fn command(&self, command: &str) -> std::io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut socket = TcpStream::connect(address).await?;
        socket.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut answer = vec![0; 4_096];
        let length = within("an answer of Redis", socket.read(&mut answer)).await?;
        answer.truncate(length);
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// `SIGKILL`, by its keeper.
    pub(crate) async fn kill(&mut self) {
        drop(self.keeper.stdin.take());
        within("the end of Redis", self.keeper.wait()).await.unwrap();
    }
}

fn launch(args: &[String], dir: &std::path::Path) -> Child {
    let mut keeper = Command::new("sh");
    keeper.args(["-c", KEEPER, "sh"]).args(args).current_dir(dir);
    keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    keeper.spawn().unwrap()
}

/// Below the range from which the kernel takes the ports of clients: a port there may be taken by one at any time.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = rand::random_range(10_000..32_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
