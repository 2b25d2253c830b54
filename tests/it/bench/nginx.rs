//! An nginx of a test's own: a single process, which leaves nothing behind when it is killed. Read [`Nginx::start`] first.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};

/// One that runs until it is dropped.
pub(super) struct Nginx {
    dir: TempDir,
    _process: Child,
}

impl Nginx {
    /// Starts it with a configuration that listens on this address and says `daemon off; master_process off;`, and waits
    /// until it does.
    pub(super) async fn start(address: SocketAddr, configuration: &str) -> Self {
        assert!(configuration.contains("daemon off; master_process off;"), "{configuration}");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        // Debian keeps servers where a user's PATH may not lead.
        let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("nginx");
        command.env("PATH", path).args(["-e", "stderr", "-p"]).arg(dir.path()).arg("-c").arg(&file);
        let log = std::fs::File::create(dir.path().join("stderr")).unwrap();
        let process = command.stdin(Stdio::null()).stderr(log).kill_on_drop(true).spawn();
        let nginx = Self { dir, _process: process.expect("nginx is there") };
        nginx.wait_for(address).await;
        nginx
    }

    /// Holds its configuration, logs and temporary files.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    async fn wait_for(&self, address: SocketAddr) {
        let listens = async {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), listens).await;
        let log = std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
        assert!(in_time.is_ok(), "nginx did not start: {log}");
    }
}
