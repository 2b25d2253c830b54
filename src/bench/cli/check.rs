//! `check`: judges a stored run again.

use std::path::PathBuf;

use clap::Args;

use super::output;
use super::shared::Format;
use crate::bench::exit::Exit;
use crate::bench::report::{Report, text};
use crate::bench::verdict::history::{ArchiveError, Check};
use crate::runtime::exit::Failure;

/// Flags of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Directory of a finished run.
    #[arg(value_name = "RUN_DIR")]
    pub dir: PathBuf,

    /// Format of the report; json is that of `report.json`.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,

    /// Print all metrics, counters and processes too, not only what fits on a screen.
    #[arg(long, env = "SSE_BENCH_FULL", value_parser = clap::builder::FalseyValueParser::new())]
    pub full: bool,
}

/// Judges one run again. The exit code is that of the run, or says why it cannot be judged.
pub(super) fn run(args: &CheckArgs) -> Result<u8, Failure> {
    let check = Check::new(&args.dir).map_err(failure)?;
    let report = Report::of(&check.run, &check.judged);
    match args.format {
        Format::Json => output::print(&report.to_json())?,
        Format::Text => {
            let render = if args.full { text::render_full } else { text::render };
            output::print(&(render(&report, output::colour()) + &conclusion(&check)))?
        }
    };
    Ok(check.exit().code())
}

fn conclusion(check: &Check) -> String {
    let mut text = "  █ CHECK\n".to_owned();
    if check.differences.is_empty() {
        let code = check.decision.exit_code;
        text.push_str(&format!(
            "    the evidence gives the same verdict and counts as the run did (exit code {code})\n"
        ));
    }
    if check.is_full && check.differences.is_empty() {
        text.push_str("    the history gives the same ledgers\n");
    }
    for difference in &check.differences {
        text.push_str(&format!("    ✗ {difference}\n"));
    }
    text
}

/// A directory without a stored run is a bad argument; damaged evidence is an error of its own.
pub(super) fn failure(error: ArchiveError) -> Failure {
    let exit = if error.is_unsuitable() { Exit::BadScenario } else { Exit::Internal };
    Failure::new(exit.code(), error)
}
