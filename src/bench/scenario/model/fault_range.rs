//! The same scenario in another time: what happens in it happens earlier or later in proportion.

use std::time::Duration;

use super::faults::Nemesis;
use super::scenario::{Executor, Scenario, Stage};

impl Scenario {
    /// The scenario as if it had been written for this duration: warm-up, joins, ramps, stages, and when faults begin
    /// and end all keep their share of it. What belongs to a client or to the end of the run stays as it is: its
    /// session, its pauses, waits of a reconnect, `quiesce`.
    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
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
                // Rounding must not carry it beyond the end.
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
