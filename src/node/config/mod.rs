//! The configuration of a node, in two steps: the texts of the user, from four sources in order of precedence (flag,
//! environment `SSE_NODE_*`, file, default), and the parsed [`Config`]. All errors are reported at once. Limits that
//! nobody needs to tune are in [`super::limits`].

mod access;
pub mod default;
mod flags;
mod group;
mod render;
mod resolve;
mod secret;
mod settings;
mod typed;
mod value;

pub use access::AccessConfig;
pub(crate) use access::token_secret;
pub use flags::{Flags, LogFlags, ServeFlags};
pub use render::default_file;
pub use resolve::{ConfigProblem, InvalidConfig, ValueSource};
pub use secret::Secret;
pub use typed::{Config, Loaded, RejectMode, TakeoverMode};

#[cfg(test)]
mod tests;
