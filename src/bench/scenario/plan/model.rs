//! The plan of a run as data, and questions about it. Made by [`super::draw`]; never changed afterwards.
//! Read [`Plan`] first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::faults::{FaultAction, FaultEdge, FaultStep, PlannedFault};
use super::phases::Phases;
use super::publishers::PublisherPlan;
use super::seeds::Seeds;
use super::subscribers::SubscriberPlan;
use crate::bench::ids::{AddressId, NodeIndex, RunId, SubscriberId};
use crate::bench::metrics::threshold::Threshold;
use crate::bench::scenario::dialect::Dialect;
use crate::bench::scenario::{
    Cluster, DecoderKind, EmptyVariable, HostileGroup, Lb, LbKind, LinkKind, Output, ReadLimits, Reconnect,
    Template, TransportKind, Verify,
};
use crate::protocol::{Address, Format, NodeId};

/// All joins, publishes and faults of a run, known before it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Identifies the run in every published event.
    pub run: RunId,
    /// As in the scenario.
    pub name: String,
    /// As in the scenario; may be empty.
    pub description: String,
    /// Seed of all draws.
    pub seed: u64,
    /// Time of load and faults, warm-up included. Quiescence comes after it.
    pub duration: Duration,
    /// The nodes: child processes, or URLs.
    pub cluster: Cluster,
    /// Wire format of the servers; `None`: that of `sse-node`.
    pub dialect: Option<Arc<Dialect>>,
    /// Names `n1`, `n2`, …; nodes that only faults start come last.
    pub nodes: Vec<NodeId>,
    /// Kinds of links that pass the fault proxy.
    pub proxied: Vec<LinkKind>,
    /// Load balancing over the nodes.
    pub lb: Lb,
    pub groups: Vec<GroupPlan>,
    /// How the clients of each group read. Apart from [`Self::groups`], which the judgement rests on.
    pub readings: Vec<ReadingPlan>,
    /// All virtual clients by id: group by group, then those that a `churn-burst` adds.
    pub subscribers: Vec<SubscriberPlan>,
    /// All addresses with subscribers, by id. Publishers draw from these.
    pub addresses: Vec<Address>,
    pub publishers: Vec<PublisherPlan>,
    /// Clients that mean harm. Nothing of theirs is judged.
    pub hostile: Vec<HostileGroup>,
    /// Faults by id, which is the order of time.
    pub faults: Vec<PlannedFault>,
    /// Parts of the run; the tag `phase`.
    pub phases: Phases,
    /// What must hold of the deliveries.
    pub verify: Verify,
    /// Whether the judge resumes streams itself, beside the clients.
    pub probes: bool,
    /// What must hold of the metrics.
    pub thresholds: Vec<Threshold>,
    /// Report formats and their directory.
    pub output: Output,
    /// Environment variables that left nothing in a text of the scenario.
    pub empty_variables: Vec<EmptyVariable>,
    /// Subscribers remember an SSE id, to detect one id for two events, if these bits of its hash are zero. Zero
    /// remembers every id; runs with more than [`super::REMEMBERED_IDS`] deliveries have more bits.
    pub id_mask: u64,
}

/// Settings of the clients of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupPlan {
    /// Value of the tag `group`.
    pub name: String,
    pub reconnect: Reconnect,
    pub decoder: DecoderKind,
    /// A client gives up a stream without data for this long.
    pub idle_timeout: Duration,
    /// Nodes to connect to; empty: all.
    pub nodes: Vec<NodeIndex>,
    /// Whether events that reached their mailboxes before they joined are owed to them.
    pub mailbox: bool,
    /// Read limits; `None`: reads as fast as possible.
    pub read: Option<ReadLimits>,
    /// HTTP headers of each connect, before they are filled in for a client.
    pub headers: Vec<(String, Template)>,
}

impl GroupPlan {
    /// The headers of each connect of one client.
    pub fn headers_of(&self, client: &SubscriberPlan) -> impl Iterator<Item = (&str, String)> {
        let (number, seeds) = (client.number, Seeds::new(client.seed));
        self.headers
            .iter()
            .map(move |(name, value)| (name.as_str(), value.fill(number, seeds.of("header", name))))
    }
}

/// What the clients of a group ask for and how much they take in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadingPlan {
    /// Value of `Accept-Encoding`.
    pub accept_encoding: String,
    /// Longest line and most data of one event, in bytes.
    pub max_event: u64,
    /// The query `format` of streams of `sse-node`; `None`: they have none.
    pub asked_format: Option<Format>,
    /// The format in which events are expected.
    pub format: Format,
    pub transport: TransportKind,
}

/// A time window in which a client reads slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowTime {
    /// Since the start of the run.
    pub from: Duration,
    /// Since the start of the run; `None`: until the end of the load.
    pub until: Option<Duration>,
    pub bytes_per_sec: u32,
}

impl Plan {
    /// Why requests of a publisher or a group may lack a token or header: the variables that left nothing in a section, such as
    /// `publishers.main`. A text that begins with `; `, or nothing.
    #[must_use]
    pub fn why_empty(&self, sections: &[&str]) -> String {
        let is_within = |variable: &&EmptyVariable| {
            let rest = sections.iter().find_map(|section| variable.key.strip_prefix(section));
            rest.is_some_and(|rest| rest.starts_with(".token") || rest.starts_with(".headers."))
        };
        self.empty_variables.iter().filter(is_within).map(|variable| format!("; {variable}")).collect()
    }

    /// All applies and heals, in order of time.
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

    /// Windows in which faults make a client read slowly.
    #[must_use]
    pub fn slow_downs(&self, id: SubscriberId) -> Vec<SlowTime> {
        let of_this_client = |fault: &PlannedFault| {
            let FaultAction::SlowDown { subscribers, bytes_per_sec } = &fault.action else { return None };
            let (from, until, bytes_per_sec) = (fault.at, fault.heals_at, *bytes_per_sec);
            subscribers.binary_search(&id).is_ok().then_some(SlowTime { from, until, bytes_per_sec })
        };
        self.faults.iter().filter_map(of_this_client).collect()
    }

    /// Number of addresses that clients and publishers connect to: one per node, or the load balancer's.
    #[must_use]
    pub fn endpoints(&self) -> u64 {
        if self.lb.kind == LbKind::Swarm { self.nodes.len() as u64 } else { 1 }
    }

    /// Whether connections to nodes pass the fault proxy, which takes two more open files each.
    #[must_use]
    pub fn passes_a_proxy(&self) -> bool {
        self.proxied.contains(&LinkKind::ClientNode)
    }

    /// `None` for an unknown id.
    #[must_use]
    pub fn subscriber(&self, id: SubscriberId) -> Option<&SubscriberPlan> {
        self.subscribers.get(usize::try_from(id.0).unwrap_or(usize::MAX))
    }

    /// `None` for an unknown id: ids that arrive from the network may be arbitrary.
    #[must_use]
    pub fn address(&self, id: AddressId) -> Option<&Address> {
        self.addresses.get(usize::try_from(id.0).unwrap_or(usize::MAX))
    }

    /// The inverse of [`Plan::address`].
    #[must_use]
    pub fn address_ids(&self) -> BTreeMap<&Address, AddressId> {
        (0..).map(AddressId).zip(&self.addresses).map(|(id, address)| (address, id)).collect()
    }
}
