//! The command line. What a flag means is said here, once, for `--help` and the manual page.

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

/// Puts clients, publishers and faults on a cluster of SSE nodes and judges what was delivered.
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
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// More log lines on stderr (-v: debug, -vv: trace).
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,

    /// No progress on stderr, only warnings.
    #[arg(long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// How log lines look.
    #[arg(long, value_enum, default_value = "text", global = true, env = "SSE_BENCH_LOG_FORMAT")]
    pub log_format: LogFormat,
}

const EXIT_CODES: &str = "Exit codes, the worst one wins in this order:
  120 verification failed     122 invalid: the generator was the limit   99 a threshold failed
  121 unknown, never a pass   123 a fault could not be applied or healed
  100 set-up failed           101 teardown failed                        104 bad scenario or limits
  105 interrupted             106 address in use
  1 internal                  2 usage                                    0 pass";

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run scenarios, one after the other, and judge each.
    Run(RunArgs),
    /// Read scenarios, report all their problems, and show what they would do.
    Validate(ValidateArgs),
    /// Point virtual clients at an SSE server and count what arrives.
    Swarm(SwarmArgs),
    /// Publish at a steady rate what `sse-bench swarm` recognises, from this machine.
    Publish(PublishArgs),
    /// Start a local cluster, print its URLs, and keep it until ^C.
    Up(UpArgs),
    /// Put a proxy that breaks links between clients and servers; toxiproxy's REST API tells it what to do.
    Proxy(ProxyArgs),
    /// Judge a stored run again: the same verdict, account and exit code, or what differs.
    Check(CheckArgs),
    /// Add stored runs of one scenario: histograms and counts are added, percentiles never averaged.
    Merge(MergeArgs),
    /// Lay two stored runs beside each other; fail where a change is too large.
    Compare(CompareArgs),
    /// Write what runs left behind again, in any format.
    Report(ReportArgs),
    /// Carries a share of the clients of a `run`, who starts it and speaks to it over its stdin and stdout.
    #[command(hide = true)]
    Worker,
    /// Look at the limits of this machine; a fix for each that is too small.
    Doctor(DoctorArgs),
    /// Write a commented scenario to start from.
    New(NewArgs),
    /// Print the JSON Schema of a scenario file, by which editors complete and check.
    Schema {
        /// That of `report.json` instead.
        #[arg(long)]
        report: bool,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, of sse-bench or of one of its commands.
    Man {
        /// The command.
        command: Option<String>,
    },
}

/// `doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// For a swarm of so many clients.
    #[arg(short = 'c', long, default_value_t = 10_000)]
    pub clients: u64,

    /// On so many nodes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub nodes: u64,

    /// Spread over so many processes [default: as many as the limit of open files asks for].
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
        let page = include_str!("../../../docs/scenarios.md");
        let cli = Cli::command();
        let run = cli.find_subcommand("run").unwrap();
        let flags = run.get_arguments().filter_map(|flag| Some((flag.get_long()?, flag.get_env())));
        for (flag, env) in flags.filter(|(flag, _)| *flag != "no-tui") {
            let name = format!("SSE_BENCH_{}", flag.replace('-', "_").to_uppercase());
            assert_eq!(env.and_then(|env| env.to_str()), Some(name.as_str()), "--{flag}");
            assert!(page.contains(&name), "{name} is not in docs/scenarios.md");
        }
    }

    #[test]
    fn every_command_and_flag_is_in_the_documentation() {
        let page = include_str!("../../../docs/scenarios.md");
        let cli = Cli::command();
        let mut missing = Vec::new();
        for command in cli.get_subcommands() {
            missing.extend(Some(format!("| `{}` |", command.get_name())));
            let flags = command.get_arguments().chain(cli.get_arguments());
            missing.extend(flags.filter_map(|flag| flag.get_long()).map(|long| format!("--{long}")));
        }
        missing.retain(|text| !page.contains(text.as_str()));
        assert!(missing.is_empty(), "not in docs/scenarios.md: {missing:?}");
    }
}
