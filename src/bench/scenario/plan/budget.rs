//! What a plan needs of the machine, and how much it will deliver.

use std::collections::HashMap;
use std::time::Duration;

use super::model::{FaultAction, Joins, Plan};
use super::publishers::PublisherPlan;
use crate::bench::ids::AddressId;
use crate::bench::scenario::{LbKind, LinkKind};
use crate::protocol::Address;

/// Open files that a process has anyway: standard streams, event queues, the report's files.
const OPEN_FILES_BASE: u64 = 64;
/// Pipes and sockets of the bench for each node that it started.
const OPEN_FILES_PER_NODE: u64 = 4;

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

/// How many clients there are of an address, as they come and go.
#[derive(Debug, Default)]
struct Concurrency {
    joins: Vec<Duration>,
    leaves: Vec<Duration>,
}

impl Concurrency {
    fn at(&self, time: Duration) -> u64 {
        let here = |times: &[Duration]| times.partition_point(|at| *at <= time);
        (here(&self.joins) - here(&self.leaves)) as u64
    }

    fn peak(&self) -> u64 {
        self.joins.iter().map(|at| self.at(*at)).max().unwrap_or(0)
    }

    fn sort(&mut self) {
        self.joins.sort_unstable();
        self.leaves.sort_unstable();
    }
}

impl Plan {
    /// What the plan needs, and what it will deliver. Walks through every planned event.
    #[must_use]
    pub fn budget(&self) -> Budget {
        let crowds = self.crowds();
        let mut all = Concurrency::default();
        for subscriber in &self.subscribers {
            all.joins.push(joins_at(subscriber.joins));
            all.leaves.extend(subscriber.leaves);
        }
        all.sort();
        let clients = all.peak();
        let (mut events, mut deliveries) = (0, 0);
        for due in self.publishers.iter().flat_map(PublisherPlan::schedule) {
            events += 1;
            deliveries += crowds.get(&due.address).map_or(0, |crowd| crowd.at(due.at));
        }
        let in_flight: u64 = self.publishers.iter().map(|publisher| u64::from(publisher.max_in_flight)).sum();
        let nodes = self.nodes.len() as u64;
        let per_connection = if self.passes_a_proxy() { 3 } else { 1 };
        Budget {
            open_files: (clients + in_flight) * per_connection
                + nodes * OPEN_FILES_PER_NODE
                + OPEN_FILES_BASE,
            ports_per_node: (clients + in_flight).div_ceil(self.nodes_left().max(1)),
            clients,
            events,
            deliveries,
        }
    }

    fn crowds(&self) -> HashMap<AddressId, Concurrency> {
        let mut crowds: HashMap<AddressId, Concurrency> = HashMap::new();
        for subscriber in &self.subscribers {
            for address in &subscriber.addresses {
                let crowd = crowds.entry(*address).or_default();
                // What waits in a mailbox is delivered to who comes later.
                let waits = self.groups[usize::from(subscriber.group.0)].mailbox
                    && matches!(self.address(*address), Some(Address::User(_) | Address::Client(_)));
                let joins = if waits { Duration::ZERO } else { joins_at(subscriber.joins) };
                crowd.joins.push(joins);
                crowd.leaves.extend(subscriber.leaves);
            }
        }
        crowds.values_mut().for_each(Concurrency::sort);
        crowds
    }

    /// Nodes that are left when the worst fault of the plan is at work: all clients crowd there.
    fn nodes_left(&self) -> u64 {
        let hit = |action: &FaultAction| match action {
            FaultAction::Process { nodes, .. } | FaultAction::Unplug { nodes } => nodes.len() as u64,
            FaultAction::Link { link: LinkKind::ClientNode, nodes, .. } => nodes.len() as u64,
            FaultAction::Scale { nodes, is_up: false } => nodes.len() as u64,
            FaultAction::RollingRestart { .. } => 1,
            FaultAction::Scale { is_up: true, .. }
            | FaultAction::Link { link: LinkKind::NodeRedis, .. }
            | FaultAction::Redis { .. }
            | FaultAction::ReconnectStorm { .. }
            | FaultAction::ChurnBurst { .. }
            | FaultAction::SlowDown { .. } => 0,
        };
        // All connections lead to the balancer, where there is one.
        if self.lb.kind != LbKind::Swarm {
            return 1;
        }
        let worst = self.faults.iter().map(|fault| hit(&fault.action)).max().unwrap_or(0);
        (self.cluster.nodes() as u64).saturating_sub(worst)
    }

    /// Roughly how many deliveries there will be, without walking through the events.
    pub(super) fn estimated_deliveries(&self) -> f64 {
        let crowds = self.crowds();
        let size = |address: &AddressId| crowds.get(address).map_or(0.0, |crowd| to_f64(crowd.joins.len()));
        let fan_out = |publisher: &PublisherPlan| -> f64 {
            let mean = |targets: &[AddressId]| targets.iter().map(size).sum::<f64>() / to_f64(targets.len());
            publisher.shares().iter().map(|(share, targets)| share * mean(targets)).sum()
        };
        let deliveries =
            |publisher: &PublisherPlan| super::pacer::expected_events(&publisher.pace) * fan_out(publisher);
        self.publishers.iter().map(deliveries).sum()
    }
}

fn joins_at(joins: Joins) -> Duration {
    match joins {
        Joins::BeforeStart => Duration::ZERO,
        Joins::At(at) => at,
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(super) fn to_f64(count: usize) -> f64 {
    count as f64
}
