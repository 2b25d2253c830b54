//! Feeds libFuzzer's inputs to the target that the environment variable `FUZZ_TARGET` names. `scripts/fuzz` builds and
//! runs it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: sse_lab::fuzz::choose(&std::env::var("FUZZ_TARGET").unwrap_or_default()),
    |bytes: &[u8]| sse_lab::fuzz::run(bytes)
);
