//! What `sse-bench` does with its command line. Results go to stdout, everything else to stderr; the exit code is the
//! worst of everything. Read [`main`] first.

mod args;
mod check;
mod compare;
mod dispatch;
mod merge;
mod new;
mod output;
mod proxy;
mod publish;
mod report;
mod run;
mod run_with_console;
pub mod shared;
mod swarm;
mod tls;
mod up;
mod values;

pub use dispatch::main;
