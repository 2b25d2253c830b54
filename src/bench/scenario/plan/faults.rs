//! Planned faults, and their targets: each fault draws its nodes or clients from a seed of its own.
//! Read [`PlannedFault`] first, then [`faults`].

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use rand::seq::index;

use super::nemesis;
use super::seeds::Seeds;
use super::subscribers::Audience;
use crate::bench::ids::{FaultId, NodeIndex, SubscriberId};
use crate::bench::scenario::{
    ClientAction, FaultSpec, FaultSpecKind, LinkEffect, LinkKind, ProcessAction, RedisAction, RedisTarget,
    Scenario, Target,
};

/// A fault with its drawn targets.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedFault {
    /// Position in [`Plan::faults`](super::Plan::faults).
    pub id: FaultId,
    /// As in the scenario; [`PlannedFault::title`] adds the targets.
    pub name: String,
    /// Time of the apply, since the start of the run.
    pub at: Duration,
    /// Time of the heal; `None`: the run heals it before it waits for quiescence. Equal to `at` for a momentary fault
    /// (`restart` without `for`, `reconnect-storm`).
    pub heals_at: Option<Duration>,
    pub action: FaultAction,
}

/// What a fault does, and to which drawn targets.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultAction {
    /// Ends, restarts or pauses the processes of nodes.
    Process {
        action: ProcessAction,
        /// Target nodes, sorted.
        nodes: Vec<NodeIndex>,
    },
    /// Restarts nodes one after the other; the next one once the last one is ready.
    RollingRestart {
        /// In this order.
        nodes: Vec<NodeIndex>,
        /// Minimum time from one restart to the next.
        every: Duration,
    },
    /// Breaks servers of the Redis that the nodes share.
    Redis { action: RedisAction, target: RedisTarget },
    /// Adds nodes to the cluster or removes nodes.
    Scale {
        /// Target nodes, sorted.
        nodes: Vec<NodeIndex>,
        /// Whether the nodes are added; the heal does the opposite.
        is_up: bool,
    },
    /// Breaks links that pass the fault proxy.
    Link {
        link: LinkKind,
        effect: LinkEffect,
        /// The nodes whose links break, sorted.
        nodes: Vec<NodeIndex>,
    },
    /// Takes down the network links of nodes that run in network namespaces.
    Netns {
        /// Target nodes, sorted.
        nodes: Vec<NodeIndex>,
    },
    /// Cuts connections of clients at the same moment.
    ReconnectStorm {
        /// Target clients, sorted.
        subscribers: Vec<SubscriberId>,
    },
    /// Replaces clients by new ones. The clients do it by themselves: [`super::SubscriberPlan`] has the times.
    ChurnBurst {
        /// Target clients, sorted.
        leaving: Vec<SubscriberId>,
        joining: Vec<SubscriberId>,
    },
    /// Slows down clients. The clients do it by themselves: see [`super::Plan::slow_downs`].
    SlowDown {
        /// Target clients, sorted.
        subscribers: Vec<SubscriberId>,
        bytes_per_sec: u32,
    },
}

/// An apply or a heal in the fault timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultStep {
    /// Since the start of the run.
    pub at: Duration,
    pub fault: FaultId,
    pub edge: FaultEdge,
}

/// Begin or end of a fault. Heals sort first: at the same time a fault ends before another one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultEdge {
    /// The fault is undone.
    Heal,
    /// The fault is done.
    Apply,
}

impl PlannedFault {
    /// The fault with its targets: `kill-1 (kill n2)`.
    #[must_use]
    pub fn title(&self) -> String {
        let names = |nodes: &[NodeIndex]| {
            let names: Vec<String> = nodes.iter().map(|node| node_name(usize::from(node.0))).collect();
            names.join(" ")
        };
        match &self.action {
            FaultAction::Process { action, nodes } => format!("{} ({action} {})", self.name, names(nodes)),
            FaultAction::RollingRestart { nodes, .. } => {
                format!("{} (rolling-restart {})", self.name, names(nodes))
            }
            FaultAction::Redis { action, target: _ } if action.is_momentary() => {
                format!("{} ({action})", self.name)
            }
            FaultAction::Redis { action, target } => format!("{} ({action} {target})", self.name),
            FaultAction::Scale { nodes, is_up } => {
                format!("{} (scale {} {})", self.name, if *is_up { "up" } else { "down" }, names(nodes))
            }
            FaultAction::Link { link, effect, nodes } => {
                format!("{} ({effect} {link} {})", self.name, names(nodes))
            }
            FaultAction::Netns { nodes } => format!("{} (netns {})", self.name, names(nodes)),
            FaultAction::ReconnectStorm { subscribers } => {
                format!("{} (reconnect-storm {} clients)", self.name, subscribers.len())
            }
            FaultAction::ChurnBurst { leaving, .. } => {
                format!("{} (churn-burst {} clients)", self.name, leaving.len())
            }
            FaultAction::SlowDown { subscribers, bytes_per_sec } => {
                format!("{} (slow-down {} clients, {bytes_per_sec} B/s)", self.name, subscribers.len())
            }
        }
    }
}

/// All faults, in order of time. Adds leaves and joins of a `churn-burst` to the audience.
pub(super) fn faults(scenario: &Scenario, audience: &mut Audience, seeds: Seeds) -> Vec<PlannedFault> {
    let drawn = scenario.nemesis.as_ref().map(|nemesis| nemesis::draw(nemesis, seeds.of("nemesis", "")));
    let drawn = drawn.unwrap_or_default();
    let mut specs: Vec<&FaultSpec> = scenario.faults.iter().chain(&drawn).collect();
    specs.sort_by_key(|fault| fault.at);
    let rng = |spec: &FaultSpec| ChaCha8Rng::seed_from_u64(seeds.of("fault", &spec.name));
    // Churn first: the other faults draw from the clients that are present then.
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
    // A restart heals itself once the process has ended.
    let is_restart = matches!(
        spec.kind,
        FaultSpecKind::Process { action: ProcessAction::Restart, .. }
            | FaultSpecKind::Redis { action: RedisAction::Restart, .. }
    );
    match spec.lasts {
        Some(lasts) => Some(spec.at + lasts),
        None if is_restart || spec.kind.is_momentary() => Some(spec.at),
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
    let candidates = audience.present_at(spec.at, group.as_deref(), &scenario.clients);
    let leaving = draw_clients(&candidates, *clients, rng);
    let joining = audience.replace(&leaving, spec.at, &scenario.clients);
    Some(FaultAction::ChurnBurst { leaving, joining })
}

fn action(spec: &FaultSpec, scenario: &Scenario, audience: &Audience, rng: &mut ChaCha8Rng) -> FaultAction {
    let nodes = scenario.cluster.nodes();
    match &spec.kind {
        FaultSpecKind::Process { action, target } => {
            FaultAction::Process { action: *action, nodes: draw_nodes(target, nodes, rng) }
        }
        FaultSpecKind::RollingRestart { target } => {
            let nodes = draw_nodes(target, nodes, rng);
            let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX).max(1);
            FaultAction::RollingRestart { nodes, every: spec.lasts.unwrap_or_default() / count }
        }
        FaultSpecKind::Redis { action, target } => FaultAction::Redis { action: *action, target: *target },
        FaultSpecKind::Link(fault) => {
            let nodes = draw_nodes(&fault.target, nodes, rng);
            FaultAction::Link { link: fault.link, effect: fault.effect.clone(), nodes }
        }
        FaultSpecKind::Netns { target } => FaultAction::Netns { nodes: draw_nodes(target, nodes, rng) },
        FaultSpecKind::Scale { to } => {
            let (from, to) = (u16::try_from(nodes).unwrap_or(u16::MAX), *to);
            let nodes = (from.min(to)..from.max(to)).map(NodeIndex).collect();
            FaultAction::Scale { nodes, is_up: to > from }
        }
        FaultSpecKind::Clients { action, clients, group } => {
            let mut present = audience.present_at(spec.at, group.as_deref(), &scenario.clients);
            match action {
                ClientAction::SlowDown { bytes_per_sec } => {
                    // Events that a client leaves unread could not be judged.
                    present.retain(|id| audience.stays(*id));
                    let subscribers = draw_clients(&present, *clients, rng);
                    FaultAction::SlowDown { subscribers, bytes_per_sec: *bytes_per_sec }
                }
                ClientAction::ReconnectStorm | ClientAction::ChurnBurst => {
                    FaultAction::ReconnectStorm { subscribers: draw_clients(&present, *clients, rng) }
                }
            }
        }
    }
}

/// The drawn target nodes, sorted.
fn draw_nodes(target: &Target, nodes: usize, rng: &mut ChaCha8Rng) -> Vec<NodeIndex> {
    let numbers = match target {
        Target::One => draw(nodes, 1, rng),
        Target::Minority => draw(nodes, nodes.saturating_sub(1) / 2, rng),
        Target::Majority => draw(nodes, nodes / 2 + 1, rng),
        Target::All => (0..nodes).collect(),
        Target::Random(count) => draw(nodes, usize::try_from(*count).unwrap_or(usize::MAX), rng),
        Target::Named(names) => (0..nodes).filter(|i| names.contains(&node_name(*i))).collect(),
    };
    numbers.into_iter().filter_map(|i| u16::try_from(i).ok()).map(NodeIndex).collect()
}

/// A sample of `count` clients in the same order; `None`: all.
fn draw_clients(from: &[SubscriberId], count: Option<u32>, rng: &mut ChaCha8Rng) -> Vec<SubscriberId> {
    let count = count.map_or(from.len(), |count| usize::try_from(count).unwrap_or(usize::MAX));
    draw(from.len(), count, rng).into_iter().map(|index| from[index]).collect()
}

/// A sorted sample of `count` numbers below `of`.
fn draw(of: usize, count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut numbers = index::sample(rng, of, count.min(of)).into_vec();
    numbers.sort_unstable();
    numbers
}

/// Index 0 is `n1`.
pub(super) fn node_name(index: usize) -> String {
    format!("n{}", index + 1)
}
