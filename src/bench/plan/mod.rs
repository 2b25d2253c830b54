//! Scenario → plan: who connects when with which addresses, what is published when to whom, which node breaks when.
//! Pure and deterministic: one scenario and one seed make one plan. Read [`Plan`] first.

mod faults;
mod phases;
mod publishers;
mod subscribers;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bench::payload::RunId;
use crate::bench::scenario::{
    Cluster, DecoderKind, LbPolicy, Output, ProcessAction, Reconnect, Scenario, Verify,
};
use crate::bench::threshold::Threshold;
use crate::protocol::{Address, ClientId, NodeId, Topic, UserId};

pub use phases::{PhaseId, Phases, RECOVERY};
pub use publishers::{Due, PublisherPlan, Schedule, Targets};

/// A virtual client: index into [`Plan::subscribers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriberId(pub u32);
/// A group of them: index into [`Plan::groups`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u16);
/// A publisher: index into [`Plan::publishers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublisherId(pub u16);
/// Whom events are for: index into [`Plan::addresses`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressId(pub u32);
/// A node: index into [`Plan::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub u16);
/// A fault: index into [`Plan::faults`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub u16);

impl PublisherId {
    /// Publishes the sentinels: what a run sends to every address after its last event.
    pub const SENTINEL: Self = Self(u16::MAX);
}

/// Everything that a run does, known before it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Identity of the run.
    pub run: RunId,
    /// Name of the scenario.
    pub name: String,
    /// The seed that it was drawn from.
    pub seed: u64,
    /// How long publishers publish and faults happen.
    pub duration: Duration,
    /// The nodes: child processes, or where they are.
    pub cluster: Cluster,
    /// Their names: `n1`, `n2`, …
    pub nodes: Vec<NodeId>,
    /// How a node is chosen.
    pub lb: LbPolicy,
    /// Groups of clients.
    pub groups: Vec<GroupPlan>,
    /// All virtual clients, group by group.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultAction {
    /// To processes.
    Process {
        /// What.
        action: ProcessAction,
        /// To whom, sorted.
        nodes: Vec<NodeIndex>,
    },
    /// These clients cut their connections at one moment.
    ReconnectStorm {
        /// Which, sorted.
        subscribers: Vec<SubscriberId>,
    },
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

/// What a plan needs of the machine, and how much it will deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Open files of the bench process at the peak.
    pub open_files: u64,
    /// Ephemeral ports of one source address towards one node at the peak.
    pub ports_per_node: u64,
    /// Most clients at once.
    pub clients: u64,
    /// Events that will be published, if none is dropped.
    pub events: u64,
    /// Deliveries that are expected of them, if every client connects on time.
    pub deliveries: u64,
}

impl Plan {
    /// Draws a plan from a scenario and its seed. `run` does not influence it.
    #[must_use]
    pub fn new(scenario: &Scenario, run: RunId) -> Self {
        let _ = (scenario, run);
        todo!()
    }

    /// The fault timeline: what is applied and healed, in order of time.
    #[must_use]
    pub fn timeline(&self) -> Vec<FaultStep> {
        todo!()
    }

    /// What the plan needs, and what it will deliver. Walks through every planned event.
    #[must_use]
    pub fn budget(&self) -> Budget {
        todo!()
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
