//! Waiting between retries: exponential with full jitter, so that a thousand clients that failed together do not come
//! back together. Pure: the caller sleeps.

use std::time::Duration;

use rand::{Rng, RngExt as _};

/// The waits between retries.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    attempt: u32,
}

/// A range of waits that is empty or starts at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "backoff from {min:?} to {max:?} is not possible: the first must be above zero and at most the second"
)]
pub struct InvalidBackoff {
    min: Duration,
    max: Duration,
}

impl Backoff {
    /// Waits of up to `min`, then up to twice that, …, never above `max`.
    ///
    /// # Errors
    /// [`InvalidBackoff`] when `min` is zero or above `max`.
    pub fn new(min: Duration, max: Duration) -> Result<Self, InvalidBackoff> {
        if min.is_zero() || min > max {
            Err(InvalidBackoff { min, max })
        } else {
            Ok(Self { min, max, attempt: 0 })
        }
    }

    /// How long to wait before the next try: between half of `min` and the cap of this attempt, at random.
    pub fn next_wait(&mut self, rng: &mut impl Rng) -> Duration {
        let cap = self.min.saturating_mul(2_u32.saturating_pow(self.attempt)).min(self.max);
        self.attempt = self.attempt.saturating_add(1);
        rng.random_range(self.min / 2..=cap)
    }

    /// Tries so far since the last success.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// After a success the next failure starts from `min` again.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    #[test]
    fn waits_grow_to_the_cap_and_never_beyond() {
        let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(1);
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new(min, max).unwrap();
        let waits: Vec<_> = (0..200).map(|_| backoff.next_wait(&mut rng)).collect();
        assert!(waits.iter().all(|wait| (min / 2..=max).contains(wait)));
        assert!(waits[0] <= min);
        assert!(waits[100..].iter().any(|wait| *wait > max / 2), "the cap is reached");
        backoff.reset();
        assert!(backoff.next_wait(&mut rng) <= min);
    }

    #[test]
    fn a_senseless_range_is_refused() {
        assert!(Backoff::new(Duration::ZERO, Duration::from_secs(1)).is_err());
        assert!(Backoff::new(Duration::from_secs(2), Duration::from_secs(1)).is_err());
    }
}
