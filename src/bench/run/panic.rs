//! A panic in the middle of a run, for tests of what it leaves behind. No release build asks for it.

use std::path::Path;
use std::time::Duration;

/// Names the file whose appearance is the sign to panic.
const FILE_ENV: &str = "SSE_BENCH_PANIC_FILE";
/// Between two looks for it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Never, unless a variable names a file.
pub(super) async fn when_told() {
    let Some(file) = std::env::var_os(FILE_ENV) else { return std::future::pending().await };
    while !Path::new(&file).exists() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    panic!("told to panic by {FILE_ENV}");
}
