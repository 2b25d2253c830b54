//! The console: a cluster of nodes in a terminal, or one reading of it on standard output.
//!
//! The order of its rooms, each of which may import only from those below it:
//!
//! | room | what lives there |
//! |---|---|
//! | `tests` | tests of the whole: messages in, frames out |
//! | `app` | the loop between the terminal, the sources and the model |
//! | `snapshot` | `--once`: one reading on standard output |
//! | `terminal` | the terminal, taken and given back |
//! | `update` | a message changes the model and asks for effects. Pure |
//! | `view` | a model becomes a frame. Pure |
//! | `sources` | tasks that send messages: polls of nodes, streams, a bench run, a recording |
//! | `state` | the model: everything that the console knows and shows. Pure |
//! | `config` | command line, configuration file, keys, themes, token |
//! | `text` | numbers, cells, URLs, and texts from elsewhere made harmless |
//!
//! Time comes with messages. The console reaches nodes only by HTTP, as any user could. Read `state::model` first,
//! then `update::apply`, then `view::draw`; `app` ties them to the terminal.

mod app;
mod config;
mod snapshot;
mod sources;
mod state;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod update;
mod view;

pub use app::run;
pub use config::cli::Args;
