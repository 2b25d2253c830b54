//! `run` and `validate`: scenarios from files, one after the other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::output;
use super::shared::{Changes, dir_of, read_all, report_formats};
use crate::bench::exit::Exit;
use crate::bench::ids::RunId;
use crate::bench::report::{self, Report};
use crate::bench::run::doctor::{self, Limits, Need};
use crate::bench::run::environment::Environment;
use crate::bench::run::{self, Needs, Outcome, RunOptions};
use crate::bench::scenario::plan::{FaultEdge, Plan};
use crate::bench::scenario::{Guarantee, OutputFormat, Scenario, ScenarioSource};
use crate::bench::verdict::history::History;
use crate::runtime::exit::{self, Failure};

/// Flags of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Scenario files, run one after the other.
    #[arg(required = true, value_name = "SCENARIO.toml")]
    pub scenarios: Vec<PathBuf>,

    /// Directory for reports and node logs; several runs get a subdirectory each
    /// [default: the scenario's output.dir, else runs/<name>-<time>].
    #[arg(short, long, value_name = "DIR", env = "SSE_BENCH_OUT")]
    pub out: Option<PathBuf>,

    /// Formats of the report files, separated by commas. The first one is also printed to stdout
    /// [default: the scenario's output.formats, else text,json].
    #[arg(long, value_parser = report_formats(), value_delimiter = ',', env = "SSE_BENCH_FORMAT")]
    pub format: Vec<OutputFormat>,

    /// Print all metrics, counters and processes too, not only what fits on a screen.
    #[arg(long, env = "SSE_BENCH_FULL", value_parser = FalseyValueParser::new())]
    pub full: bool,

    #[command(flatten)]
    pub changes: Changes,

    /// Run each scenario N times, each time with the next seed.
    #[arg(
        long,
        value_parser = clap::value_parser!(u32).range(1..),
        value_name = "N",
        env = "SSE_BENCH_REPEAT"
    )]
    pub repeat: Option<u32>,

    /// Repeat until a run does not pass.
    #[arg(long, env = "SSE_BENCH_UNTIL_FAIL", value_parser = FalseyValueParser::new())]
    pub until_fail: bool,

    /// Short form of --quiet, for `run` only.
    #[arg(short)]
    pub q: bool,

    /// Keep the nodes running after the report, until ^C. For a single run only.
    #[arg(long, env = "SSE_BENCH_KEEP_CLUSTER", value_parser = FalseyValueParser::new())]
    pub keep_cluster: bool,

    /// Follow the run in the console (sse-tui) instead of printing progress lines.
    #[arg(long, env = "SSE_BENCH_TUI", value_parser = FalseyValueParser::new())]
    pub tui: bool,

    /// Do not open the console, even if SSE_BENCH_TUI is set.
    #[arg(long, overrides_with = "tui")]
    pub no_tui: bool,

    /// What to store for `check`, `merge` and `compare`.
    #[arg(long, value_enum, default_value = "anomalies", env = "SSE_BENCH_HISTORY")]
    pub history: HistoryMode,

    /// Serve the current counters for Prometheus on http://ADDR/metrics while a run lasts.
    #[arg(long, value_name = "ADDR", env = "SSE_BENCH_PROMETHEUS")]
    pub prometheus: Option<SocketAddr>,

    /// Number of worker processes for the clients; 1 keeps all clients in this process
    /// [default: the scenario's, else as many as the limit of open files requires].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64), value_name = "N", env = "SSE_BENCH_WORKERS")]
    pub workers: Option<u16>,
}

/// What a run stores beside its report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum HistoryMode {
    /// Nothing is stored.
    Off,
    /// The counts of each client and publisher, the histograms, and every anomaly: enough for all three commands.
    Anomalies,
    /// Also one line for each arrival and each publish, which makes large files.
    All,
}

/// Flags of `validate`.
#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// Scenario files to check.
    #[arg(required = true, value_name = "SCENARIO.toml")]
    pub scenarios: Vec<PathBuf>,

    #[command(flatten)]
    pub changes: Changes,
}

/// Runs all scenarios; the exit code is the worst one.
pub(super) async fn run_all(
    args: &RunArgs,
    quiet: bool,
    interrupt: &CancellationToken,
) -> Result<u8, Failure> {
    if args.keep_cluster && args.scenarios.len() > 1 {
        let why = "--keep-cluster cannot be used with several scenarios, because it keeps the cluster of a single run";
        return Err(Failure::new(Exit::Usage.code(), why));
    }
    if args.keep_cluster && (args.repeat.is_some() || args.until_fail) {
        let why = "--keep-cluster cannot be used with --repeat or --until-fail, because it keeps the cluster of a single run";
        return Err(Failure::new(Exit::Usage.code(), why));
    }
    // Reads all files before the first run, so that a typing error in the last file costs no time.
    let origins = read_all(&args.scenarios, &args.changes)?;
    let limits = Limits::read();
    let mut batch = Batch { args, quiet, limits, interrupt, rows: Vec::new() };
    let mut round = 0;
    loop {
        for (origin, scenario) in &origins {
            if !interrupt.is_cancelled() {
                batch.run_one(origin, scenario, round).await?;
            }
        }
        round += 1;
        if interrupt.is_cancelled() || !batch.goes_on(round) {
            break;
        }
    }
    batch.close()?;
    Ok(batch.worst().code())
}

/// The runs of one command line.
struct Batch<'a> {
    args: &'a RunArgs,
    quiet: bool,
    limits: Limits,
    interrupt: &'a CancellationToken,
    rows: Vec<Row>,
}

/// One row of the closing table.
struct Row {
    name: String,
    seed: u64,
    exit: Exit,
    report: Option<Report>,
    dir: PathBuf,
}

impl Batch<'_> {
    fn worst(&self) -> Exit {
        self.rows.iter().map(|row| row.exit).max().unwrap_or(Exit::Pass)
    }

    fn goes_on(&self, rounds: u32) -> bool {
        let has_failed = self.rows.iter().any(|row| row.exit != Exit::Pass);
        if self.args.until_fail && has_failed {
            return false;
        }
        // `--until-fail` alone has no last run.
        self.args.repeat.map_or(self.args.until_fail, |repeat| rounds < repeat)
    }

    /// Prints the summary of several runs: JUnit suites in one document, or a table.
    fn close(&self) -> Result<(), Failure> {
        if self.args.format.first() == Some(&OutputFormat::Junit) {
            let reports: Vec<&Report> = self.rows.iter().filter_map(|row| row.report.as_ref()).collect();
            output::print(&report::render_junit(&reports))?;
        } else if self.rows.len() > 1
            && self.args.format.first().is_none_or(|first| *first == OutputFormat::Text)
        {
            output::print(&render_table(&self.rows))?;
        }
        Ok(())
    }

    async fn run_one(
        &mut self,
        origin: &ScenarioSource,
        scenario: &Scenario,
        round: u32,
    ) -> Result<(), Failure> {
        let mut scenario = scenario.clone();
        scenario.seed = scenario.seed.wrapping_add(u64::from(round));
        let origin = ScenarioSource { seed: Some(scenario.seed), ..origin.clone() };
        let formats = self.formats(&scenario);
        let options = RunOptions {
            dir: self.dir(&scenario),
            formats: formats.clone(),
            full: self.args.full,
            show_progress: !self.quiet,
            keep_cluster: self.args.keep_cluster,
            origin,
            history: of_history(self.args.history),
            prometheus: self.args.prometheus.or(scenario.output.prometheus),
            workers: self.args.workers,
        };
        tracing::info!(scenario = scenario.name, seed = scenario.seed, dir = %options.dir.display(), "runs");
        let mut row = Row {
            name: scenario.name.clone(),
            seed: scenario.seed,
            exit: Exit::Pass,
            report: None,
            dir: options.dir.clone(),
        };
        // Boxed: the whole run is one future, and this one should stay small.
        match Box::pin(run::run(&scenario, &options, &self.limits, self.interrupt)).await {
            Ok(outcome) => {
                row.exit = outcome.exit;
                row.report = Some(outcome.told.report.clone());
                self.tell(outcome, &formats).await?;
            }
            Err(error) => {
                row.exit = error.exit();
                let failure = Failure::new(row.exit.code(), error);
                let text = format!("{} {}: {}", row.exit.word(), scenario.name, exit::render(&failure));
                self.tell_failure(&mut row, &text, &formats)?;
            }
        }
        self.rows.push(row);
        Ok(())
    }

    /// Prints why there is no run: in words, or as the report in another format, which is among its files.
    fn tell_failure(&self, row: &mut Row, text: &str, formats: &[OutputFormat]) -> Result<(), Failure> {
        let told = run::read(&row.dir, Needs::Series).ok();
        row.report = told.as_ref().map(|told| told.report.clone());
        let is_in_suites = !self.args.format.is_empty();
        match (told, formats.first()) {
            (Some(_), Some(OutputFormat::Junit)) if is_in_suites => {}
            (Some(told), Some(first)) if *first != OutputFormat::Text => {
                output::print(&told.stdout(*first, output::colour()))?;
            }
            (None | Some(_), None | Some(_)) => _ = output::print(text)?,
        }
        Ok(())
    }

    async fn tell(&self, outcome: Outcome, formats: &[OutputFormat]) -> Result<(), Failure> {
        let first = formats.first().copied().unwrap_or(OutputFormat::Text);
        // JUnit suites are printed together after the last run.
        if first != OutputFormat::Junit || self.args.format.is_empty() {
            output::print(&outcome.told.stdout(first, output::colour()))?;
        }
        if first == OutputFormat::Text {
            output::print(&format!("  results in {}\n", outcome.dir.display()))?;
        }
        let Some(environment) = outcome.kept else { return Ok(()) };
        self.keep(environment, first).await
    }

    /// Keeps the servers running until ^C. Prints their URLs: to stdout where the report is text, else to the log.
    async fn keep(&self, environment: Environment, first: OutputFormat) -> Result<(), Failure> {
        let load_balancer = environment
            .load_balancer()
            .map(|load_balancer| (load_balancer.handle().id(), load_balancer.base()));
        let nodes = environment.members().iter().map(|member| (member.id.as_str(), member.base.as_str()));
        for (id, url) in load_balancer.into_iter().chain(nodes) {
            if first == OutputFormat::Text {
                output::print(&format!("  {id} is still running at {url}; ^C stops it\n"))?;
            } else {
                tracing::info!(id, url, "still running; ^C stops it");
            }
        }
        self.interrupt.cancelled().await;
        for unclean in environment.stop(std::time::Duration::from_secs(30)).await {
            tracing::error!("{unclean}");
        }
        Ok(())
    }

    fn formats(&self, scenario: &Scenario) -> Vec<OutputFormat> {
        if !self.args.format.is_empty() {
            return self.args.format.clone();
        }
        if !scenario.output.formats.is_empty() {
            return scenario.output.formats.clone();
        }
        vec![OutputFormat::Text, OutputFormat::Json]
    }

    /// The directory of one run: the flag, else the scenario's key, else the default; a subdirectory where there are several runs.
    fn dir(&self, scenario: &Scenario) -> PathBuf {
        let is_one_of_many =
            self.args.scenarios.len() > 1 || self.args.repeat.is_some() || self.args.until_fail;
        if let Some(out) = &self.args.out {
            let own = run::default_dir(&scenario.name, SystemTime::now());
            let own = own.file_name().unwrap_or_default();
            return if is_one_of_many { out.join(own) } else { out.clone() };
        }
        let dir = dir_of(scenario, SystemTime::now());
        let is_taken = self.rows.iter().any(|row| row.dir == dir);
        if is_taken { PathBuf::from(format!("{}-{}", dir.display(), self.rows.len() + 1)) } else { dir }
    }
}

fn of_history(flag: HistoryMode) -> History {
    match flag {
        HistoryMode::Off => History::Off,
        HistoryMode::Anomalies => History::Anomalies,
        HistoryMode::All => History::All,
    }
}

fn render_table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max("scenario".len());
    let mut text = format!(
        "\n{:<width$}  {:>10}  {:<11}  {:>10}  {:>10}  {:>6}  {:>5}  {:>9}  {:>9}  results in\n",
        "scenario", "seed", "verdict", "expected", "ok", "lost", "dup", "reordered", "p99 ms",
    );
    for row in rows {
        let verdict = format!("{} {}", row.exit.word(), row.exit.code());
        let ran = row.report.as_ref().filter(|_| row.exit != Exit::SetupFailed);
        let figures = match ran.map(|report| &report.summary) {
            Some(summary) => format!(
                "{:>10}  {:>10}  {:>6}  {:>5}  {:>9}  {:>9}",
                summary.events_expected,
                summary.events_ok,
                summary.events_lost,
                summary.events_duplicated,
                summary.events_reordered,
                summary.delivery_latency_p99_ms.map_or("-".to_owned(), |value| format!("{value:.1}")),
            ),
            None => format!("{:>10}  {:>10}  {:>6}  {:>5}  {:>9}  {:>9}", "-", "-", "-", "-", "-", "-"),
        };
        let (name, seed, dir) = (&row.name, row.seed, row.dir.display());
        text.push_str(&format!("{name:<width$}  {seed:>10}  {verdict:<11}  {figures}  {dir}\n"));
    }
    text
}

/// Reads scenarios and prints their plans.
pub(super) fn validate(args: &ValidateArgs) -> Result<u8, Failure> {
    let scenarios = read_all(&args.scenarios, &args.changes)?;
    let limits = Limits::read();
    let mut fits = true;
    for (_, scenario) in &scenarios {
        let plan = Plan::new(scenario, RunId::from_random(0));
        let (text, fit) = describe(&plan, scenario, &limits);
        fits &= fit;
        output::print(&text)?;
    }
    Ok(if fits { Exit::Pass.code() } else { Exit::BadScenario.code() })
}

/// Describes a plan: its steps, what it needs, and whether this machine has enough.
fn describe(plan: &Plan, scenario: &Scenario, limits: &Limits) -> (String, bool) {
    let budget = plan.budget();
    let need = Need::of(plan, &budget, limits, scenario.workers);
    let findings = doctor::assess(limits, need);
    let mut text = format!(
        "{}: valid\n  seed {}, {:?}, {} nodes, {} clients in {} groups, {} publishers, {} addresses\n  \
         {} events, {}{} deliveries expected\n",
        plan.name,
        plan.seed,
        plan.duration,
        plan.nodes.len(),
        plan.subscribers.len(),
        plan.groups.len(),
        plan.publishers.len(),
        plan.addresses.len(),
        budget.events,
        // At most once: events published while a client is away are not owed.
        if plan.verify.delivery == Guarantee::AtMostOnce { "at most " } else { "" },
        budget.deliveries,
    );
    for step in plan.timeline() {
        let fault = &plan.faults[usize::from(step.fault.0)];
        let edge = match step.edge {
            FaultEdge::Apply => "apply",
            FaultEdge::Heal => "heal",
        };
        text.push_str(&format!("  {:>8.3}s  {edge:<5}  {}\n", step.at.as_secs_f64(), fault.title()));
    }
    for overlap in plan.overlaps() {
        text.push_str(&format!("  warning: {overlap}\n"));
    }
    for undersized in plan.undersized() {
        text.push_str(&format!("  warning: {undersized}\n"));
    }
    text.push_str(&doctor::render(&findings));
    (text, !findings.iter().any(|finding| finding.is_fatal))
}
