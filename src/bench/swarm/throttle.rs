//! How slowly a client reads. Says when it reads on; never sleeps and never reads a clock. While it does not read, its
//! socket fills, and then the server's.

use std::time::Duration;

use crate::bench::plan::{Plan, SlowTime, SubscriberId};

/// What surrounds the data of an event on the wire: its id, the names of its fields, a chunk's head.
const FRAME_BYTES: usize = 64;

/// The pace of one client, in the time of the run.
#[derive(Debug, Clone)]
pub(super) struct Throttle {
    slow_times: Vec<SlowTime>,
    /// When what was read so far has been read, at the pace of then.
    free_at: Duration,
}

impl Throttle {
    /// `None` for a client that always reads as fast as it can.
    pub(super) fn of(plan: &Plan, id: SubscriberId) -> Option<Box<Self>> {
        let slow_times = plan.slow_downs(id);
        (!slow_times.is_empty()).then(|| Box::new(Self { slow_times, free_at: Duration::ZERO }))
    }

    /// An event with so much data was read.
    pub(super) fn took(&mut self, now: Duration, bytes: usize) {
        if let Some(speed) = self.speed(now) {
            let bytes = u32::try_from(bytes + FRAME_BYTES).unwrap_or(u32::MAX);
            let takes = Duration::from_secs_f64(f64::from(bytes) / f64::from(speed));
            self.free_at = self.free_at.max(now) + takes;
        }
    }

    /// How long it waits before it reads on.
    pub(super) fn wait(&self, now: Duration) -> Option<Duration> {
        let slow = self.slow_time(now)?;
        let until = slow.until.map_or(self.free_at, |until| until.min(self.free_at));
        until.checked_sub(now).filter(|wait| !wait.is_zero())
    }

    fn speed(&self, now: Duration) -> Option<u32> {
        self.slow_time(now).map(|slow| slow.bytes_per_sec)
    }

    /// The slowest of those that hold.
    fn slow_time(&self, now: Duration) -> Option<&SlowTime> {
        let holds = |slow: &&SlowTime| slow.from <= now && slow.until.is_none_or(|until| now < until);
        self.slow_times.iter().filter(holds).min_by_key(|slow| slow.bytes_per_sec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn throttle(slow: &[(u64, Option<u64>, u32)]) -> Throttle {
        let time = |(from, until, bytes_per_sec): &(u64, Option<u64>, u32)| SlowTime {
            from: SECOND * u32::try_from(*from).unwrap(),
            until: until.map(Duration::from_secs),
            bytes_per_sec: *bytes_per_sec,
        };
        Throttle { slow_times: slow.iter().map(time).collect(), free_at: Duration::ZERO }
    }

    #[test]
    fn a_slow_client_reads_as_many_bytes_a_second_as_it_is_allowed() {
        let mut throttle = throttle(&[(2, Some(60), 1_000)]);
        throttle.took(SECOND, 10_000);
        assert_eq!(throttle.wait(SECOND), None, "its time has not come");
        throttle.took(2 * SECOND, 1_936);
        throttle.took(2 * SECOND, 936);
        assert_eq!(throttle.wait(2 * SECOND), Some(3 * SECOND));
        assert_eq!(throttle.wait(4 * SECOND), Some(SECOND));
        assert_eq!(throttle.wait(5 * SECOND), None);
        // What it did not read in the meantime is not saved up.
        throttle.took(30 * SECOND, 936);
        assert_eq!(throttle.wait(30 * SECOND), Some(SECOND));
    }

    #[test]
    fn it_reads_on_when_the_slow_time_is_over() {
        let mut throttle = throttle(&[(0, Some(10), 1)]);
        throttle.took(9 * SECOND, 100_000);
        assert_eq!(throttle.wait(9 * SECOND), Some(SECOND));
        assert_eq!(throttle.wait(10 * SECOND), None);
    }

    #[test]
    fn of_two_slow_times_the_slower_one_holds() {
        let mut throttle = throttle(&[(0, None, 1_000), (5, Some(6), 100)]);
        throttle.took(5 * SECOND, 36);
        assert_eq!(throttle.wait(5 * SECOND), Some(SECOND));
        throttle.took(7 * SECOND, 936);
        assert_eq!(throttle.wait(7 * SECOND), Some(SECOND));
    }
}
