//! Which node or client a fault meets: drawn from the seed, each fault for itself.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use rand::seq::index;

use super::model::{FaultAction, PlannedFault};
use super::nemesis;
use super::seeds::Seeds;
use super::subscribers::Audience;
use crate::bench::ids::{FaultId, NodeIndex, SubscriberId};
use crate::bench::scenario::{
    ClientAction, FaultSpec, FaultSpecKind, ProcessAction, RedisAction, Scenario, Target,
};

/// All faults, in order of time. Those that leave and come by a fault are planned with the audience.
pub(super) fn faults(scenario: &Scenario, audience: &mut Audience, seeds: Seeds) -> Vec<PlannedFault> {
    let drawn = scenario.nemesis.as_ref().map(|nemesis| nemesis::draw(nemesis, seeds.of("nemesis", "")));
    let drawn = drawn.unwrap_or_default();
    let mut specs: Vec<&FaultSpec> = scenario.faults.iter().chain(&drawn).collect();
    specs.sort_by_key(|fault| fault.at);
    let rng = |spec: &FaultSpec| ChaCha8Rng::seed_from_u64(seeds.of("fault", &spec.name));
    // First who goes and who comes: all others are chosen from those who are there.
    let churned: Vec<Option<FaultAction>> =
        specs.iter().map(|spec| churn(spec, audience, scenario, &mut rng(spec))).collect();
    let plan = |(id, (spec, churned)): (u16, (&&FaultSpec, Option<FaultAction>))| PlannedFault {
        id: FaultId(id),
        name: spec.name.clone(),
        at: spec.at,
        heals_at: heals_at(spec),
        action: churned.unwrap_or_else(|| action(spec, scenario, audience, &mut rng(spec))),
    };
    (0..).zip(specs.iter().zip(churned)).map(plan).collect()
}

fn heals_at(spec: &FaultSpec) -> Option<Duration> {
    let is_momentary = match &spec.kind {
        FaultSpecKind::Process { action, .. } => match action {
            ProcessAction::Restart => true,
            ProcessAction::Kill | ProcessAction::Term | ProcessAction::Pause => false,
        },
        FaultSpecKind::Redis { action, .. } => *action == RedisAction::Restart || action.is_momentary(),
        FaultSpecKind::RollingRestart { .. }
        | FaultSpecKind::Scale { .. }
        | FaultSpecKind::Link(_)
        | FaultSpecKind::Netns { .. } => false,
        FaultSpecKind::Clients { action, .. } => action.is_momentary(),
    };
    match spec.lasts {
        Some(lasts) => Some(spec.at + lasts),
        None if is_momentary => Some(spec.at),
        None => None,
    }
}

fn churn(
    spec: &FaultSpec,
    audience: &mut Audience,
    scenario: &Scenario,
    rng: &mut ChaCha8Rng,
) -> Option<FaultAction> {
    let FaultSpecKind::Clients { action: ClientAction::ChurnBurst, clients, group } = &spec.kind else {
        return None;
    };
    let candidates = audience.there_at(spec.at, group.as_deref(), &scenario.clients);
    let leave = draw_clients(&candidates, *clients, rng);
    let come = audience.replace(&leave, spec.at, &scenario.clients);
    Some(FaultAction::ChurnBurst { leave, come })
}

fn action(spec: &FaultSpec, scenario: &Scenario, audience: &Audience, rng: &mut ChaCha8Rng) -> FaultAction {
    let nodes = scenario.cluster.nodes();
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
        FaultSpecKind::Link(fault) => {
            let nodes = hit(&fault.target, nodes, rng);
            FaultAction::Link { link: fault.link, effect: fault.effect, nodes }
        }
        FaultSpecKind::Netns { target } => FaultAction::Unplug { nodes: hit(target, nodes, rng) },
        FaultSpecKind::Scale { to } => {
            let (from, to) = (u16::try_from(nodes).unwrap_or(u16::MAX), *to);
            let nodes = (from.min(to)..from.max(to)).map(NodeIndex).collect();
            FaultAction::Scale { nodes, is_up: to > from }
        }
        FaultSpecKind::Clients { action, clients, group } => {
            let mut there = audience.there_at(spec.at, group.as_deref(), &scenario.clients);
            match action {
                ClientAction::SlowDown { bytes_per_sec } => {
                    // Who leaves with something unread could not be judged.
                    there.retain(|id| audience.stays(*id));
                    let subscribers = draw_clients(&there, *clients, rng);
                    FaultAction::SlowDown { subscribers, bytes_per_sec: *bytes_per_sec }
                }
                ClientAction::ReconnectStorm | ClientAction::ChurnBurst => {
                    FaultAction::ReconnectStorm { subscribers: draw_clients(&there, *clients, rng) }
                }
            }
        }
    }
}

/// The nodes that a fault meets, sorted.
fn hit(target: &Target, nodes: usize, rng: &mut ChaCha8Rng) -> Vec<NodeIndex> {
    let numbers = match target {
        Target::One => draw(nodes, 1, rng),
        Target::Minority => draw(nodes, nodes.saturating_sub(1) / 2, rng),
        Target::Majority => draw(nodes, nodes / 2 + 1, rng),
        Target::All => (0..nodes).collect(),
        Target::Random(count) => draw(nodes, usize::try_from(*count).unwrap_or(usize::MAX), rng),
        Target::Named(names) => (0..nodes).filter(|i| names.contains(&super::model::node_name(*i))).collect(),
    };
    numbers.into_iter().filter_map(|i| u16::try_from(i).ok()).map(NodeIndex).collect()
}

/// So many of these, or all; sorted as they are.
fn draw_clients(from: &[SubscriberId], count: Option<u32>, rng: &mut ChaCha8Rng) -> Vec<SubscriberId> {
    let count = count.map_or(from.len(), |count| usize::try_from(count).unwrap_or(usize::MAX));
    draw(from.len(), count, rng).into_iter().map(|index| from[index]).collect()
}

/// So many numbers below `of`, sorted.
fn draw(of: usize, count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut numbers = index::sample(rng, of, count.min(of)).into_vec();
    numbers.sort_unstable();
    numbers
}
