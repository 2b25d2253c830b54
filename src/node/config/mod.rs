//! The configuration of a node, in two steps: what the user wrote, from four places that go before one another
//! (flag, environment `SSE_NODE_*`, file, default), and [`Config`], ready to use. All that is wrong is said at once.
//! Whatever nobody needs to tune stands in [`super::limits`].

mod flags;
mod render;
mod resolve;
mod secret;
mod settings;
mod typed;
mod value;

pub use flags::{Flags, LogFlags, ServeFlags};
pub use render::default_file;
pub use resolve::{InvalidConfig, Origin, Problem};
pub use secret::Secret;
pub use settings::default;
pub use typed::{Config, Loaded, RejectMode, TakeOverMode};

#[cfg(test)]
mod tests;
