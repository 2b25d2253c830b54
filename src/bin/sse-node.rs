//! `sse-node`: the server. Parses the command line, calls the room, ends with its exit code.

use std::process::ExitCode;

use sse_lab::node::cli::{Cli, run};
use sse_lab::runtime::exit;

fn main() -> ExitCode {
    exit::report(run(exit::parse::<Cli>()))
}
