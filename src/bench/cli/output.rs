//! Writes results to stdout. A reader that has gone (`sse-bench … | head`, or a closed terminal) is not an error.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use rustix::io::Errno;

use crate::bench::exit::Exit;
use crate::bench::metrics::recorder::{Samples, Value};
use crate::bench::report::text::Colour;
use crate::runtime::exit::Failure;

/// Writes text to stdout.
pub(super) fn print(text: &str) -> Result<u8, Failure> {
    print_bytes(text.as_bytes())
}

/// Writes bytes to stdout and returns the exit code of a pass.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<u8, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if !is_gone(&error) => Err(Failure::new(Exit::Internal.code(), error)),
        Ok(()) | Err(_) => Ok(Exit::Pass.code()),
    }
}

/// Whether stdout has no reader any more: a closed pipe, or a closed terminal.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe || error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

/// A time in a summary, in milliseconds; `None` where there are no samples or an event never arrived.
pub(super) fn millis(value: Option<Duration>) -> Option<f64> {
    value.map(|value| value.as_secs_f64() * 1e3)
}

/// The longest time in a summary, in milliseconds; `None` where an event never arrived.
pub(super) fn largest(samples: &Samples) -> Option<f64> {
    match samples.max()? {
        Value::Of(value) => millis(Some(value)),
        Value::Lost => None,
    }
}

/// Colours for a terminal, and none where `NO_COLOR` is set.
pub(super) fn colour() -> Colour {
    let wanted =
        io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted { Colour::On } else { Colour::Off }
}
