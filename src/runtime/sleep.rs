//! Sleeping until a moment that may not exist.

use tokio::time::Instant;

/// Sleeps until `deadline`; for ever where it is `None`. Cancel-safe: a branch of a `select!`.
pub async fn sleep_until_opt(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_at_its_deadline_and_never_without_one() {
        let start = Instant::now();
        sleep_until_opt(Some(start + Duration::from_secs(7))).await;
        assert_eq!(start.elapsed(), Duration::from_secs(7));
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        assert!(tokio::time::timeout(year, sleep_until_opt(None)).await.is_err());
    }
}
