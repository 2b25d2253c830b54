//! The command line of `sse-bench`: its subcommands and exit codes. Each command's flags stand beside the command. The doc
//! comments are the texts of `--help` and of the manual page. Read [`Cli`] first.

use clap::{Args, Parser, Subcommand};

use super::check::CheckArgs;
use super::compare::CompareArgs;
use super::merge::MergeArgs;
use super::new::NewArgs;
use super::proxy::ProxyArgs;
use super::publish::PublishArgs;
use super::report::ReportArgs;
use super::run::{RunArgs, ValidateArgs};
use super::swarm::SwarmArgs;
use super::up::UpArgs;
use crate::runtime::telemetry::LogFormat;

/// Run clients, publishers and faults against SSE servers, and judge what was delivered.
#[derive(Debug, Parser)]
#[command(
    name = "sse-bench",
    version,
    propagate_version = true,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = EXIT_CODES
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// Write more log lines to stderr (-v: debug, -vv: trace).
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,

    /// Write no progress to stderr, only warnings.
    #[arg(long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Format of log lines.
    #[arg(long, value_enum, default_value = "text", global = true, env = "SSE_BENCH_LOG_FORMAT")]
    pub log_format: LogFormat,
}

const EXIT_CODES: &str = "Exit codes; if several apply, the first in this list wins:
  120  verification failed: an event was lost, duplicated, reordered or misdelivered
  122  INVALID: the bench was the limit, or the load was not the planned one
   99  a threshold failed
  121  UNKNOWN: the evidence is not enough to judge, so this is never a pass
  123  a fault could not be applied or healed
  100  set-up failed
  101  a server crashed, or could not be stopped
  104  the scenario, the run directory or a flag does not fit, or a limit of this machine is too low
  105  interrupted
  106  address in use
    1  internal error
    2  wrong usage
    0  pass";

/// The subcommands; the flags of each stand in a file of its own.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run scenarios, one after the other, and judge each.
    Run(RunArgs),
    /// Check scenarios: list all their problems, or show the plan and what it needs.
    Validate(ValidateArgs),
    /// Connect clients to any SSE server, without a scenario, and count what arrives.
    Swarm(SwarmArgs),
    /// Publish events at a steady rate, for `sse-bench swarm` to check.
    Publish(PublishArgs),
    /// Start a local cluster, print its URLs, and keep it until ^C.
    Up(UpArgs),
    /// Run the fault proxy alone. toxiproxy's REST API controls it.
    Proxy(ProxyArgs),
    /// Judge a stored run again: print the same verdict and exit code, or list the differences.
    Check(CheckArgs),
    /// Merge stored runs of one scenario. Histograms and counts are added; percentiles are never averaged.
    Merge(MergeArgs),
    /// Compare two stored runs, and fail when a change exceeds a limit.
    Compare(CompareArgs),
    /// Write the reports of finished runs again, in any format.
    Report(ReportArgs),
    /// A worker process of `run`: it carries a share of the clients. `run` starts it and talks to it over stdin and stdout.
    #[command(hide = true)]
    Worker,
    /// Check the limits of this machine, and print a fix for each that is too small.
    Doctor(DoctorArgs),
    /// Write a commented scenario to start from.
    New(NewArgs),
    /// Print the JSON Schema of scenario files. Editors use it to complete and check keys.
    Schema {
        /// Print the schema of `report.json` instead.
        #[arg(long)]
        report: bool,
    },
    /// Print a completion script for a shell.
    Completions {
        /// Shell to print the script for.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page of sse-bench, or of one of its commands.
    Man {
        /// Name of a command [default: the page of sse-bench itself].
        command: Option<String>,
    },
}

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Number of clients to check for.
    #[arg(short = 'c', long, default_value_t = 10_000)]
    pub clients: u64,

    /// Number of nodes to check for.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub nodes: u64,

    /// Number of worker processes [default: as many as the limit of open files requires].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64), value_name = "N", env = "SSE_BENCH_WORKERS")]
    pub workers: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cli::shared::Changes;
    use crate::bench::cli::values::stream_url;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_that_the_file_knows_become_overrides_in_order() {
        let changes = Changes { set: vec!["a.b=1".to_owned()], seed: Some(7), ..Changes::default() };
        let origin = changes.origin("f.toml".to_owned(), String::new());
        assert_eq!(origin.set, ["a.b=1", "seed=7"]);
    }

    #[test]
    fn a_base_url_gets_the_path_of_the_stream_and_another_url_stays() {
        assert_eq!(stream_url("http://h:1").unwrap(), "http://h:1/api/sse/stream");
        assert_eq!(stream_url("http://h:1/").unwrap(), "http://h:1/api/sse/stream");
        assert_eq!(stream_url("http://h:1/events?u={i}").unwrap(), "http://h:1/events?u={i}");
        assert!(stream_url("ftp://h").is_err());
        assert!(stream_url("h:1").is_err());
    }

    #[track_caller]
    fn check_refused(args: &[&str], word: &str) {
        let error = Cli::try_parse_from(args).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(word), "{error}");
    }

    #[test]
    fn bad_arguments_are_usage_errors_that_name_the_flag() {
        check_refused(&["sse-bench", "run"], "SCENARIO");
        check_refused(&["sse-bench", "run", "a.toml", "--clients-scale", "-1"], "clients-scale");
        check_refused(&["sse-bench", "run", "a.toml", "--dration", "1s"], "--duration");
        check_refused(&["sse-bench", "run", "a.toml", "--duration", "10ms"], "from 1s to 24h");
        check_refused(&["sse-bench", "publish", "nonsense"], "http://HOST:PORT");
        check_refused(&["sse-bench", "publish", "http://h", "--to", "everyone"], "broadcast");
        check_refused(&["sse-bench", "swarm", "http://h", "-c", "0"], "--clients");
        check_refused(&["sse-bench", "up", "--broker", "kafka"], "redis-sentinel");
        check_refused(&["sse-bench", "up", "--nodes", "0"], "--nodes");
        check_refused(&["sse-bench", "up", "-s", "cluster.nodes=2"], "SCENARIO");
    }

    /// But for what belongs to one command line alone: how much it says, and `--no-tui`, which answers a variable.
    #[test]
    fn every_flag_of_a_run_has_a_variable_of_its_name_that_is_in_the_documentation() {
        let page = include_str!("../../../docs/bench-cli.md");
        let cli = Cli::command();
        let run = cli.find_subcommand("run").unwrap();
        let flags = run.get_arguments().filter_map(|flag| Some((flag.get_long()?, flag.get_env())));
        for (flag, env) in flags.filter(|(flag, _)| *flag != "no-tui") {
            let name = format!("SSE_BENCH_{}", flag.replace('-', "_").to_uppercase());
            assert_eq!(env.and_then(|env| env.to_str()), Some(name.as_str()), "--{flag}");
            assert!(page.contains(&name), "{name} is not in docs/bench-cli.md");
        }
    }

    #[test]
    fn every_command_and_flag_is_in_the_documentation() {
        let page = include_str!("../../../docs/bench-cli.md");
        let cli = Cli::command();
        let mut missing = Vec::new();
        for command in cli.get_subcommands() {
            missing.extend(Some(format!("| `{}` |", command.get_name())));
            let flags = command.get_arguments().chain(cli.get_arguments());
            missing.extend(flags.filter_map(|flag| flag.get_long()).map(|long| format!("--{long}")));
        }
        missing.retain(|text| !page.contains(text.as_str()));
        assert!(missing.is_empty(), "not in docs/bench-cli.md: {missing:?}");
    }
}
