//! Command line, configuration file, and the things they configure: keys, screens, theme, token. Read `cli` first.

pub(crate) mod bindings;
pub(crate) mod cli;
pub(crate) mod credentials;
pub(crate) mod file;
pub(crate) mod key;
pub(crate) mod keymap;
pub(crate) mod run_source;
pub(crate) mod screen;
pub(crate) mod theme;
