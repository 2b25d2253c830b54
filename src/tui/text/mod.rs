//! Texts, numbers and URLs for a terminal. Read `sanitize` first.

pub(crate) mod cells;
pub(crate) mod format;
pub(crate) mod sanitize;
pub(crate) mod url;
