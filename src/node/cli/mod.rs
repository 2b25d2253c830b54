//! The commands of `sse-node`. Read [`Cli`] first.

mod command;
mod failure;
mod healthcheck;
mod log_files;
mod publish;
#[cfg(test)]
mod tests;
mod token;

pub use command::{Cli, Command, run};
pub use healthcheck::Healthcheck;
pub use log_files::LogDirectory;
pub use publish::Publish;
pub use token::Token;
