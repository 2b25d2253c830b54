//! `sse-bench`: puts load and faults on a cluster of SSE nodes and judges what was delivered.

use std::process::ExitCode;

fn main() -> ExitCode {
    sse_lab::runtime::exit::report(sse_lab::bench::cli::main(std::env::args_os()))
}
