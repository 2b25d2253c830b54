//! How slowly a client reads. Says when it may read on; never sleeps and never reads a clock. While a client does not read,
//! its socket buffer fills, and then the server's. Read [`Throttle::pace`] first.

use std::time::Duration;

use crate::bench::scenario::plan::{Plan, SlowTime, SubscriberPlan};

/// Bytes of an event on the wire beside its data: id, field names, chunk header. An estimate.
const FRAME_BYTES: usize = 64;

/// The read speed of one client. All times are times of the run.
#[derive(Debug, Clone, Default)]
pub(super) struct Throttle {
    slow_times: Vec<SlowTime>,
    /// When a client of the allowed speed would have read everything up to now.
    free_at: Duration,
    /// Time of reading, time of pausing, and the position in this cycle when the run began.
    pauses: Option<(Duration, Duration, Duration)>,
}

/// Whether a client reads now, and how long that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// It reads, at most for this time if there is one.
    Reads(Option<Duration>),
    /// It does not read for this time.
    Waits(Duration),
}

impl Throttle {
    /// The throttle of a client; `None` for one that always reads as fast as it can.
    pub(super) fn of(plan: &Plan, client: &SubscriberPlan) -> Option<Box<Self>> {
        let read = plan.groups[usize::from(client.group.0)].read.unwrap_or_default();
        let mut slow_times = plan.slow_downs(client.id);
        let always = |bytes_per_sec| SlowTime { from: Duration::ZERO, until: None, bytes_per_sec };
        slow_times.extend(read.bytes_per_sec.map(always));
        // So that clients of one group do not pause together.
        let pauses = read.pause.map(|(every, lasts)| {
            let share = client.seed % 1_000;
            (every, lasts, (every + lasts) * u32::try_from(share).unwrap_or(0) / 1_000)
        });
        let is_slow = !slow_times.is_empty() || pauses.is_some();
        is_slow.then(|| Box::new(Self { slow_times, pauses, free_at: Duration::ZERO }))
    }

    /// Counts an event with `bytes` of data that was read.
    pub(super) fn took(&mut self, now: Duration, bytes: usize) {
        if let Some(speed) = self.speed(now) {
            let bytes = u32::try_from(bytes + FRAME_BYTES).unwrap_or(u32::MAX);
            let takes = Duration::from_secs_f64(f64::from(bytes) / f64::from(speed));
            self.free_at = self.free_at.max(now) + takes;
        }
    }

    /// Whether the client reads at this time.
    pub(super) fn pace(&self, now: Duration) -> Pace {
        // Before the start the clock stands still, so a pause would never end.
        if now.is_zero() {
            return Pace::Reads(None);
        }
        let by_speed = self.slow_time(now).and_then(|slow| {
            let until = slow.until.map_or(self.free_at, |until| until.min(self.free_at));
            until.checked_sub(now).filter(|wait| !wait.is_zero())
        });
        let by_pause = self.pauses.map(|(every, lasts, shift)| {
            let round = (every + lasts).as_nanos().max(1);
            let at = Duration::from_nanos(u64::try_from((now + shift).as_nanos() % round).unwrap_or(0));
            if at < every { Pace::Reads(Some(every - at)) } else { Pace::Waits(every + lasts - at) }
        });
        match (by_speed, by_pause) {
            (Some(wait), Some(Pace::Waits(pause))) => Pace::Waits(wait.max(pause)),
            (Some(wait), Some(Pace::Reads(_)) | None) => Pace::Waits(wait),
            (None, Some(pace)) => pace,
            (None, None) => Pace::Reads(None),
        }
    }

    fn speed(&self, now: Duration) -> Option<u32> {
        self.slow_time(now).map(|slow| slow.bytes_per_sec)
    }

    /// The slowest of the slow times that include this time.
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
        Throttle { slow_times: slow.iter().map(time).collect(), ..Throttle::default() }
    }

    #[test]
    fn a_slow_client_reads_as_many_bytes_a_second_as_it_is_allowed() {
        let mut throttle = throttle(&[(2, Some(60), 1_000)]);
        throttle.took(SECOND, 10_000);
        assert_eq!(throttle.pace(SECOND), Pace::Reads(None), "its slow time has not begun");
        throttle.took(2 * SECOND, 1_936);
        throttle.took(2 * SECOND, 936);
        assert_eq!(throttle.pace(2 * SECOND), Pace::Waits(3 * SECOND));
        assert_eq!(throttle.pace(4 * SECOND), Pace::Waits(SECOND));
        assert_eq!(throttle.pace(5 * SECOND), Pace::Reads(None));
        // Unused capacity is not saved up.
        throttle.took(30 * SECOND, 936);
        assert_eq!(throttle.pace(30 * SECOND), Pace::Waits(SECOND));
    }

    #[test]
    fn it_reads_on_after_the_slow_time() {
        let mut throttle = throttle(&[(0, Some(10), 1)]);
        throttle.took(9 * SECOND, 100_000);
        assert_eq!(throttle.pace(9 * SECOND), Pace::Waits(SECOND));
        assert_eq!(throttle.pace(10 * SECOND), Pace::Reads(None));
    }

    #[test]
    fn of_two_slow_times_the_slower_one_holds() {
        let mut throttle = throttle(&[(0, None, 1_000), (5, Some(6), 100)]);
        throttle.took(5 * SECOND, 36);
        assert_eq!(throttle.pace(5 * SECOND), Pace::Waits(SECOND));
        throttle.took(7 * SECOND, 936);
        assert_eq!(throttle.pace(7 * SECOND), Pace::Waits(SECOND));
    }

    #[test]
    fn it_reads_and_pauses_in_turn() {
        let pauses = Some((10 * SECOND, 4 * SECOND, 3 * SECOND));
        let mut throttle = Throttle { pauses, ..throttle(&[(0, None, 1_000)]) };
        assert_eq!(throttle.pace(Duration::ZERO), Pace::Reads(None), "the run has not started");
        let paces = [1, 6, 7, 9, 11].map(|at| throttle.pace(at * SECOND));
        let reads = |seconds: u32| Pace::Reads(Some(seconds * SECOND));
        let waits = |seconds: u32| Pace::Waits(seconds * SECOND);
        assert_eq!(paces, [reads(6), reads(1), waits(4), waits(2), reads(10)]);
        throttle.took(11 * SECOND, 2_936);
        assert_eq!([11, 14].map(|at| throttle.pace(at * SECOND)), [waits(3), reads(7)]);
    }
}
