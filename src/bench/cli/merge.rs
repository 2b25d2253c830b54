//! `merge`: makes one run of several stored runs of one scenario.

use std::path::PathBuf;

use clap::Args;

use super::shared::Format;
use super::{check, output};
use crate::bench::exit::Exit;
use crate::bench::report::ReportFiles;
use crate::bench::run;
use crate::bench::scenario::OutputFormat;
use crate::bench::verdict::history::{self, Archive, ArchiveError, MergeError};
use crate::runtime::exit::Failure;

/// Flags of `merge`.
#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// Directories of finished runs; merged runs are allowed.
    #[arg(required = true, value_name = "RUN_DIR")]
    pub dirs: Vec<PathBuf>,

    /// Directory for the merged run. It must not hold a run.
    #[arg(short, long, value_name = "DIR", env = "SSE_BENCH_OUT")]
    pub out: PathBuf,

    /// Format of the report on stdout; json is that of `report.json`. The directory gets both.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Merges, stores and reports. The exit code is that of the merged verdict.
pub(super) fn run(args: &MergeArgs) -> Result<u8, Failure> {
    let refused = |why: String| Failure::new(Exit::BadScenario.code(), why);
    let out = &args.out;
    if !matches!(Archive::open(out), Err(ArchiveError::Missing(_))) {
        return Err(refused(format!(
            "--out {}: it holds a run already; name another directory",
            out.display()
        )));
    }
    let case = history::merge(&args.dirs).map_err(|error| match error {
        MergeError::Archive(error) => check::failure(error),
        MergeError::Differs(_) => Failure::new(Exit::Internal.code(), error),
        MergeError::Twice(..) | MergeError::Different { .. } | MergeError::Nothing => {
            refused(error.to_string())
        }
    })?;
    let broken = |why: String| Failure::new(Exit::Internal.code(), why);
    std::fs::create_dir_all(out)
        .map_err(|error| broken(format!("cannot create the directory {}: {error}", out.display())))?;
    run::forget(out).map_err(|(path, error)| broken(format!("cannot remove {}: {error}", path.display())))?;
    let judgement = case.judge();
    let told = ReportFiles::of(&case, &judgement);
    let unwritten = run::write(out, &told, &[OutputFormat::Text, OutputFormat::Json]);
    history::store(out, &case, &judgement, Vec::new()).map_err(|error| broken(error.to_string()))?;
    output::print(&match args.format {
        Format::Text => told.stdout(OutputFormat::Text, output::colour()),
        Format::Json => told.stdout(OutputFormat::Json, output::colour()),
    })?;
    match unwritten.into_iter().next() {
        Some(why) => Err(broken(why)),
        None => Ok(judgement.verdict.exit.code()),
    }
}
