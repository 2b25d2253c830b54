//! `sse-node`.
use clap::Parser as _;
use sse_lab::node::config::Config;
use sse_lab::runtime::{exit, rlimit, telemetry};

#[derive(clap::Parser)]
enum Cli {
    Serve(Config),
}

fn main() -> std::process::ExitCode {
    let Cli::Serve(config) = Cli::parse();
    telemetry::init(telemetry::LogFormat::Text, "info,fjall=warn,lsm_tree=warn");
    rlimit::raise_open_files();
    if config.die_with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    exit::report(
        runtime.block_on(sse_lab::node::run(config)).map(|()| 0).map_err(|e| exit::Failure::new(1, e)),
    )
}
