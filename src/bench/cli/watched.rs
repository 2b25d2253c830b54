//! `run --tui`: the run goes on in a process of its own, and the console follows it in the terminal. Nothing is drawn
//! where anything is measured. Read [`run`] first.

use std::ffi::OsString;
use std::fs::File;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::args::RunArgs;
use super::{output, run};
use crate::bench::verdict::Exit;
use crate::runtime::exit::Failure;

/// The flag that is left out when the run is started.
const FLAG: &str = "--tui";
/// What the run says beside its result.
const LOG: &str = "bench.log";
/// What the run prints as its result.
const RESULT: &str = "bench.out";
const CONSOLE: &str = "sse-tui";

/// Starts the run and the console, and ends with the run's result and exit code.
pub(super) async fn run(args: &RunArgs, interrupt: &CancellationToken) -> Result<u8, Failure> {
    if !std::io::stdout().is_terminal() {
        return Err(Failure::new(Exit::Usage.code(), "--tui needs a terminal, and standard output is none")
            .tip("without it the same run tells its progress in lines"));
    }
    let dir = dir(args)?;
    let console = console()?;
    std::fs::create_dir_all(&dir).map_err(|error| cannot("create", &dir, &error))?;
    let mut bench = bench(args, &dir)?;
    let watching = watch(&console, &dir);
    let code = tokio::select! {
        // Whoever leaves the console leaves the run alone: it tells its result when it is over.
        watched = watching => {
            watched?;
            wait(&mut bench, &dir, interrupt).await?
        }
        () = interrupt.cancelled() => wait(&mut bench, &dir, interrupt).await?,
    };
    let result = dir.join(RESULT);
    let text = std::fs::read(&result).map_err(|error| cannot("read", &result, &error))?;
    output::print_bytes(&text)?;
    Ok(code)
}

/// Where the run writes: one run, whose directory is known before it begins.
fn dir(args: &RunArgs) -> Result<PathBuf, Failure> {
    let [scenario] = &args.scenarios[..] else {
        return Err(Failure::new(Exit::Usage.code(), "--tui follows one scenario, and several are given"));
    };
    if args.repeat.is_some() || args.until_fail {
        return Err(Failure::new(
            Exit::Usage.code(),
            "--tui follows one run, so not with --repeat, --until-fail",
        ));
    }
    // Mistakes of the scenario are told before the console takes the terminal.
    let (_, scenario) = run::read(scenario, &args.changes)
        .map_err(|problem| Failure::new(Exit::BadScenario.code(), problem))?;
    Ok(args.out.clone().unwrap_or_else(|| run::dir_of(&scenario, SystemTime::now())))
}

/// The console beside this program, or the one that is installed.
fn console() -> Result<PathBuf, Failure> {
    let beside = std::env::current_exe().ok().map(|path| path.with_file_name(CONSOLE));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|dir| dir.join(CONSOLE));
    beside.into_iter().chain(installed).find(|path| path.is_file()).ok_or_else(|| {
        Failure::new(
            Exit::Usage.code(),
            "--tui needs the console, and there is no sse-tui beside sse-bench or in PATH",
        )
    })
}

/// The same command line without the flag, in a process that ends with this one.
fn bench(args: &RunArgs, dir: &Path) -> Result<Child, Failure> {
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
    command.args(words).env_remove("SSE_BENCH_TUI").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(file(RESULT)?).stderr(file(LOG)?);
    command
        .spawn()
        .map_err(|error| Failure::new(Exit::Internal.code(), format!("cannot start the run: {error}")))
}

async fn watch(console: &Path, dir: &Path) -> Result<(), Failure> {
    let mut command = Command::new(console);
    command.arg("--run").arg(dir).kill_on_drop(true);
    let status = command.status().await.map_err(|error| cannot("start", console, &error))?;
    if !status.success() {
        tracing::warn!(%status, "the console ended, the run goes on");
    }
    Ok(())
}

/// The run's exit code. An interrupt reached it as well: it is in the same group of the terminal.
async fn wait(bench: &mut Child, dir: &Path, interrupt: &CancellationToken) -> Result<u8, Failure> {
    if matches!(bench.try_wait(), Ok(None)) && !interrupt.is_cancelled() {
        tracing::info!(log = %dir.join(LOG).display(), "the run goes on; ^C ends it");
    }
    let status = bench.wait().await.map_err(|error| Failure::new(Exit::Internal.code(), error))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(Exit::Internal.code()))
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Internal.code(), format!("cannot {what} {}: {error}", path.display()))
}
