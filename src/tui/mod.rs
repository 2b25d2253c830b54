//! The console: a cluster of nodes in a terminal, or one reading of it on standard output.
//!
//! One task a node (`poller`) asks it and sends messages; `update` changes the model, `view` draws it; both are
//! pure, and time comes with messages. The console reaches nodes only by HTTP, as any user could. Read `model`
//! first, then `update`, then `view`; `app` ties them to the terminal.

mod app;
mod cli;
mod column;
mod fetch;
#[cfg(test)]
mod fixture;
mod keymap;
mod message;
mod model;
mod node;
mod numbers;
mod once;
mod picture;
mod plain;
mod poller;
mod reading;
mod series;
mod terminal;
mod theme;
mod update;
mod url;
mod view;

pub use app::run;
pub use cli::Args;
