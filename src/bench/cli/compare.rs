//! `compare`: compares two stored runs.

use std::path::Path;
use std::path::PathBuf;

use clap::Args;

use super::shared::Format;
use super::{check, output};
use crate::bench::exit::Exit;
use crate::bench::verdict::history::{Check, Comparison, JudgedRun, Limit, StoredRun};
use crate::runtime::exit::Failure;

/// Flags of `compare`.
#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// Directory of the baseline run.
    #[arg(value_name = "BASE")]
    pub base: PathBuf,

    /// Directory of the new run.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,

    /// Fail (exit code 99) when a change exceeds this limit, as in 'delivery_latency:p(99)>+10%',
    /// 'publish_time{phase:steady}:max>+5ms', 'events_ok:count<-1%'. May be repeated.
    #[arg(long, value_name = "LIMIT", value_parser = Limit::parse)]
    pub fail_on: Vec<Limit>,

    /// Format of the comparison.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Compares the runs. The exit code is that of the worst limit.
pub(super) fn run(args: &CompareArgs) -> Result<u8, Failure> {
    let (base, new) = (read(&args.base)?, read(&args.new)?);
    let comparison = Comparison::new((&base.0, &base.1), (&new.0, &new.1), &args.fail_on);
    output::print(&match args.format {
        Format::Text => comparison.to_text(),
        Format::Json => comparison.to_json(),
    })?;
    Ok(comparison.exit_code)
}

/// Reads a run and judges it again: a run whose evidence gives another verdict than the one stored is refused.
fn read(dir: &Path) -> Result<(StoredRun, JudgedRun), Failure> {
    let check = Check::new(dir).map_err(check::failure)?;
    match check.differences.first() {
        None => Ok((check.run, check.judged)),
        Some(difference) => {
            let why = format!(
                "{}: judging the run again gives another result than the stored one: {difference}",
                dir.display()
            );
            Err(Failure::new(Exit::Internal.code(), why))
        }
    }
}
