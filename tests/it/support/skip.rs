//! Tests that this machine cannot run. Read [`skip`] first.

use std::io::Write as _;

/// With this variable set to 1 a skipped test fails. CI sets it.
const REQUIRE_ALL: &str = "SSE_LAB_REQUIRE_ALL";

/// Prints that a test is skipped, and why; the test then returns. Writes to the handle, since the harness captures
/// `println!` of tests that pass.
///
/// # Panics
/// [`REQUIRE_ALL`] is set to 1.
#[track_caller]
pub(crate) fn skip(reason: &str) {
    writeln!(std::io::stderr(), "skipped: {reason}").unwrap();
    let is_required = std::env::var(REQUIRE_ALL).is_ok_and(|value| value == "1");
    assert!(!is_required, "{REQUIRE_ALL}=1 allows no skipped test: {reason}");
}
