//! The JSON Schema of a scenario file, made from the questions that the reader asks.

pub mod examples;
pub mod field_schema;
#[expect(clippy::module_inception, reason = "the schema itself, in the room of the schema")]
pub mod schema;
#[cfg(test)]
pub mod tests;
