//! Looks at the directory of a log, and repairs it, while no node has it open. Read [`LogDirectory::check`] first.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::broker::embedded::{Report, check, repair};
use crate::broker::{Lost, OpenError};
use crate::runtime::exit::Failure;

/// Exit code of `check-log` when something is damaged or missing.
const DAMAGED: u8 = 3;

/// The argument of `sse-node check-log` and `repair-log`.
#[derive(Debug, clap::Args)]
pub struct LogDirectory {
    /// Directory of the log, as in --broker file:DIR
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl LogDirectory {
    pub(super) fn check(&self) -> Result<(u8, String), Failure> {
        let report = check(&self.directory).map_err(failure)?;
        Ok((if report.is_whole() { 0 } else { DAMAGED }, text(&report)))
    }

    pub(super) fn repair(&self) -> Result<(u8, String), Failure> {
        let report = repair(&self.directory).map_err(failure)?;
        let mut text = text(&report);
        let code = match (&report.content, &report.kept) {
            (Err(_), _) => {
                text.push_str("not repaired, and nothing was changed: restore a copy, or begin with another directory\n");
                DAMAGED
            }
            (Ok(_), None) => 0,
            (Ok(_), Some(kept)) => {
                // Writing to a String cannot fail.
                let _ok = writeln!(text, "repaired; the damaged directory is now {}", kept.display());
                0
            }
        };
        Ok((code, text))
    }
}

fn failure(error: OpenError) -> Failure {
    match error {
        OpenError::InUse { .. } => Failure::new(1, error).tip("stop the node that has the directory open"),
        OpenError::Directory { .. } | OpenError::Store(_) | OpenError::Unfit { .. } => Failure::new(1, error),
    }
}

fn text(report: &Report) -> String {
    let mut lines = report.damage.clone();
    if let Ok((bounds, lost)) = &report.content {
        let (oldest, newest) = (bounds.start_cursor(), bounds.newest_cursor());
        lines.push(format!("{} events are there, after {oldest} and up to {newest}", bounds.length));
        lines.push(format!("{} messages are in {} mailboxes", bounds.mailbox_messages, bounds.mailboxes));
        match lost {
            Some(Lost { events, after, up_to }) => {
                lines.push(format!(
                    "{events} acknowledged events are missing, after {after} and up to {up_to}"
                ));
            }
            None => lines.push("no event is missing".to_owned()),
        }
    }
    lines.join("\n") + "\n"
}
