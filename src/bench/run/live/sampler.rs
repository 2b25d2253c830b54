//! Makes a [`Second`] from the counters of two moments. Pure: the caller passes time and counters.

use std::time::Duration;

use super::line::{Begin, PlannedFault, SCHEMA_VERSION, Second};
use crate::bench::faults::FaultStates;
use crate::bench::load::progress::Snapshot;
use crate::bench::metrics::latency::LatencyCounts;
use crate::bench::scenario::plan::Plan;

/// The totals at one moment.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Counters of clients and publishers.
    pub snapshot: Snapshot,
    /// Latencies of deliveries.
    pub latencies: LatencyCounts,
    /// Open streams by node.
    pub connections: Vec<u32>,
}

/// Remembers the totals of the moment before.
#[derive(Debug, Default)]
pub struct LiveSampler {
    before: Snapshot,
    latencies_before: LatencyCounts,
}

impl Begin {
    /// What is run.
    #[must_use]
    pub fn new(plan: &Plan, started_at: String) -> Self {
        let fault = |fault: &crate::bench::scenario::plan::PlannedFault| PlannedFault {
            name: fault.name.clone(),
            title: fault.title(),
            planned_ms: millis(fault.at),
            planned_heal_ms: fault.heals_at.map(millis),
        };
        Self {
            schema: SCHEMA_VERSION,
            run: plan.run.to_string(),
            scenario: plan.name.clone(),
            description: plan.description.clone(),
            seed: plan.seed,
            started_at,
            duration_ms: crate::runtime::clock::millis(plan.duration),
            clients: plan.subscribers.len() as u64,
            nodes: plan.nodes.iter().map(|node| node.as_str().to_owned()).collect(),
            faults: plan.faults.iter().map(fault).collect(),
        }
    }
}

impl LiveSampler {
    /// The line for one moment, `since` after the one before.
    pub fn beat(
        &mut self,
        since: Duration,
        (phase, elapsed): (&str, Duration),
        counts: Counts,
        faults: &FaultStates,
    ) -> Second {
        let Counts { snapshot: now, latencies, connections } = counts;
        let new = latencies.since(&self.latencies_before);
        let percentile = |percent| new.percentile(percent).map(millis);
        let second = Second {
            elapsed_ms: crate::runtime::clock::millis(elapsed),
            phase: phase.to_owned(),
            connected: now.connected,
            connections,
            delivered: now.delivered,
            delivered_per_s: per_second(now.delivered, self.before.delivered, since),
            published: now.publish_ok,
            published_per_s: per_second(now.publish_ok, self.before.publish_ok, since),
            not_acknowledged: now.publish_bad,
            dropped: now.publish_dropped,
            reconnects: now.reconnects,
            connect_errors: now.connect_errors,
            gaps: now.gaps,
            p50_ms: percentile(50),
            p99_ms: percentile(99),
            max_ms: percentile(100),
            faults: faults.active().map(str::to_owned).collect(),
            healed: faults.healed().map(str::to_owned).collect(),
        };
        self.before = now;
        self.latencies_before = latencies;
        second
    }
}

/// Rounded to one decimal.
fn per_second(now: u64, before: u64, since: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of one second are far below 2^53")]
    let count = now.saturating_sub(before) as f64;
    let seconds = since.as_secs_f64();
    if seconds > 0.0 { (count / seconds * 10.0).round() / 10.0 } else { 0.0 }
}

/// Milliseconds with three decimals, the resolution of the measurement.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::metrics::latency::Latencies;

    #[test]
    fn rates_and_latencies_are_those_since_the_moment_before() {
        let latencies = Latencies::default();
        let mut sampler = LiveSampler::default();
        let mut faults = FaultStates::default();
        let second = Duration::from_secs(1);
        let counts = |delivered: u64| {
            let snapshot = Snapshot { delivered, publish_ok: 5, ..Snapshot::default() };
            Counts { snapshot, latencies: latencies.counts(), connections: vec![1] }
        };
        latencies.add(Duration::from_millis(100));
        let first = sampler.beat(second, ("steady", second), counts(10), &faults);
        assert!((first.delivered_per_s - 10.0).abs() < 1e-9 && first.p99_ms > Some(99.0), "{first:?}");
        faults.applied("kill-1");
        latencies.add(Duration::from_millis(2));
        let (since, elapsed) = (Duration::from_secs(2), Duration::from_secs(3));
        let next = sampler.beat(since, ("fault:kill-1", elapsed), counts(40), &faults);
        assert!((next.delivered_per_s - 15.0).abs() < 1e-9 && next.published_per_s.abs() < 1e-9, "{next:?}");
        assert!(next.p50_ms < Some(3.0), "{next:?}");
        assert_eq!((next.elapsed_ms, next.faults, next.delivered), (3_000, vec!["kill-1".to_owned()], 40));
        faults.healed_now("kill-1");
        let last = sampler.beat(second, ("drain", elapsed), counts(40), &faults);
        assert_eq!((last.p99_ms, last.faults.len(), last.healed.len()), (None, 0, 1));
    }
}
