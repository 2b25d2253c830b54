//! The commands of `sse-node`. Read [`Cli`] first.

mod command;
mod failure;
mod healthcheck;
mod publish;
#[cfg(test)]
mod tests;
mod token;

pub use command::{Cli, Command, run};
pub use healthcheck::Healthcheck;
pub use publish::Publish;
pub use token::Token;
