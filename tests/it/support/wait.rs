//! Waits with a deadline. Read [`within`] first.

use std::future::Future;
use std::time::Duration;

/// How long a test waits for what must happen. Passed only when something is broken, so it is long enough for a
/// machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at something that is not ready yet.
const POLL: Duration = Duration::from_millis(10);

/// Awaits something that must come.
#[track_caller]
pub(crate) fn within<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(value) => value,
            Err(_) => panic!("{caller}: {what} did not come within {PATIENCE:?}"),
        }
    }
}

/// Asks again and again until there is an answer.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    within(what, async move {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(POLL).await;
        }
    })
}
