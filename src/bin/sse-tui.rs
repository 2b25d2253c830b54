//! sse-tui: the console. Parses arguments, runs `sse_lab::tui`, gives the exit code.

use std::process::ExitCode;

use sse_lab::runtime::exit::{Failure, parse, report};
use sse_lab::tui;

fn main() -> ExitCode {
    let args = parse::<tui::Args>();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    report(runtime.map_err(|error| Failure::new(1, error)).and_then(|runtime| {
        let result = runtime.block_on(tui::run(args));
        // Not waited for: a name that the resolver still looks up must not delay the end.
        runtime.shutdown_background();
        result
    }))
}
