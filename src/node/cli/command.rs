//! The command line of `sse-node`: its commands, and what each of them runs. Read [`Cli`] first.

use std::io::Write as _;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use super::failure::invalid_config;
use super::healthcheck::Healthcheck;
use super::log_files::LogDirectory;
use super::publish::Publish;
use super::token::Token;
use crate::node::config::{Loaded, ServeFlags, default_file};
use crate::runtime::exit::Failure;
use crate::runtime::{cores, manual, rlimit, telemetry};

/// A server for Server-Sent Events: one ordered log, many cursors.
#[derive(Debug, Parser)]
#[command(name = "sse-node", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, with the text of their `--help`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node until SIGTERM or SIGINT; the first signal drains it, a second one ends it at once
    Serve(ServeFlags),
    /// Append one event to the log of --broker (file:DIR or a Redis URL) without a node, and print its event id and message id as JSON
    Publish(Publish),
    /// Print every setting with its value and the source of the value, or every error of the configuration
    CheckConfig(ServeFlags),
    /// Print a configuration file with every setting and its default
    DefaultConfig,
    /// Print a token for trying a node with, or a new API key with the line of its hash
    Token(Token),
    /// Check whether a node is ready: exit code 0 if it is, 1 if it is not
    Healthcheck(Healthcheck),
    /// Check the log in a directory that no node has open: exit code 0 if it is whole, 3 if something is damaged or missing, 1 if it cannot be checked
    CheckLog(LogDirectory),
    /// Put what is whole in a damaged log into its place, and keep the damaged directory beside it: exit code 0 if the log is whole now, 3 if it cannot be repaired, 1 if it cannot be looked at
    RepairLog(LogDirectory),
    /// Print a completion script for a shell
    Completions {
        /// Shell to print the script for
        shell: Shell,
    },
    /// Print the manual page of sse-node or of one of its commands
    Man {
        /// The command; without it the page is about sse-node
        command: Option<String>,
    },
}

/// Runs a command and returns the exit code.
///
/// # Errors
/// A [`Failure`] with its exit code and, where there is one, a tip.
pub fn run(cli: Cli) -> Result<u8, Failure> {
    match cli.command {
        Command::Serve(flags) => serve(flags.load().map_err(invalid_config)?),
        Command::Publish(publish) => runtime()?.block_on(publish.run()).and_then(|answer| print(&answer)),
        Command::CheckConfig(flags) => print(&flags.load().map_err(invalid_config)?.table()),
        Command::Token(token) => print(&token.run()?),
        Command::DefaultConfig => print(&default_file()),
        Command::Healthcheck(healthcheck) => {
            runtime()?.block_on(healthcheck.run()).map(|()| 0).map_err(|error| Failure::new(1, error))
        }
        Command::CheckLog(log) => log.check().and_then(print_with_code),
        Command::RepairLog(log) => log.repair().and_then(print_with_code),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sse-node", &mut text);
            write_out(&text)
        }
        Command::Man { command } => write_out(&manual(command.as_deref())?),
    }
}

fn serve(loaded: Loaded) -> Result<u8, Failure> {
    let Loaded { config, warnings, .. } = loaded;
    telemetry::init(config.log_format, &config.log_level);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if config.die_with_parent {
        let kill = rustix::process::Signal::KILL;
        rustix::process::set_parent_process_death_signal(Some(kill))
            .map_err(|error| Failure::new(1, std::io::Error::from(error)))?;
    }
    rlimit::raise_open_files();
    let runtime = runtime()?;
    let ended = runtime.block_on(crate::node::run(config));
    // A thread that waits for a store that never answers must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ended.map(|()| 0).map_err(|error| Failure::new(error.exit_code(), error))
}

/// Threads for requests on half the cores: the loops have threads of their own, and workers that find little to do spend
/// their time waking one another.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let workers = cores().div_ceil(2);
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    built.map_err(|error| Failure::new(1, error))
}

pub(super) fn manual(command: Option<&str>) -> Result<Vec<u8>, Failure> {
    manual::page(Cli::command(), command)
}

fn print_with_code((code, text): (u8, String)) -> Result<u8, Failure> {
    print(&text).map(|_| code)
}

fn print(text: &str) -> Result<u8, Failure> {
    write_out(text.as_bytes())
}

/// Writes the output of a command to stdout.
fn write_out(text: &[u8]) -> Result<u8, Failure> {
    match std::io::stdout().lock().write_all(text) {
        Ok(()) => Ok(0),
        // The reader of the pipe has read enough, as `head` does.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(Failure::new(1, error)),
    }
}
