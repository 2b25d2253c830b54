//! Tests of `update`, and a console for the tests of frames.

pub(crate) mod fixture;
mod messages;
