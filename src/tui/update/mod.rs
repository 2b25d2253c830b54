//! Applies messages to the model and returns effects. No clock, no I/O. Read `apply` first.

pub(crate) mod actions;
pub(crate) mod apply;
pub(crate) mod command;
pub(crate) mod flash;
pub(crate) mod keys;
pub(crate) mod mouse;
#[cfg(test)]
pub(crate) mod tests;
