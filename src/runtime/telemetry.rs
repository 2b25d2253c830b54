//! Logs of a process: to stderr, filtered by `SSE_LOG` or `RUST_LOG`, as text or JSON lines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
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
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // An error means that a subscriber is set already; the first one stays.
    let _first_one_wins = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
