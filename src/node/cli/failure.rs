//! Failures that several commands of `sse-node` have in common.

use crate::node::config::InvalidConfig;
use crate::runtime::exit::Failure;

/// Exit code of a command line or a configuration that is not valid; clap uses the same one.
pub(super) const USAGE: u8 = 2;

/// The failure of a command whose configuration is not valid.
pub(super) fn invalid_config(error: InvalidConfig) -> Failure {
    Failure::new(USAGE, error).tip("sse-node default-config shows every setting with its default")
}
