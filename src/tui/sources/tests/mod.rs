//! For tests only.

pub(crate) mod server;
