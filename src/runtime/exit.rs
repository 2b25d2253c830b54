//! The end of a process: the error on stderr, and the exit code. The only place that writes to stderr without tracing.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;

use super::causes::causes;
use super::secrets::refusal;

/// The exit code of a process that cannot go on and may be able to when it is started again: `EX_TEMPFAIL` of
/// `sysexits.h`.
pub const START_AGAIN: u8 = 75;

/// An error that a user caused or can mend, with the process's exit code.
#[derive(Debug)]
pub struct Failure {
    /// Exit code of the process.
    pub code: u8,
    /// The error; its sources are printed below it.
    pub error: Box<dyn Error + Send + Sync>,
    /// Advice for the user; `None` prints no tip.
    pub tip: Option<String>,
}

impl Failure {
    /// A failure with this exit code.
    pub fn new(code: u8, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { code, error: error.into(), tip: None }
    }

    /// Adds advice for the user.
    #[must_use]
    pub fn tip(mut self, tip: impl Into<String>) -> Self {
        self.tip = Some(tip.into());
        self
    }
}

/// Ends `main`: prints a failure and gives its code.
pub fn report(result: Result<u8, Failure>) -> std::process::ExitCode {
    match result {
        Ok(code) => code.into(),
        Err(failure) => {
            print(&failure);
            failure.code.into()
        }
    }
}

/// Parses the command line of this process. Where clap refuses it, ends the process, as `Parser::parse` does, but repeats
/// no secrets.
#[must_use]
pub fn parse<T: clap::Parser>() -> T {
    T::try_parse().unwrap_or_else(|error| refusal(error).exit())
}

fn print(failure: &Failure) {
    // Fails where stderr is a closed terminal; the exit code is the same.
    let _nobody_there = std::io::stderr().write_all(render(failure).as_bytes());
}

/// `error:`, a `caused by:` for every source, `tip:`.
#[must_use]
pub fn render(failure: &Failure) -> String {
    let mut text = format!("error: {}\n", failure.error);
    for cause in failure.error.source().into_iter().flat_map(causes) {
        // Writing to a String cannot fail.
        let _ok = writeln!(text, "  caused by: {cause}");
    }
    if let Some(tip) = &failure.tip {
        let _ok = writeln!(text, "  tip: {tip}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the log in /tmp/x")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_failure_tells_what_why_and_what_to_do() {
        let cause = std::io::Error::other("disk on fire");
        let failure = Failure::new(1, Outer(cause)).tip("put it out");
        assert_eq!(
            render(&failure),
            "error: cannot open the log in /tmp/x\n  caused by: disk on fire\n  tip: put it out\n"
        );
    }
}
