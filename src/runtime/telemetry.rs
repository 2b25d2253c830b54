//! Logs of a process: to stderr, filtered by `SSE_LOG` or `RUST_LOG`, as text or JSON lines.

use std::io::{self, IsTerminal as _, Write};

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// One line of text for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends tracing to stderr. `default_filter` holds where neither `SSE_LOG` nor `RUST_LOG` is set.
/// Calling it twice in one process keeps the first one.
pub fn init(format: LogFormat, default_filter: &str) {
    let filter = EnvFilter::try_from_env("SSE_LOG")
        .or_else(|_| EnvFilter::try_from_default_env())
        .unwrap_or_else(|_| EnvFilter::new(default_filter));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Otherwise the subscriber reports write errors on stderr, and panics where stderr is a closed terminal.
        .log_internal_errors(false)
        .with_writer(Stderr::new)
        .with_ansi(io::stderr().is_terminal());
    // An error means that a subscriber is set already; the first one stays.
    let _first_one_wins = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// Stderr. On a terminal its line is cleared first: a line of progress may stand there.
struct Stderr {
    is_terminal: bool,
}

impl Stderr {
    fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal() }
    }
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        if self.is_terminal {
            stderr.write_all(b"\r\x1b[2K")?;
        }
        stderr.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
