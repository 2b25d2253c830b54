//! Whether the bench keeps up with itself: a task that wants to run every 10 ms measures how late it is. When it is
//! late, so is everything else that this process measured, and the cluster must not be blamed for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::plan::Phases;
use super::recorder::{Recorder, Source, Tags, Trend};
use super::stopwatch::RunClock;

/// The timer of the runtime counts whole milliseconds and rounds up: up to one of them is not lateness.
pub const TIMER_STEP: Duration = Duration::from_millis(1);
/// How often it looks.
const TICK: Duration = Duration::from_millis(10);

/// Measures until `stop` is cancelled, in the process that the clients are in.
pub async fn measure_lag(clock: RunClock, phases: Arc<Phases>, stop: CancellationToken) -> Recorder {
    let mut recorder = Recorder::default();
    let mut ticks = tokio::time::interval_at(Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while let Some(due) = stop.run_until_cancelled(ticks.tick()).await {
        let late = due.elapsed().saturating_sub(TIMER_STEP);
        let now = clock.now();
        let tags = Tags { phase: phases.at(now), source: Source::Bench, path: None };
        recorder.record_at(Trend::GeneratorLag, tags, now, late);
    }
    recorder
}
