//! The command line. What a flag means is said here, once, for `--help` and the manual page.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{FalseyValueParser, PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::new::Preset;
use super::report::ReportArgs;
use super::trusted::Trusted;
use super::up::UpArgs;
use super::values::{base_url, factor, no_credentials, recipient, run_duration, stream_url};
use crate::bench::history::Limit;
use crate::bench::scenario::{self, Origin, OutputFormat};
use crate::protocol::Address;
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

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Changes to a scenario.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Changes {
    /// Overrides a key of the scenario; may be repeated: `-s publishers.main.rate=50`. The
    /// variable has one a line.
    #[arg(short, long = "set", value_name = "KEY.PATH=VALUE", env = "SSE_BENCH_SET", value_delimiter = '\n')]
    pub set: Vec<String>,

    /// Another seed: arrivals, targets, payload sizes and jitter follow from it.
    #[arg(long, env = "SSE_BENCH_SEED")]
    pub seed: Option<u64>,

    /// Another duration, as `90s` or `1m30s`: warm-up, joins, stages and faults keep their share of it.
    #[arg(short = 'z', long, value_parser = run_duration, value_name = "DURATION", env = "SSE_BENCH_DURATION")]
    pub duration: Option<Duration>,

    /// So many times the clients, at least one in each group.
    #[arg(
        long,
        allow_negative_numbers = true,
        value_parser = factor,
        value_name = "FACTOR",
        env = "SSE_BENCH_CLIENTS_SCALE"
    )]
    pub clients_scale: Option<f64>,

    /// So many times the rate of each publisher.
    #[arg(
        long,
        allow_negative_numbers = true,
        value_parser = factor,
        value_name = "FACTOR",
        env = "SSE_BENCH_RATE_SCALE"
    )]
    pub rate_scale: Option<f64>,

    /// Breaks nothing.
    #[arg(long, env = "SSE_BENCH_NO_FAULTS", value_parser = FalseyValueParser::new())]
    pub no_faults: bool,

    /// Judges nodes that are there already, instead of starting some; may be repeated.
    #[arg(long, value_name = "URL", env = "SSE_BENCH_TARGET", value_delimiter = ',', value_parser = no_credentials(base_url))]
    pub target: Vec<String>,

    /// Whose certificates are accepted.
    #[command(flatten)]
    pub trusted: Trusted,
}

impl Changes {
    /// The scenario of this file, so changed.
    pub(super) fn origin(&self, file: String, text: String) -> Origin {
        let mut set = self.set.clone();
        set.extend(self.seed.map(|seed| format!("seed={seed}")));
        let variables = scenario::variables(set.iter().map(String::as_str).chain([text.as_str()]));
        Origin {
            file,
            text,
            set,
            variables,
            seed: None,
            duration: self.duration,
            clients_scale: self.clients_scale,
            rate_scale: self.rate_scale,
            no_faults: self.no_faults,
            target: self.target.clone(),
            tls: self.trusted.tls(),
        }
    }
}

/// `run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Scenario files.
    #[arg(required = true, value_name = "SCENARIO.toml")]
    pub scenarios: Vec<PathBuf>,

    /// Where reports and node logs go, a directory for each run when there are several
    /// [default: runs/<name>-<time>].
    #[arg(short, long, value_name = "DIR", env = "SSE_BENCH_OUT")]
    pub out: Option<PathBuf>,

    /// What the reports are written as. The first one also goes to stdout.
    #[arg(long, value_parser = report_formats(), value_delimiter = ',', env = "SSE_BENCH_FORMAT")]
    pub format: Vec<OutputFormat>,

    /// Changes to the scenarios.
    #[command(flatten)]
    pub changes: Changes,

    /// Runs each scenario so often, each time with the next seed.
    #[arg(
        long,
        value_parser = clap::value_parser!(u32).range(1..),
        value_name = "N",
        env = "SSE_BENCH_REPEAT"
    )]
    pub repeat: Option<u32>,

    /// Repeats until a run does not pass.
    #[arg(long, env = "SSE_BENCH_UNTIL_FAIL", value_parser = FalseyValueParser::new())]
    pub until_fail: bool,

    /// The same as --quiet.
    #[arg(short)]
    pub q: bool,

    /// Leaves the nodes of a single run running after its report, until ^C.
    #[arg(long, env = "SSE_BENCH_KEEP_CLUSTER", value_parser = FalseyValueParser::new())]
    pub keep_cluster: bool,

    /// Follows the run in the console (sse-tui) instead of telling its progress in lines.
    #[arg(long, env = "SSE_BENCH_TUI", value_parser = FalseyValueParser::new())]
    pub tui: bool,

    /// Does not, whatever the variable says.
    #[arg(long, overrides_with = "tui")]
    pub no_tui: bool,

    /// What is stored beside the report, for `check`, `merge` and `compare`.
    #[arg(long, value_enum, default_value = "anomalies", env = "SSE_BENCH_HISTORY")]
    pub history: History,

    /// Answers on http://ADDR/metrics what is counted by now, for Prometheus, as long as a run goes on.
    #[arg(long, value_name = "ADDR", env = "SSE_BENCH_PROMETHEUS")]
    pub prometheus: Option<SocketAddr>,

    /// How many processes the clients are spread over; 1 keeps them in this one
    /// [default: the scenario's, else as many as the limit of open files asks for].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64), value_name = "N", env = "SSE_BENCH_WORKERS")]
    pub workers: Option<u16>,
}

/// What is stored of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum History {
    /// Nothing.
    Off,
    /// The books, the measurements, and everything that went wrong.
    Anomalies,
    /// Also every arrival and every publish.
    All,
}

/// `validate`.
#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// Scenario files.
    #[arg(required = true, value_name = "SCENARIO.toml")]
    pub scenarios: Vec<PathBuf>,

    /// Changes to the scenarios.
    #[command(flatten)]
    pub changes: Changes,
}

/// `new`.
#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// Where it is written; a file that is there already is left alone.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// What it is about.
    #[arg(long, value_enum, default_value = "smoke")]
    pub preset: Preset,

    /// Writes over a file that is there.
    #[arg(long)]
    pub force: bool,
}

/// `swarm`.
#[derive(Debug, Args)]
pub(super) struct SwarmArgs {
    /// The stream: a whole URL, or a node's base URL, to which `/api/sse/stream` is added.
    /// `{i}` in it stands for the client's number.
    #[arg(value_parser = no_credentials(stream_url))]
    pub url: String,

    /// How many clients.
    #[arg(short = 'c', long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub clients: u32,

    /// For how long, once all are connected.
    #[arg(short = 'z', long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub duration: Duration,

    /// Connects spread over this time.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub ramp: Duration,

    /// Sent with each connect; may be repeated: `-H 'Authorization: Bearer …'`.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,

    /// Whose certificates are accepted.
    #[command(flatten)]
    pub trusted: Trusted,

    /// How clients come back when a stream ends.
    #[arg(long, value_enum, default_value = "tolerant")]
    pub reconnect: ReconnectAs,

    /// Fails (120) unless every client got every event that each `sse-bench publish` acknowledged, once, in order, up
    /// to its end mark. Start the swarm first. Ends as soon as that is settled.
    #[arg(long)]
    pub expect_all: bool,

    /// With --expect-all: how many publishers must have ended before the count is taken.
    #[arg(long, default_value_t = 1, requires = "expect_all", value_parser = clap::value_parser!(u32).range(1..))]
    pub publishers: u32,

    /// How the summary is written.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Whom a reconnecting client behaves like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReconnectAs {
    /// An EventSource.
    Browser,
    /// A fetch-based library.
    Fetch,
    /// Comes back from everything but 204.
    Tolerant,
    /// Never comes back.
    None,
}

/// `publish`.
#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    /// Base URL of a node; several are used in turn.
    #[arg(required = true, value_parser = no_credentials(base_url))]
    pub urls: Vec<String>,

    /// Whose certificates are accepted.
    #[command(flatten)]
    pub trusted: Trusted,

    /// Events per second.
    #[arg(short = 'q', long, default_value_t = 10.0, allow_negative_numbers = true, value_parser = factor)]
    pub rate: f64,

    /// For how long.
    #[arg(short = 'z', long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub duration: Duration,

    /// To whom: `broadcast`, `topic:T`, `user:U` or `client:C`.
    #[arg(long, default_value = "broadcast", value_parser = recipient)]
    pub to: Address,

    /// Bytes of each payload.
    #[arg(long, default_value_t = 256)]
    pub size: u32,

    /// 1: also into the mailbox of the user or client.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub qos: u8,

    /// Publishes without an answer, beyond which one that is due is dropped and counted.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_in_flight: u32,

    /// Gives up on an event at once where there is no definite answer, instead of sending it again with the same id.
    #[arg(long)]
    pub no_retry: bool,

    /// Does not wait for the answer to one event before it sends the next: higher rates, and no order to be judged.
    #[arg(long)]
    pub unordered: bool,

    /// Sends no end mark: several publishes are to be judged as one.
    #[arg(long)]
    pub no_end: bool,

    /// How the summary is written.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// What a run left behind.
    #[arg(value_name = "RUN_DIR")]
    pub dir: PathBuf,

    /// How the report is written.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// `merge`.
#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// What runs left behind; merged ones, too.
    #[arg(required = true, value_name = "RUN_DIR")]
    pub dirs: Vec<PathBuf>,

    /// Where the merged run goes. Must not hold a run.
    #[arg(short, long, value_name = "DIR", env = "SSE_BENCH_OUT")]
    pub out: PathBuf,

    /// How the report is written to stdout; the directory gets both.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// `compare`.
#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// The run that was before.
    #[arg(value_name = "BASE")]
    pub base: PathBuf,

    /// The run that is now.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,

    /// A change that is a regression (99), as in 'delivery_latency:p(99)>+10%', 'publish_time{phase:steady}:max>+5ms',
    /// 'events_ok:count<-1%'; may be repeated.
    #[arg(long, value_name = "LIMIT", value_parser = Limit::parse)]
    pub fail_on: Vec<Limit>,

    /// How it is written.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// `proxy`.
#[derive(Debug, Args)]
pub(super) struct ProxyArgs {
    /// Where the API listens.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8474")]
    pub listen: String,

    /// Everything random (jitter, sizes of slices, whom a toxicity spares) comes from this.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Proxies to begin with: a list of name, listen, upstream and enabled, in JSON.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
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

/// Every format of a report, by its name.
pub(super) fn report_formats() -> impl clap::builder::TypedValueParser<Value = OutputFormat> {
    PossibleValuesParser::new(OutputFormat::ALL.map(OutputFormat::name))
        .try_map(|name| OutputFormat::by_name(&name).ok_or("not a format"))
}

#[cfg(test)]
mod tests {
    use super::*;
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
