//! Panics: one in the middle of a run or in a proxy, for tests of what becomes of the run, which no release build asks for;
//! and the words of one that happened.

use std::any::Any;
use std::path::Path;
use std::time::Duration;

/// Names the file whose appearance is the sign for a run to panic.
pub(super) const RUN: &str = "SSE_BENCH_PANIC_FILE";
/// The same for its fault proxies.
pub(super) const PROXY: &str = "SSE_BENCH_PANIC_PROXY_FILE";
/// Between two looks for it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Never, unless the variable names a file.
pub(super) async fn when_told(variable: &str) {
    let Some(file) = std::env::var_os(variable) else { return std::future::pending().await };
    while !Path::new(&file).exists() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    panic!("told to panic by {variable}");
}

/// What a panic said; empty where it was no text.
#[must_use]
pub(super) fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}
