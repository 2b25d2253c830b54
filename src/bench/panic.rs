//! A panic on demand, for tests of what a panic in the middle of a run leaves behind. Release builds cannot be asked for it.
//! Read [`asked`] first.

/// Names the file whose appearance makes the run panic.
pub(super) const RUN: &str = "SSE_BENCH_PANIC_FILE";
/// Names the file whose appearance makes the fault proxies of the run panic.
pub(super) const PROXY: &str = "SSE_BENCH_PANIC_PROXY_FILE";

/// Names the file whose appearance makes a loop of clients panic.
pub(super) const LOOP: &str = "SSE_BENCH_PANIC_LOOP_FILE";

/// Panics when the file that the variable names exists; never returns where the variable is not set.
pub(super) async fn panic_on_file(variable: &str) {
    asked(variable).await;
    now(variable);
}

/// Panics because the variable asked for it.
pub(super) fn now(variable: &str) -> ! {
    panic!("asked to panic by {variable}");
}

/// Waits until the file that the variable names exists; for ever where the variable is not set.
#[cfg(debug_assertions)]
pub(super) async fn asked(variable: &str) {
    /// Between two looks for the file.
    const PERIOD: std::time::Duration = std::time::Duration::from_millis(20);
    let Some(file) = std::env::var_os(variable) else { return std::future::pending().await };
    while !std::path::Path::new(&file).exists() {
        tokio::time::sleep(PERIOD).await;
    }
}

/// Release builds never panic on demand.
#[cfg(not(debug_assertions))]
pub(super) async fn asked(_variable: &str) {
    std::future::pending().await
}
