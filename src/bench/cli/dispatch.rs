//! What `sse-bench` does with its command line. Results go to stdout, everything else to stderr; the exit code is the
//! worst of everything. Read [`main`] first.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _};
use tokio_util::sync::CancellationToken;

use super::args::{Cli, Command, DoctorArgs};
use super::{check, compare, merge, new, output, proxy, publish, report, run, run_with_console, swarm, up};
use crate::bench::exit::Exit;
use crate::bench::load::workers::worker;
use crate::bench::run::doctor::{self, Limits, Need};
use crate::bench::scenario;
use crate::runtime::exit::Failure;
use crate::runtime::secrets::refusal;
use crate::runtime::{Signals, manual, rlimit, telemetry};

/// Publishes in flight that `doctor` assumes.
const USUAL_PUBLISHES: u64 = 256;

/// Runs the command line and returns the exit code of the process.
///
/// # Errors
/// A failure before there was a run to judge, with its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> Result<u8, Failure> {
    let cli = match read(args) {
        Ok(cli) => cli,
        // Also `--help` and `--version`, which clap sends to stdout with code 0.
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage.code() } else { Exit::Pass.code() };
            refusal(error).print().map_err(|source| Failure::new(Exit::Internal.code(), source))?;
            return Ok(code);
        }
    };
    let is_quiet = cli.quiet || matches!(&cli.command, Command::Run(args) if args.q);
    telemetry::init(cli.log_format, filter(cli.verbose, is_quiet));
    match &cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "sse-bench", &mut script);
            output::print_bytes(&script)
        }
        Command::Man { command } => output::print_bytes(&manual::page(Cli::command(), command.as_deref())?),
        Command::Schema { report: false } => output::print(&scenario::schema()),
        Command::Schema { report: true } => output::print(&crate::bench::report::schema()),
        Command::New(args) => new::run(args),
        Command::Doctor(args) => examine(args),
        Command::Validate(args) => run::validate(args),
        Command::Check(args) => check::run(args),
        Command::Merge(args) => merge::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Report(args) => report::write(args),
        Command::Worker => {
            worker::die_with_parent().map_err(|error| Failure::new(Exit::Internal.code(), error))?;
            on_runtime(&cli)
        }
        Command::Run(_) | Command::Swarm(_) | Command::Publish(_) | Command::Up(_) | Command::Proxy(_) => {
            on_runtime(&cli)
        }
    }
}

/// Parses the command line and the variables of its flags.
fn read(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(args)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    let trusted = match &mut cli.command {
        Command::Run(args) => Some(&mut args.changes.trusted),
        Command::Validate(args) => Some(&mut args.changes.trusted),
        Command::Swarm(args) => Some(&mut args.trusted),
        Command::Publish(args) => Some(&mut args.trusted),
        _ => None,
    };
    if let (Some(trusted), Some((_, matches))) = (trusted, matches.subcommand()) {
        trusted.settle(matches).map_err(|why| command.error(ErrorKind::ArgumentConflict, why))?;
    }
    Ok(cli)
}

fn filter(verbose: u8, quiet: bool) -> &'static str {
    // The certificate verifier logs at each connect; the errors already hold what it says.
    match (quiet, verbose) {
        (true, _) => "warn,rustls_platform_verifier=off",
        (false, 0) => "sse_lab=info,warn,rustls_platform_verifier=off",
        (false, 1) => "sse_lab=debug,info,rustls_platform_verifier=off",
        (false, _) => "sse_lab=trace,debug",
    }
}

fn on_runtime(cli: &Cli) -> Result<u8, Failure> {
    rlimit::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Internal.code(), error))?;
    runtime.block_on(with_signals(cli))
}

/// The first ^C, or a closed terminal, asks for an orderly end. The second one ends at once: the dropped handles kill
/// their processes.
async fn with_signals(cli: &Cli) -> Result<u8, Failure> {
    let signals = Signals::listen_to_the_terminal();
    let mut signals = signals.map_err(|error| Failure::new(Exit::Internal.code(), error))?;
    if let Command::Run(args) = &cli.command
        && args.tui
        && !args.no_tui
    {
        // This command handles signals itself.
        return run_with_console::run(args, &mut signals).await;
    }
    let interrupt = CancellationToken::new();
    let mut work = std::pin::pin!(dispatch(cli, &interrupt));
    let first = tokio::select! {
        result = &mut work => return result,
        name = signals.next() => name,
    };
    tracing::warn!(signal = first, "{}; a second signal stops at once", ending(&cli.command));
    interrupt.cancel();
    tokio::select! {
        result = &mut work => result,
        name = signals.next() => {
            tracing::warn!(signal = name, "stopping at once");
            Ok(Exit::Interrupted.code())
        }
    }
}

/// What a command does after the first signal.
fn ending(command: &Command) -> &'static str {
    match command {
        Command::Run(_) => "stopping: faults are healed, servers are stopped, the report is written",
        Command::Up(_) => "stopping the servers",
        _ => "stopping",
    }
}

async fn dispatch(cli: &Cli, interrupt: &CancellationToken) -> Result<u8, Failure> {
    match &cli.command {
        Command::Run(args) => run::run_all(args, cli.quiet || args.q, interrupt).await,
        Command::Swarm(args) => swarm::run(args, cli.quiet, interrupt).await,
        Command::Publish(args) => publish::run(args, interrupt).await,
        Command::Up(args) => up::run(args, interrupt).await,
        Command::Worker => serve().await,
        Command::Proxy(args) => proxy::run(args, interrupt).await,
        Command::Completions { .. }
        | Command::Man { .. }
        | Command::Schema { .. }
        | Command::New(_)
        | Command::Doctor(_)
        | Command::Validate(_)
        | Command::Check(_)
        | Command::Merge(_)
        | Command::Compare(_)
        | Command::Report(_) => Ok(Exit::Pass.code()),
    }
}

/// Runs a worker until its parent ends it. Errors also go to the parent, which reports them.
async fn serve() -> Result<u8, Failure> {
    let failed = |error| Failure::new(Exit::Internal.code(), error);
    let (from, to) = worker::pipes().map_err(failed)?;
    worker::serve(from, to).await.map(|()| Exit::Pass.code()).map_err(failed)
}

fn examine(args: &DoctorArgs) -> Result<u8, Failure> {
    let limits = Limits::read();
    let (clients, publishes, nodes) = (args.clients, USUAL_PUBLISHES, args.nodes);
    let need = Need { clients, publishes, nodes, workers: 0, proxied: false }.spread(&limits, args.workers);
    let findings = doctor::assess(&limits, need);
    let is_fatal = findings.iter().any(|finding| finding.is_fatal);
    output::print(&doctor::render(&findings))?;
    Ok(if is_fatal { Exit::BadScenario.code() } else { Exit::Pass.code() })
}
