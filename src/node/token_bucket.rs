//! A rate with a burst of one second. Read [`TokenBucket::take`] first.

use std::time::Duration;

use tokio::time::Instant;

/// What is left of the allowance of one second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenBucket {
    tokens: f64,
    refilled: Instant,
}

impl TokenBucket {
    /// A bucket that holds the allowance of a second.
    pub(crate) fn full(per_second: u32, now: Instant) -> Self {
        Self { tokens: f64::from(per_second), refilled: now }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long it takes until there is one.
    pub(crate) fn take(&mut self, per_second: u32, now: Instant) -> Result<(), Duration> {
        let rate = f64::from(per_second);
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        (self.tokens, self.refilled) = ((self.tokens + elapsed * rate).min(rate), now);
        if self.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.tokens) / rate));
        }
        self.tokens -= 1.0;
        Ok(())
    }

    /// Takes tokens that are not there yet, and must be made up for before the next one.
    pub(crate) fn owe(&mut self, count: u32) {
        self.tokens -= f64::from(count);
    }

    /// Whether nothing was taken for so long that the bucket is as good as a new one.
    pub(crate) fn is_full(&self, per_second: u32, now: Instant) -> bool {
        let rate = f64::from(per_second);
        self.tokens + now.saturating_duration_since(self.refilled).as_secs_f64() * rate >= rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_took_more_than_there_was_waits_until_it_is_made_up_for() {
        let mut bucket = TokenBucket::full(10, Instant::now());
        assert_eq!(bucket.take(10, Instant::now()), Ok(()));
        bucket.owe(29);
        let wait = bucket.take(10, Instant::now()).unwrap_err();
        assert_eq!(wait.as_millis(), 2_100);
        tokio::time::advance(wait + Duration::from_millis(1)).await;
        assert!(!bucket.is_full(10, Instant::now()));
        assert_eq!(bucket.take(10, Instant::now()), Ok(()));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(bucket.is_full(10, Instant::now()));
    }
}
