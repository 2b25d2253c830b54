//! The command line of sse-tui. [`Args`] is the parsed command line, [`Settings`] the checked result of flags,
//! variables and configuration file. All problems are reported at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use http::HeaderValue;
use toml::Spanned;

use crate::client::{CertificateError, HttpOptions, Trust, read_identity};
use crate::protocol::Topic;
use crate::runtime::causes::error_chain;
use crate::runtime::exit::Failure;
use crate::tui::config::credentials::Credentials;
use crate::tui::config::file::{self, Config, SourcedValue};
use crate::tui::config::keymap::Keymap;
use crate::tui::config::run_source::RunSource;
use crate::tui::config::theme::{Theme, ThemeName};
use crate::tui::text::url::NodeUrl;

/// Shortest and longest time between two polls of a node.
const INTERVAL_MIN: Duration = Duration::from_millis(250);
const INTERVAL_MAX: Duration = Duration::from_mins(1);
/// Longest deadline of a poll, however long the interval is.
const TIMEOUT_MAX: Duration = Duration::from_secs(10);
const DEFAULT_NODE: &str = "http://127.0.0.1:8080";
const DEFAULT_INTERVAL: &str = "1s";

const AFTER_HELP: &str = "\
Examples:
  sse-tui                                         the node on this machine and its cluster
  sse-tui --node http://10.0.0.1:8080             one address is enough
  sse-tui --once --format json | jq .cluster      the figures once, for a script
  sse-tui --run runs/NAME-TIME                    a bench run, live or finished
  sse-tui --record today.jsonl                    record a session; --replay today.jsonl plays it

Exit codes:
  0    ended by q, ^C or SIGTERM; --once: every node answered
  1    an internal error
  2    invalid command line or configuration, or no terminal to draw on
  3    --once: a node did not answer
  101  a bug; the message says where
  129  the terminal was closed

NO_COLOR or TERM=dumb selects --theme mono. A locale other than UTF-8 selects --ascii.";

/// Watch a cluster of sse-nodes: figures, health and changes, live in a terminal.
#[derive(Debug, Parser)]
#[command(name = "sse-tui", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Args {
    /// A node to watch. May be repeated, or several separated by commas. The console finds the other nodes of the
    /// cluster in its roster [default: http://127.0.0.1:8080, none with --run].
    #[arg(
        long = "node",
        value_name = "URL",
        env = "SSE_TUI_NODE",
        hide_env_values = true,
        value_delimiter = ','
    )]
    nodes: Vec<String>,

    /// Time between two polls of a node, 250ms to 1m [default: 1s].
    #[arg(long, value_name = "DURATION", env = "SSE_TUI_INTERVAL")]
    interval: Option<String>,

    /// Draw with ASCII characters only.
    #[arg(long, env = "SSE_TUI_ASCII", value_parser = FalseyValueParser::new())]
    ascii: bool,

    /// Colour theme [default: dark].
    #[arg(long, value_enum, value_name = "THEME", env = "SSE_TUI_THEME")]
    theme: Option<ThemeName>,

    /// Token that the console sends to the nodes as `authorization: Bearer`, or @FILE to read it from a file. Without a
    /// token or a certificate the console is read-only.
    #[arg(long, value_name = "TOKEN", env = "SSE_TUI_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// Accept only https nodes whose certificates an authority in this PEM file has signed.
    #[arg(long, value_name = "FILE", env = "SSE_TUI_CA")]
    ca: Option<PathBuf>,

    /// Certificate and private key of an operator, both in this PEM file, for https nodes that ask for one.
    #[arg(long, value_name = "FILE", env = "SSE_TUI_CERTIFICATE")]
    certificate: Option<PathBuf>,

    /// Topics to read as well as broadcasts, separated by commas. The key `t` changes them on the events screen.
    #[arg(long, value_name = "TOPICS", env = "SSE_TUI_TOPICS", value_delimiter = ',')]
    topics: Vec<String>,

    /// Show and record marks in place of clients, users, addresses and payloads.
    #[arg(long, env = "SSE_TUI_MASK", value_parser = FalseyValueParser::new())]
    mask: bool,

    /// Print the figures once instead of opening the console. It takes one interval, because a rate needs two polls.
    #[arg(long, env = "SSE_TUI_ONCE", value_parser = FalseyValueParser::new())]
    once: bool,

    /// Output format of --once.
    #[arg(long, value_enum, value_name = "FORMAT", env = "SSE_TUI_FORMAT", default_value = "text")]
    format: Format,

    /// Follow the bench run in this directory, or show a finished one. With -, read the lines of a run's live.jsonl
    /// from standard input. Not with --once or --replay.
    #[arg(long, value_name = "DIR", env = "SSE_TUI_RUN")]
    run: Option<String>,

    /// Record every message from the cluster in this file, which must not exist yet. Not with --once or --replay.
    #[arg(long, value_name = "FILE", env = "SSE_TUI_RECORD")]
    record: Option<PathBuf>,

    /// Play a recording. All keys work except those that act on nodes. Not with --once, --run, --record or --mask.
    #[arg(long, value_name = "FILE", env = "SSE_TUI_REPLAY")]
    replay: Option<PathBuf>,

    /// Speed of --replay, 0.1 to 1000 times the recorded one.
    #[arg(long, value_name = "TIMES", env = "SSE_TUI_SPEED", default_value = "1")]
    speed: String,

    /// The configuration file [default: $XDG_CONFIG_HOME/sse-lab/tui.toml, if it exists].
    #[arg(short, long, value_name = "FILE", env = "SSE_TUI_CONFIG")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    action: Option<Action>,
}

/// The output format of `--once`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table, one line per node.
    Text,
    /// One JSON object.
    Json,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// Print a completion script for a shell.
    Completions {
        /// Shell to print the script for.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
}

/// The command to run.
#[derive(Debug)]
pub(crate) enum Command {
    /// Print this to standard output.
    Print(Vec<u8>),
    Once(Settings),
    Console(Settings),
}

/// The checked settings of the console.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) nodes: Vec<NodeUrl>,
    pub(crate) interval: Duration,
    /// Deadline of a poll; shorter than the interval.
    pub(crate) timeout: Duration,
    pub(crate) theme: Theme,
    pub(crate) keymap: Keymap,
    pub(crate) token: Option<HeaderValue>,
    /// How to reach the nodes.
    pub(crate) http: HttpOptions,
    pub(crate) topics: Vec<String>,
    pub(crate) mask: bool,
    pub(crate) format: Format,
    pub(crate) run: Option<RunSource>,
    pub(crate) record: Option<PathBuf>,
    pub(crate) replay: Option<PathBuf>,
    pub(crate) speed: f64,
}

impl Settings {
    /// The token, for the nodes that are named here and the nodes of their rosters.
    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::new(self.token.clone(), &self.nodes)
    }

    /// Whether the nodes may let the console act on them.
    pub(crate) fn may_act(&self) -> bool {
        self.token.is_some() || self.http.identity.is_some()
    }
}

/// All problems of command line and configuration.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\nerror: "))]
struct Problems(Vec<String>);

impl Args {
    /// Checks the command line and chooses the command.
    ///
    /// # Errors
    /// Every problem, each with its flag or line, the value and what is allowed.
    pub(crate) fn command(self) -> Result<Command, Failure> {
        match self.action {
            Some(Action::Completions { shell }) => Ok(Command::Print(completions(shell))),
            Some(Action::Man) => man().map(Command::Print).map_err(|error| Failure::new(1, error)),
            None => {
                let is_once = self.once;
                let settings = self.settings(|name| std::env::var(name).unwrap_or_default());
                let settings = settings.map_err(|problems| {
                    Failure::new(2, problems).tip("`sse-tui --help` shows every option")
                })?;
                Ok(if is_once { Command::Once(settings) } else { Command::Console(settings) })
            }
        }
    }

    /// Flags that exclude each other. Values count: a variable that is off (`SSE_TUI_MASK=0`) excludes nothing.
    fn conflicts(&self) -> Vec<String> {
        let said = [
            ("--once", self.once),
            ("--run", self.run.is_some()),
            ("--record", self.record.is_some()),
            ("--replay", self.replay.is_some()),
            ("--mask", self.mask),
        ];
        let excluded = [
            ("--once", &["--run", "--record", "--replay"][..]),
            ("--replay", &["--run", "--record", "--mask"]),
        ];
        let is_said = |flag: &str| said.contains(&(flag, true));
        let both = excluded.iter().flat_map(|(flag, others)| others.iter().map(move |other| (*flag, *other)));
        both.filter(|(flag, other)| is_said(flag) && is_said(other))
            .map(|(flag, other)| {
                let variable = |flag: &str| format!("SSE_TUI_{}", flag.trim_start_matches('-').to_uppercase());
                let (one, two) = (variable(other), variable(flag));
                format!("{other} cannot be used with {flag}; remove one of them: a flag, or its variable {one} or {two}")
            })
            .collect()
    }

    /// The settings from flags and variables, then from the file, then from the defaults.
    fn settings(self, env: impl Fn(&str) -> String) -> Result<Settings, Problems> {
        let mut problems = Vec::new();
        let config = match (&self.config, file::default_path(&env).filter(|path| path.exists())) {
            (Some(path), _) => Config::read(path),
            (None, Some(path)) => Config::read(&path),
            (None, None) => Ok(Config::default()),
        };
        let config = config.unwrap_or_else(|problem| {
            problems.push(problem);
            Config::default()
        });
        problems.extend(self.conflicts());
        let nodes = nodes(&self, &config, &mut problems);
        let first = |flag: &str, value: Option<&String>, key: &str, said: Option<&Spanned<String>>| {
            value
                .map(|value| SourcedValue::from_flag(flag, value))
                .or_else(|| said.map(|said| config.sourced(key, said)))
        };
        let interval = first("--interval", self.interval.as_ref(), "interval", config.interval.as_ref())
            .unwrap_or_else(|| SourcedValue::from_flag("--interval", DEFAULT_INTERVAL));
        let interval = duration(&interval, INTERVAL_MIN..=INTERVAL_MAX, &mut problems);
        let token = first("--token", self.token.as_ref(), "token", config.token.as_ref())
            .and_then(|token| authorization(&token, &mut problems));
        let said = config.theme.as_ref().map(|said| config.sourced("theme", said));
        let theme =
            self.theme.or_else(|| said.and_then(|said| theme(&said, &mut problems))).unwrap_or_default();
        let speed = self.speed.parse::<f64>().ok().filter(|speed| (0.1..=1_000.0).contains(speed));
        if speed.is_none() {
            problems.push(format!("--speed {:?} is not valid; allowed are 0.1 to 1000", self.speed));
        }
        let http = http(self.ca.as_deref(), self.certificate.as_deref(), &mut problems);
        let topics = topics(&self, &config, &mut problems);
        let keymap = Keymap::with(&config.other_keys()).unwrap_or_else(|wrong| {
            problems.extend(wrong);
            Keymap::default()
        });
        let is_colourless = !env("NO_COLOR").is_empty() || env("TERM") == "dumb";
        let theme = if is_colourless { ThemeName::Mono } else { theme };
        let is_ascii = self.ascii || config.ascii.unwrap_or(false) || !knows_unicode(&env);
        let run = self.run.map(|source| match source.as_str() {
            "-" => RunSource::StandardInput,
            dir => RunSource::Directory(dir.into()),
        });
        let settings = Settings {
            nodes,
            interval,
            timeout: (interval * 4 / 5).min(TIMEOUT_MAX),
            theme: Theme::new(theme, is_ascii),
            keymap,
            token,
            http,
            topics,
            mask: self.mask,
            format: self.format,
            run,
            record: self.record,
            replay: self.replay,
            speed: speed.unwrap_or(1.0),
        };
        if problems.is_empty() { Ok(settings) } else { Err(Problems(problems)) }
    }
}

/// The named nodes, once each; the default node when none is named and no run is followed.
fn nodes(args: &Args, config: &Config, problems: &mut Vec<String>) -> Vec<NodeUrl> {
    let by_flag = args.nodes.iter().map(|text| SourcedValue::from_flag("--node", text.trim()));
    let mut values: Vec<_> = by_flag.collect();
    if values.is_empty() {
        values = config.node.iter().map(|said| config.sourced("node", said)).collect();
    }
    if values.is_empty() && args.run.is_none() {
        values.push(SourcedValue::from_flag("--node", DEFAULT_NODE));
    }
    let mut nodes = Vec::new();
    for SourcedValue { value, source } in values {
        match value.parse::<NodeUrl>() {
            Ok(url) if nodes.contains(&url) => {}
            Ok(url) => nodes.push(url),
            Err(error) => problems.push(format!("{source} {error}")),
        }
    }
    nodes
}

/// How to reach the nodes.
fn http(ca: Option<&Path>, certificate: Option<&Path>, problems: &mut Vec<String>) -> HttpOptions {
    let mut tell = |flag: &str, error: &CertificateError| {
        problems.push(format!("{flag}: {}", error_chain(error)));
    };
    let mut http = HttpOptions::default();
    match ca.map(Trust::read).transpose() {
        Ok(trust) => http.trust = trust.unwrap_or_default(),
        Err(error) => tell("--ca", &error),
    }
    match certificate.map(read_identity).transpose() {
        Ok(identity) => http.identity = identity,
        Err(error) => tell("--certificate", &error),
    }
    http
}

fn topics(args: &Args, config: &Config, problems: &mut Vec<String>) -> Vec<String> {
    let by_flag = args.topics.iter().map(|text| SourcedValue::from_flag("--topics", text));
    let mut values: Vec<_> = by_flag.collect();
    if values.is_empty() {
        values = config.topics.iter().map(|said| config.sourced("topics", said)).collect();
    }
    for SourcedValue { value, source } in &values {
        if let Err(error) = Topic::parse(value) {
            problems.push(format!("{source}: {error}"));
        }
    }
    values.into_iter().map(|topic| topic.value).collect()
}

fn theme(said: &SourcedValue, problems: &mut Vec<String>) -> Option<ThemeName> {
    let name = ThemeName::named(&said.value);
    if name.is_none() {
        let SourcedValue { value, source } = said;
        problems.push(format!("{source} {value:?} is not valid; allowed are {}", ThemeName::all()));
    }
    name
}

/// The header of a token, or of the one in `@FILE`. A problem never contains the token.
fn authorization(given: &SourcedValue, problems: &mut Vec<String>) -> Option<HeaderValue> {
    let source = &given.source;
    let token = match given.value.strip_prefix('@') {
        None => given.value.clone(),
        Some(path) => match std::fs::read_to_string(path) {
            Ok(token) => token,
            Err(error) => {
                problems.push(format!("{source} @{path} cannot be read: {error}"));
                return None;
            }
        },
    };
    let header = HeaderValue::try_from(format!("Bearer {}", token.trim()));
    match header {
        Ok(mut header) if !token.trim().is_empty() => {
            header.set_sensitive(true);
            Some(header)
        }
        Ok(_) | Err(_) => {
            problems
                .push(format!("{source} is empty or holds control characters; allowed is text, or @FILE"));
            None
        }
    }
}

/// The duration of a text; zero and a problem when it is not a duration of this range.
fn duration(
    SourcedValue { value: text, source }: &SourcedValue,
    range: std::ops::RangeInclusive<Duration>,
    problems: &mut Vec<String>,
) -> Duration {
    let (min, max) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
    let mut refuse = |why: String| {
        problems.push(format!(
            "{source} {text:?} is not valid: {why}; allowed are {min} to {max}, as 500ms or 2s"
        ));
        Duration::ZERO
    };
    match humantime::parse_duration(text) {
        Err(error) => refuse(error.to_string()),
        Ok(duration) if duration < *range.start() => refuse("it is too short".to_owned()),
        Ok(duration) if duration > *range.end() => refuse("it is too long".to_owned()),
        Ok(duration) => duration,
    }
}

/// Whether the locale is UTF-8, by the C library's order of variables. The Linux console knows UTF-8, but its font
/// has neither Braille nor round corners.
fn knows_unicode(env: &impl Fn(&str) -> String) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(env).into_iter().find(|value| !value.is_empty());
    let locale = locale.unwrap_or_default().to_lowercase();
    (locale.contains("utf-8") || locale.contains("utf8")) && env("TERM") != "linux"
}

fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command_for_clap(), "sse-tui", &mut text);
    text
}

fn man() -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Args::command_for_clap()).render(&mut text)?;
    Ok(text)
}

impl Args {
    fn command_for_clap() -> clap::Command {
        <Self as CommandFactory>::command()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str], env: &[(&str, &str)]) -> Result<Settings, String> {
        let args = Args::try_parse_from(["sse-tui"].iter().chain(args)).map_err(|error| error.to_string())?;
        let lookup = |name: &str| {
            env.iter()
                .find(|(other, _)| *other == name)
                .map_or_else(String::new, |(_, value)| (*value).to_owned())
        };
        args.settings(lookup).map_err(|problems| problems.to_string())
    }

    #[test]
    fn all_problems_are_told_at_once_with_flag_value_and_what_is_allowed() {
        let error = parse(&["--node", "ftp://x", "--node", "http://", "--interval", "5ms"], &[]).unwrap_err();
        assert_eq!(
            error,
            "--node \"ftp://x\" is not valid: its scheme is not http or https; \
             allowed are http://HOST[:PORT], https://HOST[:PORT] and HOST:PORT\n\
             error: --node \"http://\" is not valid: empty host; \
             allowed are http://HOST[:PORT], https://HOST[:PORT] and HOST:PORT\n\
             error: --interval \"5ms\" is not valid: it is too short; allowed are 250ms to 1m, as 500ms or 2s"
        );
        assert!(parse(&["--interval", "2h"], &[]).unwrap_err().contains("too long"));
        assert!(parse(&["--interval", "soon"], &[]).unwrap_err().contains("allowed are 250ms"));
        let files = parse(&["--ca", "/nowhere", "--certificate", "/dev/null"], &[]).unwrap_err();
        assert!(files.contains("--ca: cannot read") && files.contains("error: --certificate: "), "{files}");
        let theme = parse(&["--theme", "pink"], &[]).unwrap_err();
        assert!(theme.contains("--theme") && theme.contains("colour-blind"), "{theme}");
    }

    #[test]
    fn what_cannot_be_had_together_is_told_and_a_variable_that_says_no_is_not() {
        let error = parse(&["--replay", "f", "--mask", "--run", "d"], &[]).unwrap_err();
        for part in ["--mask cannot be used with --replay", "--run cannot be used with --replay"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(parse(&["--once", "--record", "f"], &[]).unwrap_err().contains("--record cannot"));
        assert!(parse(&["--record", "f", "--run", "d", "--mask"], &[]).is_ok());
    }

    #[test]
    fn nodes_come_once_each_and_the_timeout_stays_below_the_interval() {
        let settings =
            parse(&["--node", "a:1,b:2", "--node", "http://a:1/", "--interval", "2s"], &[]).unwrap();
        assert_eq!(settings.nodes.len(), 2);
        assert_eq!(settings.timeout, Duration::from_millis(1600));
        let settings = parse(&["--interval", "1m"], &[]).unwrap();
        assert_eq!(settings.timeout, TIMEOUT_MAX);
        assert_eq!(settings.nodes[0].to_string(), DEFAULT_NODE);
    }

    #[track_caller]
    fn check_look(args: &[&str], env: &[(&str, &str)], expected: (ThemeName, bool)) {
        let theme = parse(args, env).unwrap().theme;
        assert_eq!(theme, Theme::new(expected.0, expected.1), "{args:?} {env:?}");
    }

    #[test]
    fn the_environment_decides_on_colours_and_characters() {
        let utf8 = ("LANG", "C.UTF-8");
        check_look(&[], &[utf8], (ThemeName::Dark, false));
        check_look(
            &["--theme", "light"],
            &[("LC_ALL", "de_DE.utf8"), ("LANG", "C")],
            (ThemeName::Light, false),
        );
        check_look(&["--theme", "light"], &[utf8, ("NO_COLOR", "1")], (ThemeName::Mono, false));
        check_look(&[], &[utf8, ("NO_COLOR", "")], (ThemeName::Dark, false));
        check_look(&[], &[utf8, ("TERM", "dumb")], (ThemeName::Mono, false));
        check_look(&[], &[utf8, ("TERM", "linux")], (ThemeName::Dark, true));
        check_look(&[], &[("LC_ALL", "C"), utf8], (ThemeName::Dark, true));
        check_look(&[], &[], (ThemeName::Dark, true));
        check_look(&["--ascii"], &[utf8], (ThemeName::Dark, true));
    }

    #[test]
    fn the_help_is_what_it_was() {
        let mut command = Args::command_for_clap().term_width(100);
        insta::assert_snapshot!("help", command.render_long_help());
        command.debug_assert();
    }

    #[test]
    fn completions_and_the_manual_name_every_option() {
        let texts =
            [completions(clap_complete::Shell::Bash), completions(clap_complete::Shell::Zsh), man().unwrap()];
        for text in texts {
            let text = String::from_utf8(text).unwrap().replace("\\-", "-");
            for option in ["--node", "--interval", "--ascii", "--theme", "--once", "--format", "completions"]
            {
                assert!(text.contains(option.trim_start_matches("--")), "{option}");
            }
        }
    }
}
