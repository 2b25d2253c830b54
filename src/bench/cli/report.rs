//! `report`: writes the reports of finished runs again, in any format. Nothing is judged again.

use std::path::PathBuf;

use clap::Args;

use super::output;
use super::shared::report_formats;
use crate::bench::exit::Exit;
use crate::bench::report::{self, ReportFiles};
use crate::bench::run::{self, Needs};
use crate::bench::scenario::OutputFormat;
use crate::runtime::exit::Failure;

/// Flags of `report`.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Directories of finished runs.
    #[arg(required = true, value_name = "RUN_DIR")]
    pub runs: Vec<PathBuf>,

    /// Formats of the reports, separated by commas. Without --out only the first one is used, and printed to stdout.
    #[arg(long, value_parser = report_formats(), value_delimiter = ',', default_value = "text", env = "SSE_BENCH_FORMAT")]
    pub format: Vec<OutputFormat>,

    /// Print all metrics, counters and processes too, not only what fits on a screen.
    #[arg(long, env = "SSE_BENCH_FULL", value_parser = clap::builder::FalseyValueParser::new())]
    pub full: bool,

    /// Write every format as a file into this directory, and nothing to stdout. Several runs get a subdirectory each.
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Reads the runs, and writes their reports to stdout or into a directory.
pub(super) fn write(args: &ReportArgs) -> Result<u8, Failure> {
    let needs = if args.format.iter().copied().any(needs_series) { Needs::Series } else { Needs::Report };
    let read = |dir: &PathBuf| match run::read(dir, needs) {
        Ok(told) => Ok(ReportFiles { is_full: args.full, ..told }),
        Err(error) => Err(Failure::new(Exit::BadScenario.code(), error)),
    };
    let runs: Vec<ReportFiles> = args.runs.iter().map(read).collect::<Result<_, _>>()?;
    if let Some(out) = &args.out {
        for told in &runs {
            let dir = if runs.len() > 1 { out.join(&told.report.run.id) } else { out.clone() };
            std::fs::create_dir_all(&dir)
                .map_err(|error| format!("cannot create the directory {}: {error}", dir.display()))
                .and_then(|()| match run::write_formats(&dir, told, &args.format) {
                    unwritten if unwritten.is_empty() => Ok(()),
                    unwritten => Err(unwritten.join("\n")),
                })
                .map_err(|why| Failure::new(Exit::Internal.code(), why))?;
        }
        return Ok(Exit::Pass.code());
    }
    let first = args.format.first().copied().unwrap_or(OutputFormat::Text);
    if first == OutputFormat::Junit {
        let reports: Vec<_> = runs.iter().map(|told| &told.report).collect();
        return output::print(&report::render_junit(&reports));
    }
    for told in &runs {
        output::print(&told.stdout(first, output::colour()))?;
    }
    Ok(Exit::Pass.code())
}

/// Whether a format shows data over time.
fn needs_series(format: OutputFormat) -> bool {
    match format {
        OutputFormat::Csv | OutputFormat::Hlog | OutputFormat::Hgrm | OutputFormat::Html => true,
        OutputFormat::Text | OutputFormat::Json | OutputFormat::Junit | OutputFormat::Md => false,
    }
}
