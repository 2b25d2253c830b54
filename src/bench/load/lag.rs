//! Scheduling delay of the bench itself: a task that should run every 10 ms measures how late it is. Everything else that
//! this process measures is as late, and must not be blamed on the cluster. A process that stands still misses many ticks
//! and wakes once: each missed tick counts, with the delay that it would have had.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bench::metrics::clock::RunClock;
use crate::bench::metrics::metric::Trend;
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::tags::{Source, Tags};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::plan::Phases;

/// The runtime's timer counts whole milliseconds and rounds up: a delay of up to one millisecond is not lateness.
pub const TIMER_STEP: Duration = Duration::from_millis(1);
/// Time between two ticks.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// The ticks of one measurement. Those before the start of the clock do not count: they would dilute the percentiles.
#[derive(Debug)]
pub(super) struct LagTicks {
    clock: RunClock,
    phases: Arc<Phases>,
    source: Source,
    due: Instant,
}

impl LagTicks {
    /// Ticks from now on, in the process that `source` names.
    pub(super) fn new(clock: RunClock, phases: Arc<Phases>, source: Source) -> Self {
        Self { clock, phases, source, due: Instant::now() + TICK }
    }

    /// When the next tick is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// What was due is done now; a delay of up to `free` is not lateness.
    pub(super) fn done(&mut self, free: Duration, recorder: &mut Recorder) {
        let (now, at) = (self.clock.now(), Instant::now());
        while self.due <= at {
            let behind = at - self.due;
            self.due += TICK;
            if let Some(tick) = tick_of(now, behind) {
                let tags = Tags { phase: self.phases.at(tick), source: self.source, path: None };
                recorder.record_at(Trend::GeneratorLag, tags, tick, behind.saturating_sub(free));
            }
        }
    }
}

/// Measures from the start of the clock until `stop` is cancelled, in the process that `source` names.
pub async fn measure_lag(
    clock: RunClock,
    phases: Arc<Phases>,
    source: Source,
    stop: CancellationToken,
) -> Recorder {
    let mut recorder = Recorder::default();
    let mut ticks = LagTicks::new(clock, phases, source);
    loop {
        let is_over = stop.run_until_cancelled(tokio::time::sleep_until(ticks.due())).await.is_none();
        // Also ticks that were due before the stop: the process may have stood still until then.
        ticks.done(TIMER_STEP, &mut recorder);
        if is_over {
            return recorder;
        }
    }
}

/// When a tick was due that is seen now, `behind` later; `None` if that was before the clock was started.
fn tick_of(now: RunTime, behind: Duration) -> Option<RunTime> {
    (now != RunTime::ZERO && now.since_start() >= behind).then(|| now.minus(behind))
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;
    use crate::bench::ids::RunId;
    use crate::bench::metrics::recorder::Samples;
    use crate::bench::scenario;
    use crate::bench::scenario::plan::Plan;

    /// Measures while something happens; what was measured.
    async fn lag_while(happens: impl AsyncFnOnce(&RunClock)) -> Samples {
        let text = "schema = 1\nname = \"lag\"\nduration = \"60s\"\n[clients.c]\nclients = 1\n";
        let plan = Plan::new(&scenario::parse("lag.toml", text, &[]).unwrap(), RunId::from_random(1));
        let (clock, stop) = (RunClock::default(), CancellationToken::new());
        let mut task = JoinSet::new();
        task.spawn(measure_lag(clock.clone(), Arc::new(plan.phases), Source::Bench, stop.clone()));
        happens(&clock).await;
        stop.cancel();
        let recorder = task.join_next().await.unwrap().unwrap();
        recorder.samples(Trend::GeneratorLag, |_| true)
    }

    #[tokio::test(start_paused = true)]
    async fn every_tick_that_a_stall_missed_counts() {
        let lag = lag_while(async |clock| {
            clock.start();
            tokio::time::sleep(Duration::from_secs(7)).await;
            // Time goes on, and nothing runs.
            tokio::time::advance(Duration::from_secs(3)).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        })
        .await;
        assert!(lag.count().abs_diff(1_000) <= 2, "a tick every 10 ms for 10 s: {}", lag.count());
        // Late by 3 s down to nothing, evenly, in 3 of 10 seconds.
        let percentile = |percent| lag.of_delivered(percent).unwrap();
        assert_eq!(percentile(69.0), Duration::ZERO);
        assert!(percentile(85.0).abs_diff(Duration::from_millis(1_500)) < Duration::from_millis(50));
        assert!(percentile(99.0) > Duration::from_millis(2_800));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_that_lasts_to_the_end_counts_too() {
        let lag = lag_while(async |clock| {
            clock.start();
            tokio::time::sleep(Duration::from_secs(1)).await;
            tokio::time::advance(Duration::from_secs(1)).await;
        })
        .await;
        assert!(lag.of_delivered(99.0).unwrap() > Duration::from_millis(900));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_before_the_clock_is_started_counts() {
        let lag = lag_while(async |clock| {
            tokio::time::sleep(Duration::from_secs(5)).await;
            tokio::time::advance(Duration::from_secs(5)).await;
            clock.start();
            tokio::time::sleep(Duration::from_secs(1)).await;
        })
        .await;
        assert!(lag.count().abs_diff(100) <= 2, "{}", lag.count());
        assert_eq!(lag.of_delivered(100.0).unwrap(), Duration::ZERO);
    }
}
