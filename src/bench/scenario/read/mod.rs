//! Reads a scenario file: TOML into the model, all problems at once. [`scenario`] calls the readers of all sections.
//! Read [`scenario`] first.

mod clients;
pub(super) mod cluster;
mod dialect;
pub(super) mod expand;
pub(super) mod fault_links;
mod fault_target;
pub(super) mod faults;
pub(super) mod field_schema;
mod format_hints;
mod hostile;
mod nemesis;
pub(super) mod overrides;
pub(super) mod problem;
mod publishers;
mod raw;
pub(super) mod scenario;
mod secrets;
mod section;
mod source_ips;
mod values;
