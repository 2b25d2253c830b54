//! What flags change in a scenario that was read: how many clients, how fast, which nodes, whether anything breaks.

use super::args::Changes;
use crate::bench::scenario::{Cluster, Executor, FaultSpecKind, Scenario, Stage};

/// What is applied while the file is read, as `--set` takes it.
pub(super) fn overrides(changes: &Changes) -> Vec<String> {
    let mut overrides = changes.set.clone();
    overrides.extend(changes.seed.map(|seed| format!("seed={seed}")));
    overrides
}

/// What is applied to the scenario once it is read.
pub(super) fn apply(changes: &Changes, mut scenario: Scenario) -> Scenario {
    if let Some(duration) = changes.duration {
        scenario = scenario.lasting(duration);
    }
    if let Some(factor) = changes.clients_scale {
        for group in &mut scenario.clients {
            group.executor = scale_clients(&group.executor, factor);
        }
        let planned = scenario.faults.iter_mut().map(|fault| &mut fault.kind);
        let drawn = scenario.nemesis.iter_mut().flat_map(|nemesis| &mut nemesis.faults);
        for kind in planned.chain(drawn.map(|fault| &mut fault.kind)) {
            // As many of ten clients as of a thousand would be another fault.
            if let FaultSpecKind::Clients { clients: Some(clients), .. } = kind {
                *clients = scale_count(*clients, factor);
            }
        }
    }
    if let Some(factor) = changes.rate_scale {
        for publisher in &mut scenario.publishers {
            publisher.pace.from *= factor;
            scale_stages(&mut publisher.pace.stages, factor);
        }
    }
    if changes.no_faults {
        scenario.faults.clear();
        scenario.nemesis = None;
    }
    if !changes.target.is_empty() {
        scenario.cluster = Cluster::Attach(changes.target.clone());
    }
    scenario
}

fn scale_clients(executor: &Executor, factor: f64) -> Executor {
    match executor {
        Executor::Constant { clients, ramp } => {
            Executor::Constant { clients: scale_count(*clients, factor), ramp: *ramp }
        }
        Executor::Ramping { stages } => {
            let mut stages = stages.clone();
            scale_stages(&mut stages, factor);
            Executor::Ramping { stages }
        }
    }
}

/// At least one: the cast of a rounded value within the range of a u32 is exact.
fn scale_count(count: u32, factor: f64) -> u32 {
    let scaled = (f64::from(count) * factor).round().clamp(1.0, f64::from(u32::MAX));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped just now")]
    let count = scaled as u32;
    count
}

fn scale_stages(stages: &mut [Stage], factor: f64) {
    for stage in stages {
        stage.target *= factor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn flags_that_the_file_knows_become_overrides_in_order() {
        let changes = Changes { set: vec!["a.b=1".to_owned()], seed: Some(7), ..Changes::default() };
        assert_eq!(overrides(&changes), ["a.b=1", "seed=7"]);
    }

    #[track_caller]
    fn check_clients(clients: u32, factor: f64, expected: u32) {
        let scaled = scale_clients(&Executor::Constant { clients, ramp: Duration::ZERO }, factor);
        assert_eq!(scaled, Executor::Constant { clients: expected, ramp: Duration::ZERO });
    }

    #[test]
    fn clients_scale_to_at_least_one() {
        check_clients(1_000, 0.1, 100);
        check_clients(10, 0.01, 1);
        check_clients(3, 2.5, 8);
    }
}
