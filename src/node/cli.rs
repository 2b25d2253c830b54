//! The commands of `sse-node`: what can be said on the command line, and what then happens. Read [`Cli`] first.

use std::io::Write as _;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use super::config::{InvalidConfig, Loaded, ServeFlags, default_file};
use crate::runtime::exit::Failure;
use crate::runtime::{manual, mutant, rlimit, telemetry};

mod healthcheck;
mod publish;

pub use healthcheck::Healthcheck;
pub use publish::Publish;

/// A server for Server-Sent Events: one ordered log, many cursors.
#[derive(Debug, Parser)]
#[command(name = "sse-node", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node until SIGTERM or SIGINT; the first drains it, a second ends it at once
    Serve(ServeFlags),
    /// Put one event into a log without a node, and print where it stands
    Publish(Publish),
    /// Print every setting with its value and where that came from, or all that is wrong
    CheckConfig(ServeFlags),
    /// Print a configuration file with every setting and its default
    DefaultConfig,
    /// Ask a node whether it is ready: exit code 0 if it is, 1 if not
    Healthcheck(Healthcheck),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, of sse-node or of one of its commands
    Man {
        /// The command
        command: Option<String>,
    },
}

/// Exit code where the user's words make no sense, as clap has it.
const USAGE: u8 = 2;

/// Does what was asked; the value is the exit code.
///
/// # Errors
/// A [`Failure`] with what the user can do about it.
pub fn run(cli: Cli) -> Result<u8, Failure> {
    match cli.command {
        Command::Serve(flags) => serve(flags.load().map_err(invalid)?),
        Command::Publish(publish) => runtime()?.block_on(publish.run()).and_then(|answer| say(&answer)),
        Command::CheckConfig(flags) => say(&flags.load().map_err(invalid)?.table()),
        Command::DefaultConfig => say(&default_file()),
        Command::Healthcheck(healthcheck) => {
            runtime()?.block_on(healthcheck.run()).map(|()| 0).map_err(|error| Failure::new(1, error))
        }
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
    mutant::announce().map_err(|error| Failure::new(USAGE, error))?;
    if config.die_with_parent {
        let kill = rustix::process::Signal::KILL;
        rustix::process::set_parent_process_death_signal(Some(kill))
            .map_err(|error| Failure::new(1, std::io::Error::from(error)))?;
    }
    rlimit::raise_open_files();
    runtime()?.block_on(super::run(config)).map(|()| 0).map_err(|error| Failure::new(1, error))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| Failure::new(1, error))
}

fn manual(command: Option<&str>) -> Result<Vec<u8>, Failure> {
    manual::page(Cli::command(), command)
}

fn invalid(error: InvalidConfig) -> Failure {
    Failure::new(USAGE, error).tip("sse-node default-config shows every setting with its default")
}

fn say(text: &str) -> Result<u8, Failure> {
    write_out(text.as_bytes())
}

/// The answer of a command, for a terminal or a pipe.
fn write_out(text: &[u8]) -> Result<u8, Failure> {
    match std::io::stdout().lock().write_all(text) {
        Ok(()) => Ok(0),
        // Whoever read has read enough, as `head` does.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(Failure::new(1, error)),
    }
}

#[cfg(test)]
mod tests;
