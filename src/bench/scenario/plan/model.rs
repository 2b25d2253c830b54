//! Scenario → plan: who connects when with which addresses, what is published when to whom, which node breaks when.
//! Pure and deterministic: one scenario and one seed make one plan. Read [`Plan`] first.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::phases::Phases;
use super::publishers::{self, PublisherPlan};
use super::seeds::Seeds;
use super::{budget, faults, subscribers};
use crate::bench::ids::{AddressId, FaultId, GroupId, NodeIndex, RunId, SubscriberId};
use crate::bench::metrics::threshold::Threshold;
use crate::bench::scenario::dialect::Dialect;
use crate::bench::scenario::{
    ClientGroup, Cluster, DecoderKind, Lb, LbKind, LinkEffect, LinkKind, Output, ProcessAction, Reading,
    Reconnect, RedisAction, RedisTarget, Scenario, Verify,
};
use crate::protocol::{Address, ClientId, NodeId, Topic, UserId};

/// Everything that a run does, known before it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Identity of the run.
    pub run: RunId,
    /// Name of the scenario.
    pub name: String,
    /// Its description.
    pub description: String,
    /// The seed that it was drawn from.
    pub seed: u64,
    /// How long publishers publish and faults happen.
    pub duration: Duration,
    /// The nodes: child processes, or where they are.
    pub cluster: Cluster,
    /// How they are spoken to; `None`: as `sse-node` is.
    pub dialect: Option<Arc<Dialect>>,
    /// Their names: `n1`, `n2`, …; those too that only a fault starts, behind the others.
    pub nodes: Vec<NodeId>,
    /// Which links pass the fault proxy.
    pub proxied: Vec<LinkKind>,
    /// Who chooses a node, and how.
    pub lb: Lb,
    /// Groups of clients.
    pub groups: Vec<GroupPlan>,
    /// All virtual clients: group by group, then those that come by a fault.
    pub subscribers: Vec<SubscriberPlan>,
    /// Every address that a client listens to. Publishers draw from these.
    pub addresses: Vec<Address>,
    /// Publishers.
    pub publishers: Vec<PublisherPlan>,
    /// Faults, in order of time.
    pub faults: Vec<PlannedFault>,
    /// Parts of the run that metrics are told apart by.
    pub phases: Phases,
    /// What must hold of the deliveries.
    pub verify: Verify,
    /// What must hold of the metrics.
    pub thresholds: Vec<Threshold>,
    /// Where results go.
    pub output: Output,
    /// Subscribers remember an SSE id, to find one that stands for two events, when these bits of its hash are zero:
    /// zero for every id, more bits for runs with more deliveries than can be remembered.
    pub id_mask: u64,
}

/// What the clients of a group have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupPlan {
    /// Name; the tag `group`.
    pub name: String,
    /// What they do when a stream ends.
    pub reconnect: Reconnect,
    /// How they read.
    pub decoder: DecoderKind,
    /// Silence after which they take a stream for dead.
    pub idle_timeout: Duration,
    /// Nodes that they connect to; all where none is named.
    pub nodes: Vec<NodeIndex>,
    /// Whether they are owed what was put into their mailboxes before they came.
    pub mailbox: bool,
    /// How slowly they read; `None`: as fast as they can.
    pub read: Option<Reading>,
    /// Sent with each connect.
    pub headers: Vec<(String, String)>,
}

/// One virtual client.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriberPlan {
    /// Its number.
    pub id: SubscriberId,
    /// Its group.
    pub group: GroupId,
    /// `clientId`.
    pub client: ClientId,
    /// `userId`.
    pub user: Option<UserId>,
    /// `topics`.
    pub topics: Vec<Topic>,
    /// What it is addressed by, sorted: everything else that it receives is a leak.
    pub addresses: Box<[AddressId]>,
    /// When it connects.
    pub joins: Joins,
    /// When it leaves; `None`: it stays until the run is judged.
    pub leaves: Option<Duration>,
    /// For its jitter.
    pub seed: u64,
    /// The local address that its connections start from; `None`: what the system chooses.
    pub source: Option<Ipv4Addr>,
}

/// When a client connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joins {
    /// During set-up: the run's clock starts when it is connected.
    BeforeStart,
    /// This long after the start.
    At(Duration),
}

/// A fault with its targets.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedFault {
    /// Its number.
    pub id: FaultId,
    /// Name in reports; with the targets in [`PlannedFault::title`].
    pub name: String,
    /// When it is applied.
    pub at: Duration,
    /// When it is healed; `None`: by the run, before it waits for quiescence. A fault that is over at once
    /// (`restart` without `for`, `reconnect-storm`) has its own time here.
    pub heals_at: Option<Duration>,
    /// What happens to whom.
    pub action: FaultAction,
}

/// What happens to whom.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultAction {
    /// To processes.
    Process {
        /// What.
        action: ProcessAction,
        /// To whom, sorted.
        nodes: Vec<NodeIndex>,
    },
    /// To nodes, one after the other: ended, started again, ready, the next.
    RollingRestart {
        /// To whom, in this order.
        nodes: Vec<NodeIndex>,
        /// From one to the next, at least.
        every: Duration,
    },
    /// To the Redis that the nodes share.
    Redis {
        /// What.
        action: RedisAction,
        /// To which of its servers.
        target: RedisTarget,
    },
    /// Nodes come into the cluster, or leave it.
    Scale {
        /// Which, sorted.
        nodes: Vec<NodeIndex>,
        /// Whether they come. Then its heal lets them leave again; else its heal brings them back.
        is_up: bool,
    },
    /// To links that pass the fault proxy.
    Link {
        /// Which kind.
        link: LinkKind,
        /// What.
        effect: LinkEffect,
        /// Those of which nodes, sorted.
        nodes: Vec<NodeIndex>,
    },
    /// The cables of these nodes' hosts are pulled.
    Unplug {
        /// Whose, sorted.
        nodes: Vec<NodeIndex>,
    },
    /// These clients cut their connections at one moment.
    ReconnectStorm {
        /// Which, sorted.
        subscribers: Vec<SubscriberId>,
    },
    /// Some clients go for good, and others come. Both do it by themselves, as [`SubscriberPlan`] says.
    ChurnBurst {
        /// Who goes, sorted.
        leave: Vec<SubscriberId>,
        /// Who comes.
        come: Vec<SubscriberId>,
    },
    /// These clients read slowly. They do it by themselves, see [`Plan::slow_downs`].
    SlowDown {
        /// Which, sorted.
        subscribers: Vec<SubscriberId>,
        /// So slowly.
        bytes_per_sec: u32,
    },
}

/// A time in which a client reads slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowTime {
    /// From then on.
    pub from: Duration,
    /// Until then; `None`: until the load is over.
    pub until: Option<Duration>,
    /// So slowly.
    pub bytes_per_sec: u32,
}

/// A step of the fault timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultStep {
    /// When.
    pub at: Duration,
    /// Which fault.
    pub fault: FaultId,
    /// Which end of it.
    pub edge: FaultEdge,
}

/// The two ends of a fault. Heals sort first: what is over ends before something new begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultEdge {
    /// It is undone.
    Heal,
    /// It is done.
    Apply,
}

impl Plan {
    /// Draws a plan from a scenario and its seed. `run` does not influence it.
    #[must_use]
    pub fn new(scenario: &Scenario, run: RunId) -> Self {
        let seeds = Seeds::new(scenario.seed);
        let mut audience = subscribers::Audience::new(&scenario.clients, scenario.duration, seeds);
        let faults = faults::faults(scenario, &mut audience, seeds);
        let publishers = publishers::publishers(scenario, &audience.addresses, seeds);
        let node = |i| NodeId::parse(&node_name(i)).expect("a letter and a number are a name");
        let mut plan = Self {
            run,
            name: scenario.name.clone(),
            description: scenario.description.clone(),
            seed: scenario.seed,
            duration: scenario.duration,
            cluster: scenario.cluster.clone(),
            dialect: scenario.dialect.clone().map(Arc::new),
            nodes: (0..scenario.cluster.nodes_at_most()).map(node).collect(),
            proxied: scenario.proxied.clone(),
            lb: scenario.lb,
            groups: scenario.clients.iter().map(GroupPlan::of).collect(),
            subscribers: audience.subscribers,
            addresses: audience.addresses,
            publishers,
            phases: Phases::new(scenario.warmup, scenario.duration, &faults),
            faults,
            verify: scenario.verify,
            thresholds: scenario.thresholds.clone(),
            output: scenario.output.clone(),
            id_mask: 0,
        };
        plan.id_mask = id_mask(plan.estimated_deliveries());
        plan
    }

    /// The fault timeline: what is applied and healed, in order of time.
    #[must_use]
    pub fn timeline(&self) -> Vec<FaultStep> {
        let mut steps = Vec::new();
        for fault in &self.faults {
            steps.push(FaultStep { at: fault.at, fault: fault.id, edge: FaultEdge::Apply });
            if let Some(at) = fault.heals_at.filter(|at| *at > fault.at) {
                steps.push(FaultStep { at, fault: fault.id, edge: FaultEdge::Heal });
            }
        }
        steps.sort_by_key(|step| (step.at, step.edge, step.fault));
        steps
    }

    /// When faults make a client read slowly.
    #[must_use]
    pub fn slow_downs(&self, id: SubscriberId) -> Vec<SlowTime> {
        let of_this_client = |fault: &PlannedFault| match &fault.action {
            FaultAction::SlowDown { subscribers, bytes_per_sec } => {
                let (from, until, bytes_per_sec) = (fault.at, fault.heals_at, *bytes_per_sec);
                subscribers.binary_search(&id).is_ok().then_some(SlowTime { from, until, bytes_per_sec })
            }
            FaultAction::Process { .. }
            | FaultAction::RollingRestart { .. }
            | FaultAction::Redis { .. }
            | FaultAction::Scale { .. }
            | FaultAction::Link { .. }
            | FaultAction::Unplug { .. }
            | FaultAction::ReconnectStorm { .. }
            | FaultAction::ChurnBurst { .. } => None,
        };
        self.faults.iter().filter_map(of_this_client).collect()
    }

    /// Addresses that clients and publishers connect to: the nodes', or the balancer's in front of them.
    #[must_use]
    pub fn doors(&self) -> u64 {
        if self.lb.kind == LbKind::Swarm { self.nodes.len() as u64 } else { 1 }
    }

    /// Whether connections to nodes pass a proxy of the bench, and so are two more open files of it.
    #[must_use]
    pub fn passes_a_proxy(&self) -> bool {
        self.proxied.contains(&LinkKind::ClientNode)
    }

    /// A virtual client.
    #[must_use]
    pub fn subscriber(&self, id: SubscriberId) -> Option<&SubscriberPlan> {
        self.subscribers.get(usize::try_from(id.0).unwrap_or(usize::MAX))
    }

    /// The address behind its number. Numbers that came from the network may name nobody.
    #[must_use]
    pub fn address(&self, id: AddressId) -> Option<&Address> {
        self.addresses.get(usize::try_from(id.0).unwrap_or(usize::MAX))
    }

    /// The number of every address.
    #[must_use]
    pub fn address_ids(&self) -> BTreeMap<&Address, AddressId> {
        (0..).map(AddressId).zip(&self.addresses).map(|(id, address)| (address, id)).collect()
    }
}

impl GroupPlan {
    fn of(group: &ClientGroup) -> Self {
        Self {
            name: group.name.clone(),
            reconnect: group.reconnect,
            decoder: group.decoder,
            idle_timeout: group.idle_timeout,
            nodes: group.nodes.iter().copied().map(NodeIndex).collect(),
            mailbox: group.mailbox,
            read: group.read,
            headers: group.headers.clone(),
        }
    }
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
            FaultAction::Unplug { nodes } => format!("{} (netns {})", self.name, names(nodes)),
            FaultAction::ReconnectStorm { subscribers } => {
                format!("{} (reconnect-storm {} clients)", self.name, subscribers.len())
            }
            FaultAction::ChurnBurst { leave, .. } => {
                format!("{} (churn-burst {} clients)", self.name, leave.len())
            }
            FaultAction::SlowDown { subscribers, bytes_per_sec } => {
                format!("{} (slow-down {} clients, {bytes_per_sec} B/s)", self.name, subscribers.len())
            }
        }
    }
}

/// Nodes are counted from one.
pub(super) fn node_name(index: usize) -> String {
    format!("n{}", index + 1)
}

/// SSE ids that all subscribers together are to remember, at 24 bytes each.
pub const REMEMBERED_IDS: usize = 2_000_000;

/// One bit for every doubling of deliveries beyond what can be remembered.
fn id_mask(deliveries: f64) -> u64 {
    let mut mask = 0;
    let mut remembered = deliveries;
    while remembered > budget::to_f64(REMEMBERED_IDS) {
        mask = mask << 1 | 1;
        remembered /= 2.0;
    }
    mask
}
