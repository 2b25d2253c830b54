//! The console: a cluster of nodes in a terminal, or one reading of it on standard output.
//!
//! One task a node (`poller`) asks it and sends messages; `update` changes the model, `view` draws it; both are
//! pure, and time comes with messages. The console reaches nodes only by HTTP, as any user could. Read `model`
//! first, then `update`, then `view`; `app` ties them to the terminal.

mod act;
mod alerts;
mod app;
mod bindings;
mod cli;
mod column;
mod command;
mod config;
mod credentials;
mod dialog;
mod editor;
mod fetch;
#[cfg(test)]
mod fixture;
mod followers;
mod keymap;
mod lister;
mod listing;
mod mask;
mod message;
mod model;
mod node;
mod numbers;
mod once;
mod past;
mod picture;
mod plain;
mod point;
mod poller;
mod press;
mod reading;
mod record;
mod run;
mod runner;
mod screen;
mod series;
mod tail;
mod tailer;
mod terminal;
mod theme;
mod update;
mod url;
mod view;

pub use app::run;
pub use cli::Args;
