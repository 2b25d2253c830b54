//! Resources that a plan needs from the machine, and its expected deliveries. Read [`Budget`] first.

use std::collections::HashMap;
use std::time::Duration;

use super::faults::FaultAction;
use super::model::Plan;
use super::pacer;
use super::publishers::PublisherPlan;
use super::subscribers::Joins;
use crate::bench::ids::AddressId;
use crate::bench::metrics::format::to_f64;
use crate::bench::scenario::{LbKind, LinkKind};
use crate::protocol::Address;

/// Open files of any run: standard streams, event queues, report files.
const OPEN_FILES_BASE: u64 = 64;
/// Pipes and sockets of the bench for each node.
const OPEN_FILES_PER_NODE: u64 = 4;

/// Resources that a plan needs from the machine, and its expected deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Open files of the bench process, at the peak.
    pub open_files: u64,
    /// Ephemeral ports of one source address towards one node, at the peak.
    pub ports_per_node: u64,
    /// Concurrent clients, at the peak.
    pub clients: u64,
    /// Events that are published if none is dropped.
    pub events: u64,
    /// Deliveries of these events if every client connects on time.
    pub deliveries: u64,
}

/// Number of clients over time, as sorted times of joins and leaves.
#[derive(Debug, Default)]
struct Concurrency {
    joins: Vec<Duration>,
    leaves: Vec<Duration>,
}

impl Concurrency {
    fn at(&self, time: Duration) -> u64 {
        let until = |times: &[Duration]| times.partition_point(|at| *at <= time);
        (until(&self.joins) - until(&self.leaves)) as u64
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
    /// Walks through every planned event.
    #[must_use]
    pub fn budget(&self) -> Budget {
        let by_address = self.clients_by_address();
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
            deliveries += by_address.get(&due.address).map_or(0, |clients| clients.at(due.at));
        }
        let in_flight: u64 = self.publishers.iter().map(|publisher| u64::from(publisher.max_in_flight)).sum();
        let hostile: u64 = self.hostile.iter().map(|group| u64::from(group.clients)).sum();
        let sockets = clients + in_flight + hostile;
        let nodes = self.nodes.len() as u64;
        let per_connection = if self.passes_a_proxy() { 3 } else { 1 };
        Budget {
            open_files: sockets * per_connection + nodes * OPEN_FILES_PER_NODE + OPEN_FILES_BASE,
            ports_per_node: sockets.div_ceil(self.nodes_left().max(1)),
            clients,
            events,
            deliveries,
        }
    }

    fn clients_by_address(&self) -> HashMap<AddressId, Concurrency> {
        let mut by_address: HashMap<AddressId, Concurrency> = HashMap::new();
        for subscriber in &self.subscribers {
            for address in &subscriber.addresses {
                let clients = by_address.entry(*address).or_default();
                // A mailbox keeps events for clients that join later.
                let waits = self.groups[usize::from(subscriber.group.0)].mailbox
                    && matches!(self.address(*address), Some(Address::User(_) | Address::Client(_)));
                let joins = if waits { Duration::ZERO } else { joins_at(subscriber.joins) };
                clients.joins.push(joins);
                clients.leaves.extend(subscriber.leaves);
            }
        }
        by_address.values_mut().for_each(Concurrency::sort);
        by_address
    }

    /// Nodes that take all connections during the worst fault of the plan.
    fn nodes_left(&self) -> u64 {
        let affected = |action: &FaultAction| match action {
            FaultAction::Process { nodes, .. } | FaultAction::Netns { nodes } => nodes.len() as u64,
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
        // All connections lead to the load balancer, if there is one.
        if self.lb.kind != LbKind::Swarm {
            return 1;
        }
        let worst = self.faults.iter().map(|fault| affected(&fault.action)).max().unwrap_or(0);
        (self.cluster.nodes() as u64).saturating_sub(worst)
    }

    /// Mean number of deliveries, without walking through the events.
    pub(super) fn estimated_deliveries(&self) -> f64 {
        let by_address = self.clients_by_address();
        let size = |address: &AddressId| {
            by_address.get(address).map_or(0.0, |clients| to_f64(clients.joins.len() as u64))
        };
        let fan_out = |publisher: &PublisherPlan| -> f64 {
            let mean =
                |targets: &[AddressId]| targets.iter().map(size).sum::<f64>() / to_f64(targets.len() as u64);
            publisher.shares().iter().map(|(share, targets)| share * mean(targets)).sum()
        };
        let deliveries =
            |publisher: &PublisherPlan| pacer::expected_events(&publisher.pace) * fan_out(publisher);
        self.publishers.iter().map(deliveries).sum()
    }
}

fn joins_at(joins: Joins) -> Duration {
    match joins {
        Joins::BeforeStart => Duration::ZERO,
        Joins::At(at) => at,
    }
}
