//! `sse-bench` as a user runs it: the real executable, its exit code, what it prints and what it leaves behind.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use axum::Router;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// Longest time that one command may take on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A directory with a scenario in it.
#[derive(Debug)]
pub(crate) struct Lab {
    dir: TempDir,
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// `null` where there is no report.
    pub(crate) report: Value,
}

/// Serves an application on a free port; the URL, and the server, which ends when it is dropped.
pub(crate) async fn serve(app: Router) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
    (base, serving)
}

/// An `sse-bench` command.
pub(crate) fn bench(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sse-bench"));
    command.args(args).kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Waits for the end of a command.
pub(crate) async fn in_time(output: impl Future<Output = std::io::Result<Output>>) -> Output {
    tokio::time::timeout(TIMEOUT, output).await.expect("the command comes to an end").unwrap()
}

impl Lab {
    pub(crate) fn new(scenario: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("scenario.toml"), scenario).unwrap();
        Self { dir }
    }

    pub(crate) fn scenario(&self) -> PathBuf {
        self.dir.path().join("scenario.toml")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// `run` on the scenario, with more arguments behind it.
    pub(crate) fn command(&self, more: &[&str]) -> Command {
        let mut command = bench(&["run"]);
        command.arg(self.scenario()).arg("--out").arg(self.out()).args(more).current_dir(self.dir.path());
        command
    }

    pub(crate) async fn run(&self, more: &[&str]) -> Ran {
        let output = in_time(self.command(more).output()).await;
        self.ran(&output)
    }

    /// Starts a run that the test will interfere with.
    pub(crate) fn start(&self) -> Child {
        self.command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn ran(&self, output: &Output) -> Ran {
        let report = std::fs::read(self.out().join("report.json")).unwrap_or_default();
        Ran {
            code: output.status.code(),
            stdout: unbroken(&output.stdout),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            report: serde_json::from_slice(&report).unwrap_or(Value::Null),
        }
    }

    /// Waits until a line of `live.jsonl` holds this text.
    pub(crate) async fn until_live(&self, text: &str) {
        let file = self.out().join("live.jsonl");
        let written = async {
            while !std::fs::read_to_string(&file).is_ok_and(|lines| lines.contains(text)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, written).await.unwrap_or_else(|_| panic!("no line with {text}"));
    }

    /// Where node n1 listens, once it says so.
    pub(crate) async fn node_address(&self) -> String {
        let log = self.out().join("n1.stderr.log");
        let found = async {
            loop {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                let address = text.split_once("http://").map(|(_, rest)| rest);
                if let Some((address, _)) = address.and_then(|rest| rest.split_once(' ')) {
                    return address.to_owned();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, found).await.expect("the node says where it listens")
    }
}

/// What the run stored is judged like the run: the same exit code, the same report.
pub(crate) async fn check_evidence(lab: &Lab, ran: &Ran) {
    let mut command = bench(&["check", "--format", "json"]);
    let again = in_time(command.arg(lab.out()).output()).await;
    let stderr = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), ran.code, "{stderr}");
    let report: Value = serde_json::from_slice(&again.stdout).expect("check prints a report");
    assert_eq!(report, ran.report, "{stderr}");
}

/// The exit code of `check`, and what it says.
pub(crate) async fn check(dir: &Path) -> (Option<i32>, String) {
    let output = in_time(bench(&["check"]).arg(dir).output()).await;
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), unbroken(&text))
}

/// A text whose sentences are not broken into lines: these go on below nine columns.
pub(crate) fn unbroken(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace("\n         ", " ")
}

/// Waits until nobody listens on the address any more.
pub(crate) async fn until_nobody_listens(address: &str) {
    let gone = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, gone).await.expect("the node ends with its bench");
}
