//! The JSON Schema of a scenario file, made from the keys that the reader asks for. Read [`schema`] first.

pub(super) mod examples;
#[expect(clippy::module_inception, reason = "the function that the module is named after")]
pub(super) mod schema;
#[cfg(test)]
mod tests;
