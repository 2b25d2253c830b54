//! One child process: started with its output in files, signalled, ended and reaped. It never outlives its handle:
//! dropping it kills it, stopped or not. Read [`Process`] first.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

/// Time limit until a process is gone after SIGKILL: a core dump or a slow disk takes time.
const REAP_TIMEOUT: Duration = Duration::from_secs(10);

/// How to start a process. Kept, so that a restart is the same start again.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The process, for messages: `node n1`.
    pub what: String,
    /// Path of the executable.
    pub program: PathBuf,
    /// Command-line arguments of the executable.
    pub args: Vec<String>,
    /// stdout and stderr are appended to `<log>.stdout.log` and `<log>.stderr.log`.
    pub log: PathBuf,
}

/// A running child process.
#[derive(Debug)]
pub struct Process {
    what: String,
    child: Child,
    pid: Pid,
}

/// How a process ended after it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It ended by itself, with this status.
    ByItself(ExitStatus),
    /// It did not end within the grace, and was killed.
    Killed,
}

/// Why an operation on a process failed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// A file for its output cannot be opened.
    #[error("cannot open {path:?} for the output of {what}")]
    Output {
        what: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The executable cannot be started.
    #[error("cannot start {what} ({program:?})")]
    Start {
        what: String,
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The signal cannot be sent.
    #[error("cannot send {signal} to {what}")]
    Signal {
        what: String,
        signal: &'static str,
        #[source]
        source: io::Error,
    },
    /// Waiting for the end failed.
    #[error("cannot wait for the end of {what}")]
    Wait {
        what: String,
        #[source]
        source: io::Error,
    },
    /// It did not end after SIGKILL.
    #[error("{what} is still there {REAP_TIMEOUT:?} after SIGKILL")]
    Immortal { what: String },
}

impl Launch {
    /// Starts the process in a process group of its own, so that the terminal's ^C reaches the bench alone.
    ///
    /// Linux sends the parent-death signal, by which a node ends with its bench, when the *thread* that started it
    /// ends: never call this from a blocking-pool thread, which goes after ten idle seconds.
    ///
    /// # Errors
    /// The output files or the executable cannot be opened.
    pub fn start(&self) -> Result<Process, ProcessError> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(self.output("stdout")?)
            .stderr(self.output("stderr")?)
            .process_group(0)
            .kill_on_drop(true);
        let failed =
            |source| ProcessError::Start { what: self.what.clone(), program: self.program.clone(), source };
        let child = command.spawn().map_err(failed)?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| failed(io::Error::other("it has no process id")))?;
        Ok(Process { what: self.what.clone(), child, pid })
    }

    /// The file that receives the process's stdout or stderr.
    #[must_use]
    pub fn output_path(&self, stream: &str) -> PathBuf {
        let mut name = self.log.clone().into_os_string();
        name.push(format!(".{stream}.log"));
        name.into()
    }

    fn output(&self, stream: &str) -> Result<Stdio, ProcessError> {
        let path = self.output_path(stream);
        match OpenOptions::new().create(true).append(true).open(&path) {
            Ok(file) => Ok(file.into()),
            Err(source) => Err(ProcessError::Output { what: self.what.clone(), path, source }),
        }
    }

    /// The last lines that the process wrote to stderr, for a message about its failure.
    #[must_use]
    pub fn last_words(&self) -> String {
        last_lines(&self.output_path("stderr"), 5)
    }
}

fn last_lines(path: &Path, count: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

impl Process {
    /// The process id. Not reused before this handle has reaped the process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>, ProcessError> {
        self.child.try_wait().map_err(|source| ProcessError::Wait { what: self.what.clone(), source })
    }

    /// Waits until it ends. Cancel-safe.
    ///
    /// # Errors
    /// The system cannot tell.
    pub async fn ended(&mut self) -> Result<ExitStatus, ProcessError> {
        self.child.wait().await.map_err(|source| ProcessError::Wait { what: self.what.clone(), source })
    }

    /// Sends SIGSTOP: the process keeps its sockets and does nothing.
    ///
    /// # Errors
    /// The process is gone.
    pub fn pause(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::STOP, "SIGSTOP")
    }

    /// Sends SIGCONT.
    ///
    /// # Errors
    /// The process is gone.
    pub fn resume(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::CONT, "SIGCONT")
    }

    /// Sends SIGKILL, and returns when the process is gone and its port is free again.
    ///
    /// # Errors
    /// It was gone before, or did not go.
    pub async fn kill(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::KILL, "SIGKILL")?;
        self.reap().await
    }

    /// Sends SIGTERM, and SIGKILL after `grace`. A paused process is continued first, since it could not end otherwise.
    ///
    /// # Errors
    /// It was gone before, or did not go.
    pub async fn terminate(&mut self, grace: Duration) -> Result<Ended, ProcessError> {
        self.signal(Signal::TERM, "SIGTERM")?;
        match self.resume() {
            // It ended before the signal arrived.
            Err(_) if self.exited()?.is_some() => {}
            resumed => resumed?,
        }
        match tokio::time::timeout(grace, self.child.wait()).await {
            Ok(Ok(status)) => Ok(Ended::ByItself(status)),
            Ok(Err(source)) => Err(ProcessError::Wait { what: self.what.clone(), source }),
            Err(_) => self.kill().await.map(|()| Ended::Killed),
        }
    }

    fn signal(&mut self, signal: Signal, name: &'static str) -> Result<(), ProcessError> {
        let failed =
            |what: &str, source| ProcessError::Signal { what: what.to_owned(), signal: name, source };
        // `try_wait` reaps: without this call the id might belong to another process by now.
        if let Some(status) = self.exited()? {
            return Err(failed(&self.what, io::Error::other(format!("it has ended already: {status}"))));
        }
        rustix::process::kill_process(self.pid, signal).map_err(|source| failed(&self.what, source.into()))
    }

    async fn reap(&mut self) -> Result<(), ProcessError> {
        match tokio::time::timeout(REAP_TIMEOUT, self.child.wait()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(source)) => Err(ProcessError::Wait { what: self.what.clone(), source }),
            Err(_) => Err(ProcessError::Immortal { what: self.what.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(dir: &Path, script: &str) -> Launch {
        Launch {
            what: "a shell".to_owned(),
            program: "/bin/sh".into(),
            args: vec!["-c".to_owned(), script.to_owned()],
            log: dir.join("shell"),
        }
    }

    /// Waits until the process has written this line, which shows that its traps are set.
    async fn wait_for_line(launch: &Launch, line: &str) {
        let seen = async {
            while !std::fs::read_to_string(launch.output_path("stdout")).unwrap().contains(line) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), seen).await.expect("the shell says that it is ready");
    }

    fn state_of(pid: u32) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
    }

    async fn wait_for_state(pid: u32, state: char) {
        let seen = async {
            while state_of(pid) != state {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), seen).await.expect("the process reaches the state");
    }

    #[tokio::test]
    async fn a_process_that_heeds_sigterm_ends_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let launch =
            shell(dir.path(), "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done");
        let mut process = launch.start().unwrap();
        wait_for_line(&launch, "ready").await;
        let ended = process.terminate(Duration::from_secs(20)).await.unwrap();
        assert!(matches!(ended, Ended::ByItself(status) if status.code() == Some(7)), "{ended:?}");
        assert!(std::fs::read_to_string(launch.output_path("stdout")).unwrap().contains("bye"));
    }

    #[tokio::test]
    async fn a_process_that_ignores_sigterm_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let launch = shell(dir.path(), "trap '' TERM; echo ready; while :; do sleep 0.01; done");
        let mut process = launch.start().unwrap();
        wait_for_line(&launch, "ready").await;
        assert_eq!(process.terminate(Duration::from_millis(20)).await.unwrap(), Ended::Killed);
    }

    #[tokio::test]
    async fn a_paused_process_stands_still_and_can_still_be_ended() {
        let dir = tempfile::tempdir().unwrap();
        let launch = shell(dir.path(), "echo ready; while :; do sleep 0.01; done");
        let mut process = launch.start().unwrap();
        wait_for_line(&launch, "ready").await;
        process.pause().unwrap();
        wait_for_state(process.pid(), 'T').await;
        let ended = process.terminate(Duration::from_secs(20)).await.unwrap();
        assert!(matches!(ended, Ended::ByItself(_)), "{ended:?}");
    }

    #[tokio::test]
    async fn a_process_that_ends_at_once_was_ended_in_order() {
        let dir = tempfile::tempdir().unwrap();
        // `sleep` sometimes obeys SIGTERM faster than a second signal can be sent.
        for _ in 0..50 {
            let mut process = shell(dir.path(), "exec sleep 60").start().unwrap();
            let ended = process.terminate(Duration::from_secs(20)).await.unwrap();
            assert!(matches!(ended, Ended::ByItself(_)), "{ended:?}");
        }
    }

    #[tokio::test]
    async fn a_process_that_is_gone_cannot_be_signalled() {
        let dir = tempfile::tempdir().unwrap();
        let launch = shell(dir.path(), "echo why >&2; exit 3");
        let mut process = launch.start().unwrap();
        process.child.wait().await.unwrap();
        let error = process.kill().await.unwrap_err();
        assert!(
            matches!(&error, ProcessError::Signal { source, .. } if source.to_string().contains("ended"))
        );
        assert_eq!(launch.last_words(), "why");
    }

    #[tokio::test]
    async fn dropping_the_handle_kills_the_process_even_when_it_is_paused() {
        let dir = tempfile::tempdir().unwrap();
        let launch = shell(dir.path(), "echo ready; while :; do sleep 0.01; done");
        let mut process = launch.start().unwrap();
        wait_for_line(&launch, "ready").await;
        process.pause().unwrap();
        let stat = format!("/proc/{}/stat", process.pid());
        drop(process);
        let gone = async {
            // Until the runtime has reaped it, the entry stays as a zombie.
            while std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ")) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the process is killed");
    }

    #[test]
    fn a_missing_executable_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut launch = shell(dir.path(), "");
        launch.program = "/does/not/exist".into();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(async { launch.start().unwrap_err() });
        assert!(error.to_string().contains("/does/not/exist"), "{error}");
    }
}
