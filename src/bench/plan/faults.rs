//! Which node or client a fault meets: drawn from the seed, each fault for itself.

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use rand::seq::index;

use crate::bench::scenario::{FaultSpec, FaultSpecKind, ProcessAction, RedisAction, Scenario, Target};

use super::{FaultAction, FaultId, NodeIndex, PlannedFault, Seeds, SubscriberId};

/// All faults, in order of time.
pub(super) fn faults(scenario: &Scenario, subscribers: usize, seeds: Seeds) -> Vec<PlannedFault> {
    let mut specs: Vec<&FaultSpec> = scenario.faults.iter().collect();
    specs.sort_by_key(|fault| fault.at);
    let plan = |(id, spec): (u16, &FaultSpec)| {
        let mut rng = ChaCha8Rng::seed_from_u64(seeds.of("fault", &spec.name));
        PlannedFault {
            id: FaultId(id),
            name: spec.name.clone(),
            at: spec.at,
            heals_at: heals_at(spec),
            action: action(spec, scenario.cluster.nodes(), subscribers, &mut rng),
        }
    };
    (0..).zip(specs).map(plan).collect()
}

fn heals_at(spec: &FaultSpec) -> Option<std::time::Duration> {
    let is_momentary = match &spec.kind {
        FaultSpecKind::Process { action, .. } => match action {
            ProcessAction::Restart => true,
            ProcessAction::Kill | ProcessAction::Term | ProcessAction::Pause => false,
        },
        FaultSpecKind::Redis { action, .. } => *action == RedisAction::Restart || action.is_momentary(),
        FaultSpecKind::RollingRestart { .. } => false,
        FaultSpecKind::ReconnectStorm { .. } => true,
    };
    match spec.lasts {
        Some(lasts) => Some(spec.at + lasts),
        None if is_momentary => Some(spec.at),
        None => None,
    }
}

fn action(spec: &FaultSpec, nodes: usize, subscribers: usize, rng: &mut ChaCha8Rng) -> FaultAction {
    match &spec.kind {
        FaultSpecKind::Process { action, target } => {
            FaultAction::Process { action: *action, nodes: hit(target, nodes, rng) }
        }
        FaultSpecKind::RollingRestart { target } => {
            let nodes = hit(target, nodes, rng);
            let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX).max(1);
            FaultAction::RollingRestart { nodes, every: spec.lasts.unwrap_or_default() / count }
        }
        FaultSpecKind::Redis { action, target } => FaultAction::Redis { action: *action, target: *target },
        FaultSpecKind::ReconnectStorm { clients } => {
            let count = clients.map_or(subscribers, |count| usize::try_from(count).unwrap_or(usize::MAX));
            let numbers = draw(subscribers, count, rng).into_iter();
            let ids = numbers.filter_map(|i| u32::try_from(i).ok()).map(SubscriberId);
            FaultAction::ReconnectStorm { subscribers: ids.collect() }
        }
    }
}

/// The nodes that a fault meets, sorted.
fn hit(target: &Target, nodes: usize, rng: &mut ChaCha8Rng) -> Vec<NodeIndex> {
    let numbers = match target {
        Target::One => draw(nodes, 1, rng),
        Target::All => (0..nodes).collect(),
        Target::Random(count) => draw(nodes, usize::try_from(*count).unwrap_or(usize::MAX), rng),
        Target::Named(names) => (0..nodes).filter(|i| names.contains(&super::node_name(*i))).collect(),
    };
    numbers.into_iter().filter_map(|i| u16::try_from(i).ok()).map(NodeIndex).collect()
}

/// So many numbers below `of`, sorted.
fn draw(of: usize, count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut numbers = index::sample(rng, of, count.min(of)).into_vec();
    numbers.sort_unstable();
    numbers
}
