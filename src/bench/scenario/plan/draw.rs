//! Draws the [`Plan`] of a scenario from its seed: clients, then faults, then publishers. Read [`Plan::new`] first.

use std::sync::Arc;

use super::model::{GroupPlan, Plan, ReadingPlan};
use super::phases::Phases;
use super::seeds::Seeds;
use super::{faults, publishers, subscribers};
use crate::bench::ids::{NodeIndex, RunId};
use crate::bench::metrics::format::to_f64;
use crate::bench::scenario::{ClientGroup, Cluster, PayloadSize, Reading, Scenario, limits};
use crate::protocol::{Format, NodeId};

impl Plan {
    /// Draws the plan of a scenario from its seed. `run` does not influence the draws.
    #[must_use]
    pub fn new(scenario: &Scenario, run: RunId) -> Self {
        let seeds = Seeds::new(scenario.seed);
        let mut audience = subscribers::Audience::new(&scenario.clients, scenario.duration, seeds);
        let faults = faults::faults(scenario, &mut audience, seeds);
        let publishers = publishers::publishers(scenario, &audience.addresses, seeds);
        let node = |i| NodeId::parse(&faults::node_name(i)).expect("a letter and a number are a name");
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
            readings: scenario
                .clients
                .iter()
                .map(|group| ReadingPlan::of(&group.reading, scenario))
                .collect(),
            subscribers: audience.subscribers,
            addresses: audience.addresses,
            publishers,
            hostile: scenario.hostile.clone(),
            phases: Phases::new(scenario.warmup, scenario.duration, &faults),
            faults,
            verify: scenario.verify,
            probes: scenario.probes,
            thresholds: scenario.thresholds.clone(),
            output: scenario.output.clone(),
            empty_variables: scenario.empty_variables.clone(),
            id_mask: 0,
        };
        plan.id_mask = id_mask(plan.estimated_deliveries());
        plan
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

/// The flag of `sse-node` that decides where clients ask for no format.
const FORMAT_FLAG: &str = "format";

impl ReadingPlan {
    fn of(reading: &Reading, scenario: &Scenario) -> Self {
        let largest = scenario.publishers.iter().map(|publisher| match publisher.payload {
            PayloadSize::Fixed(bytes) => bytes,
            PayloadSize::LogNormal { .. } => limits::PAYLOAD_MAX_BYTES,
        });
        let payload = u64::from(largest.max().unwrap_or(limits::PAYLOAD_MAX_BYTES));
        let usual = limits::MAX_EVENT_BASE + limits::MAX_EVENT_PER_PAYLOAD * payload;
        let accept_encoding = reading.accept_encoding.clone();
        let of_nodes = match &scenario.cluster {
            Cluster::Spawn(spawn) => spawn.flags.get(FORMAT_FLAG).and_then(Option::as_deref),
            Cluster::Attach(_) => None,
        };
        let is_data = of_nodes == Some(Format::Data.as_str());
        let of_nodes = if is_data { Format::Data } else { Format::Envelope };
        Self {
            accept_encoding,
            max_event: reading.max_event.unwrap_or(usual),
            asked_format: reading.format,
            format: reading.format.unwrap_or(of_nodes),
            transport: reading.transport,
        }
    }
}

/// Upper bound of the SSE ids that all subscribers together remember, at 24 bytes each.
pub const REMEMBERED_IDS: usize = 2_000_000;

/// One bit for each doubling of the deliveries beyond [`REMEMBERED_IDS`].
fn id_mask(deliveries: f64) -> u64 {
    let mut mask = 0;
    let mut remembered = deliveries;
    while remembered > to_f64(REMEMBERED_IDS as u64) {
        mask = mask << 1 | 1;
        remembered /= 2.0;
    }
    mask
}
