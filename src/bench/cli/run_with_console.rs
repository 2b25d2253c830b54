//! `run --tui`: starts the run in a process of its own, and the console in the terminal, so that drawing never disturbs
//! the measurement. A signal ends both in order: the terminal is restored and the run stops its nodes. Read [`run`] first.

use std::ffi::OsString;
use std::fs::File;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until};

use super::output;
use super::run::RunArgs;
use super::shared;
use crate::bench::exit::Exit;
use crate::bench::run::forget;
use crate::runtime::Signals;
use crate::runtime::exit::Failure;

/// The flag that the run's own command line lacks.
const FLAG: &str = "--tui";
/// File for the run's log, in its directory.
const LOG: &str = "bench.log";
/// File for the run's stdout, in its directory.
const RESULT: &str = "bench.out";
const CONSOLE: &str = "sse-tui";

/// Time limit for the console to restore the terminal.
const CONSOLE_GRACE: Duration = Duration::from_secs(5);
/// Time limit for the run to end its processes after the second signal.
const BENCH_GRACE: Duration = Duration::from_secs(10);

/// Starts the run and the console, and ends with the run's result and exit code.
pub(super) async fn run(args: &RunArgs, signals: &mut Signals) -> Result<u8, Failure> {
    if !std::io::stdout().is_terminal() {
        return Err(Failure::new(Exit::Usage.code(), "--tui needs a terminal, and stdout is not a terminal")
            .tip("without --tui the run prints progress lines"));
    }
    let dir = dir(args)?;
    let console = console()?;
    std::fs::create_dir_all(&dir).map_err(|error| cannot("create the directory", &dir, &error))?;
    // The console must not mistake an earlier run's live.jsonl for this run's.
    forget(&dir).map_err(|(path, error)| cannot("remove", &path, &error))?;
    let mut bench = bench(args, &dir)?;
    let console = match watch(&console, &dir) {
        Ok(console) => console,
        Err(failure) => {
            bench.ask_to_end();
            bench.end().await?;
            return Err(failure);
        }
    };
    let status = Watched { bench, console, asked: 0, log: dir.join(LOG) }.both(signals).await?;
    let result = dir.join(RESULT);
    let text = std::fs::read(&result).map_err(|error| cannot("read", &result, &error))?;
    output::print_bytes(&text)?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(Exit::Internal.code()))
}

/// The two processes until both have ended.
struct Watched {
    bench: Part,
    console: Part,
    /// Number of signals received.
    asked: u32,
    log: PathBuf,
}

impl Watched {
    /// Waits for both. The run goes on when a user leaves the console, and prints its result at the end.
    async fn both(mut self, signals: &mut Signals) -> Result<ExitStatus, Failure> {
        loop {
            if let (Some(status), Some(_)) = (self.bench.status, self.console.status) {
                return Ok(status);
            }
            tokio::select! {
                name = signals.next() => self.interrupt(name),
                ended = self.console.end() => self.left(ended?),
                ended = self.bench.end() => { ended?; }
            }
        }
    }

    /// The first signal ends the console and asks the run to end in order; the second asks the run to stop at once; the
    /// third kills it.
    fn interrupt(&mut self, name: &'static str) {
        self.asked += 1;
        let now = Instant::now();
        match self.asked {
            1 => {
                self.console.ask_to_end();
                self.console.deadline = Some(now + CONSOLE_GRACE);
                self.bench.ask_to_end();
            }
            2 => {
                self.bench.ask_to_end();
                self.bench.deadline = Some(now + BENCH_GRACE);
            }
            _ => self.bench.deadline = Some(now),
        }
        // The terminal belongs to the console until it has ended.
        if self.console.status.is_some() {
            self.tell_of_the_end(name);
        }
    }

    fn left(&self, status: ExitStatus) {
        if !status.success() {
            tracing::warn!(%status, "the console ended before the run");
        }
        if self.bench.status.is_none() && self.asked == 0 {
            tracing::info!(log = %self.log.display(), "the run goes on; ^C stops it");
        } else if self.bench.status.is_none() {
            self.tell_of_the_end("a signal");
        }
    }

    fn tell_of_the_end(&self, signal: &str) {
        if self.asked == 1 {
            tracing::warn!(
                signal,
                "the run stops: faults are healed, servers are stopped, the report is written; a second signal stops it at once"
            );
        } else {
            tracing::warn!(signal, "the run stops at once");
        }
    }
}

/// One of the two processes.
struct Part {
    /// The name of its program, for messages.
    name: &'static str,
    child: Child,
    status: Option<ExitStatus>,
    /// When to kill it; `None`: never.
    deadline: Option<Instant>,
}

impl Part {
    fn start(name: &'static str, command: &mut Command) -> std::io::Result<Self> {
        // Reached only when this process fails; otherwise both are awaited.
        Ok(Self { name, child: command.kill_on_drop(true).spawn()?, status: None, deadline: None })
    }

    fn ask_to_end(&self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id
            && let Err(error) = kill_process(id, Signal::TERM)
        {
            tracing::warn!(%error, "cannot send SIGTERM to {}", self.name);
        }
    }

    /// Waits for its end, and kills it at the deadline. Never returns again after it has returned once. Cancel-safe.
    async fn end(&mut self) -> Result<ExitStatus, Failure> {
        if self.status.is_some() {
            std::future::pending::<()>().await;
        }
        let late = async |deadline| match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        };
        let status = tokio::select! {
            status = self.child.wait() => status,
            () = late(self.deadline) => {
                self.deadline = None;
                self.child.start_kill().map_err(internal)?;
                self.child.wait().await
            }
        };
        let status = status.map_err(internal)?;
        self.status = Some(status);
        Ok(status)
    }
}

/// The directory of the run, which must be known before it starts: so one scenario, run once.
fn dir(args: &RunArgs) -> Result<PathBuf, Failure> {
    let [scenario] = &args.scenarios[..] else {
        return Err(Failure::new(
            Exit::Usage.code(),
            "--tui cannot be used with several scenarios, because it follows one run",
        ));
    };
    if args.repeat.is_some() || args.until_fail {
        return Err(Failure::new(
            Exit::Usage.code(),
            "--tui cannot be used with --repeat or --until-fail, because it follows one run",
        ));
    }
    // Problems of the scenario are reported before the console takes the terminal.
    let (_, scenario) = shared::read(scenario, &args.changes)
        .map_err(|problem| Failure::new(Exit::BadScenario.code(), problem))?;
    Ok(args.out.clone().unwrap_or_else(|| shared::dir_of(&scenario, SystemTime::now())))
}

/// The `sse-tui` beside this program, else the one in PATH.
fn console() -> Result<PathBuf, Failure> {
    let beside = std::env::current_exe().ok().map(|path| path.with_file_name(CONSOLE));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|dir| dir.join(CONSOLE));
    beside.into_iter().chain(installed).find(|path| path.is_file()).ok_or_else(|| {
        Failure::new(Exit::Usage.code(), "--tui needs sse-tui, which is neither beside sse-bench nor in PATH")
    })
}

/// The same command line without the flag, in a process group of its own: a ^C of the terminal reaches the run once,
/// through this process, since a second signal would stop it at once.
fn bench(args: &RunArgs, dir: &Path) -> Result<Part, Failure> {
    let file = |name: &str| {
        let path = dir.join(name);
        File::create(&path).map_err(|error| cannot("write", &path, &error))
    };
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(Exit::Internal.code(), format!("cannot find this program: {error}")))?;
    let mut words: Vec<OsString> = std::env::args_os().skip(1).filter(|word| word != FLAG).collect();
    if args.out.is_none() {
        words.extend(["--out".into(), dir.into()]);
    }
    let mut command = Command::new(program);
    command.args(words).env_remove("SSE_BENCH_TUI").process_group(0);
    command.stdin(Stdio::null()).stdout(file(RESULT)?).stderr(file(LOG)?);
    Part::start("sse-bench", &mut command)
        .map_err(|error| Failure::new(Exit::Internal.code(), format!("cannot start the run: {error}")))
}

fn watch(console: &Path, dir: &Path) -> Result<Part, Failure> {
    let mut command = Command::new(console);
    command.arg("--run").arg(dir);
    Part::start(CONSOLE, &mut command).map_err(|error| cannot("start", console, &error))
}

fn internal(error: std::io::Error) -> Failure {
    Failure::new(Exit::Internal.code(), error)
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Internal.code(), format!("cannot {what} {}: {error}", path.display()))
}
