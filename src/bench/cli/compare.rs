//! `compare`: two stored runs beside each other.

use std::path::Path;

use super::args::{CompareArgs, Format};
use super::{check, output};
use crate::bench::history::{Case, Check, Comparison, Judgement};
use crate::bench::verdict::Exit;
use crate::runtime::exit::Failure;

/// Lays them beside each other; the exit code is that of the worst limit.
pub(super) fn run(args: &CompareArgs) -> Result<u8, Failure> {
    let (base, new) = (read(&args.base)?, read(&args.new)?);
    let comparison = Comparison::new((&base.0, &base.1), (&new.0, &new.1), &args.fail_on);
    output::print(&match args.format {
        Format::Text => comparison.to_text(),
        Format::Json => comparison.to_json(),
    })?;
    Ok(comparison.exit_code)
}

/// What differs from what its run came to is not compared with anything.
fn read(dir: &Path) -> Result<(Case, Judgement), Failure> {
    let check = Check::new(dir).map_err(check::failure)?;
    match check.differences.first() {
        None => Ok((check.case, check.judgement)),
        Some(difference) => {
            let why =
                format!("{}: the evidence does not give what the run came to: {difference}", dir.display());
            Err(Failure::new(Exit::Internal.code(), why))
        }
    }
}
