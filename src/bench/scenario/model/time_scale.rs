//! Scales a scenario to another duration (`--duration`): all times keep their share of the run.
//! Read [`Scenario::scaled_to`] first.

use std::time::Duration;

use super::faults::Nemesis;
use super::scenario::{Executor, Scenario, Stage};

impl Scenario {
    /// The scenario as if written for this duration. Warm-up, joins, ramps, stages, and begin and end of faults keep
    /// their share of it. Times of a client (session, pauses, waits before a reconnect) and `quiesce` stay.
    #[must_use]
    pub fn scaled_to(mut self, duration: Duration) -> Self {
        let factor = duration.as_secs_f64() / self.duration.as_secs_f64();
        let scale = |time: &mut Duration| *time = time.mul_f64(factor).min(duration);
        scale(&mut self.warmup);
        for group in &mut self.clients {
            scale(&mut group.joins);
            match &mut group.executor {
                Executor::Constant { ramp, .. } => scale(ramp),
                Executor::Ramping { stages } => scale_all(stages, factor),
                Executor::ArrivalRate { pace } => scale_all(&mut pace.stages, factor),
            }
        }
        for publisher in &mut self.publishers {
            scale_all(&mut publisher.pace.stages, factor);
        }
        for fault in &mut self.faults {
            scale(&mut fault.at);
            if let Some(lasts) = &mut fault.lasts {
                // Rounding must not move the end beyond the end of the run.
                *lasts = lasts.mul_f64(factor).min(duration.saturating_sub(fault.at));
            }
        }
        if let Some(Nemesis { from, until, every, faults }) = &mut self.nemesis {
            for time in [from, until, every] {
                scale(time);
            }
            for fault in faults {
                scale(&mut fault.lasts.0);
                scale(&mut fault.lasts.1);
            }
        }
        self.duration = duration;
        self
    }
}

fn scale_all(stages: &mut [Stage], factor: f64) {
    for stage in stages {
        stage.duration = stage.duration.mul_f64(factor);
    }
}
