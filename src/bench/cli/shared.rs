//! What several commands share: the flags that change a scenario, output formats, and reading a scenario file with its
//! changes. Read [`Changes`] first.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::time::SystemTime;

use clap::builder::{FalseyValueParser, PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};

use super::tls::Trusted;
use super::values::{base_url, factor, no_credentials, run_duration};
use crate::bench::exit::Exit;
use crate::bench::load::tls;
use crate::bench::run;
use crate::bench::scenario::{self, OutputFormat, Scenario, ScenarioSource};
use crate::runtime::error_chain;
use crate::runtime::exit::Failure;

/// Format of a report on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Text for people.
    Text,
    /// JSON for programs.
    Json,
}

/// Flags that change a scenario after it is read.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Changes {
    /// Override a key of the scenario, as in `-s publishers.main.rate=50`. May be repeated. SSE_BENCH_SET may hold several, one a line.
    #[arg(
        short,
        long = "set",
        value_name = "KEY.PATH=VALUE",
        env = "SSE_BENCH_SET",
        hide_env_values = true,
        value_delimiter = '\n'
    )]
    pub set: Vec<String>,

    /// Override the seed, a whole number. Arrivals, targets, payload sizes and jitter are drawn from it.
    #[arg(long, env = "SSE_BENCH_SEED")]
    pub seed: Option<u64>,

    /// Override the duration, 1s to 24h, as in `90s` or `1m30s`. Warm-up, joins, stages and faults scale with it.
    #[arg(short = 'z', long, value_parser = run_duration, value_name = "DURATION", env = "SSE_BENCH_DURATION")]
    pub duration: Option<Duration>,

    /// Multiply the number of clients by this factor above 0. Each group keeps at least one client.
    #[arg(
        long,
        allow_negative_numbers = true,
        value_parser = factor,
        value_name = "FACTOR",
        env = "SSE_BENCH_CLIENTS_SCALE"
    )]
    pub clients_scale: Option<f64>,

    /// Multiply each publisher's rate by this factor above 0.
    #[arg(
        long,
        allow_negative_numbers = true,
        value_parser = factor,
        value_name = "FACTOR",
        env = "SSE_BENCH_RATE_SCALE"
    )]
    pub rate_scale: Option<f64>,

    /// Run without faults.
    #[arg(long, env = "SSE_BENCH_NO_FAULTS", value_parser = FalseyValueParser::new())]
    pub no_faults: bool,

    /// Use running nodes at this URL instead of starting a cluster. May be repeated, or several separated by commas.
    #[arg(long, value_name = "URL", env = "SSE_BENCH_TARGET", hide_env_values = true, value_delimiter = ',', value_parser = no_credentials(base_url))]
    pub target: Vec<String>,

    #[command(flatten)]
    pub trusted: Trusted,
}

impl Changes {
    /// The file with these changes, ready to be parsed.
    pub(super) fn origin(&self, file: String, text: String) -> ScenarioSource {
        let mut set = self.set.clone();
        set.extend(self.seed.map(|seed| format!("seed={seed}")));
        let variables = scenario::variables(set.iter().map(String::as_str).chain([text.as_str()]));
        ScenarioSource {
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

/// Parses the name of a report format; an error lists all names.
pub(super) fn report_formats() -> impl clap::builder::TypedValueParser<Value = OutputFormat> {
    PossibleValuesParser::new(OutputFormat::ALL.map(OutputFormat::name))
        .try_map(|name| OutputFormat::by_name(&name).ok_or("not a format"))
}

/// The directory of a scenario's results when no flag names one.
pub(super) fn dir_of(scenario: &Scenario, now: SystemTime) -> PathBuf {
    match &scenario.output.dir {
        Some(dir) => {
            dir.replace("{name}", &scenario.name).replace("{seed}", &scenario.seed.to_string()).into()
        }
        None => run::default_dir(&scenario.name, now),
    }
}

pub(super) fn read_all(
    paths: &[PathBuf],
    changes: &Changes,
) -> Result<Vec<(ScenarioSource, Scenario)>, Failure> {
    let mut scenarios = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match read(path, changes) {
            Ok(scenario) => scenarios.push(scenario),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(scenarios)
    } else {
        Err(Failure::new(Exit::BadScenario.code(), problems.join("\n")))
    }
}

/// One scenario from its file, with the changes; else all its problems.
pub(super) fn read(path: &Path, changes: &Changes) -> Result<(ScenarioSource, Scenario), String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read the scenario {}: {error}", path.display()))?;
    let name = path.display().to_string();
    let origin = changes.origin(name, text);
    let scenario = origin.scenario().map_err(|error| error.to_string())?;
    // As an hour is long, this too is looked at before the first run.
    tls::read(&scenario.tls).map_err(|error| format!("{}: {}", origin.file, error_chain(&error)))?;
    Ok((origin, scenario))
}
