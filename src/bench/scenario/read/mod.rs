//! Reads a scenario file: TOML into the model, all problems at once. Read [`scenario`] first.

pub mod clients;
pub mod cluster;
pub mod dialect;
pub mod expand;
pub mod fault_links;
pub mod fault_target;
pub mod faults;
pub mod format_hints;
pub mod limits;
pub mod nemesis;
pub mod overrides;
pub mod problem;
pub mod publishers;
pub mod raw;
pub mod scenario;
pub mod section;
pub mod source_ips;
pub mod template;
pub mod values;
