//! Events of publishers: due time, address and size, drawn lazily from the seed. Read [`PublisherPlan::schedule`]
//! first.

use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::pacer::Pacer;
use super::seeds::Seeds;
use crate::bench::ids::{AddressId, NodeIndex, PublisherId};
use crate::bench::scenario::limits::PAYLOAD_MAX_BYTES;
use crate::bench::scenario::{Mix, Pace, PayloadSize, PublisherSpec, Scenario, Template};
use crate::protocol::Address;

/// How many standard deviations above the median the 99th percentile of a normal distribution lies.
const Z99: f64 = 2.326_347_874_040_841;

/// Settings and targets of one publisher.
#[derive(Debug, Clone, PartialEq)]
pub struct PublisherPlan {
    /// Position in [`Plan::publishers`](super::Plan::publishers).
    pub id: PublisherId,
    /// Value of the tag `publisher`.
    pub name: String,
    pub pace: Pace,
    /// Limit of unanswered publishes: an event that is due beyond it is dropped and counted.
    pub max_in_flight: u32,
    /// Whether a publish waits for the answer to the previous one to the same address. Latency counts from the due time all
    /// the same.
    pub in_order: bool,
    /// 0, or 1 for delivery through mailboxes.
    pub qos: u8,
    /// Whether a publish without a definite answer is sent again with the same id.
    pub retry: bool,
    /// Nodes to publish to; empty: all.
    pub nodes: Arc<[NodeIndex]>,
    /// HTTP headers of each publish.
    pub headers: Arc<[(String, String)]>,
    pub payload: PayloadSize,
    /// Weights of the kinds of addresses.
    pub mix: Mix,
    /// Addresses with subscribers.
    pub targets: Targets,
    /// Seed of due times, addresses and sizes.
    pub seed: u64,
}

/// Addresses by kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Targets {
    /// The address `all`, alone.
    pub broadcast: Vec<AddressId>,
    pub topics: Vec<AddressId>,
    pub users: Vec<AddressId>,
    pub clients: Vec<AddressId>,
}

impl Targets {
    pub(super) fn new(addresses: &[Address]) -> Self {
        let mut targets = Self::default();
        for (id, address) in (0..).map(AddressId).zip(addresses) {
            match address {
                Address::All => targets.broadcast.push(id),
                Address::Topic(_) => targets.topics.push(id),
                Address::User(_) => targets.users.push(id),
                Address::Client(_) => targets.clients.push(id),
                // Clients have no address by node in this version.
                Address::Node(_) | Address::NodeClient(..) => {}
            }
        }
        targets
    }
}

pub(super) fn publishers(scenario: &Scenario, addresses: &[Address], seeds: Seeds) -> Vec<PublisherPlan> {
    let targets = Targets::new(addresses);
    let plan = |(id, spec): (u16, &PublisherSpec)| PublisherPlan {
        id: PublisherId(id),
        name: spec.name.clone(),
        pace: spec.pace.clone(),
        max_in_flight: spec.max_in_flight,
        in_order: spec.in_order,
        qos: spec.qos,
        retry: spec.retry,
        nodes: spec.nodes.iter().copied().map(NodeIndex).collect(),
        headers: headers(spec, id, seeds),
        payload: spec.payload,
        mix: spec.mix,
        targets: targets.clone(),
        seed: seeds.of("publisher", &spec.name),
    };
    (0..PublisherId::SENTINEL.0).zip(&scenario.publishers).map(plan).collect()
}

/// The headers of publisher number `i` of the scenario.
fn headers(spec: &PublisherSpec, i: u16, seeds: Seeds) -> Arc<[(String, String)]> {
    let seeds = Seeds::new(seeds.of("publisher", &spec.name));
    let header = |(name, value): &(String, Template)| {
        (name.clone(), value.fill(u32::from(i), seeds.of("header", name)))
    };
    spec.headers.iter().map(header).collect()
}

/// An event before it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Due time since the start of the run.
    pub at: Duration,
    pub address: AddressId,
    /// Size of `data`.
    pub bytes: u32,
}

/// The events of one publisher, in order of time. Every iteration yields the same events.
#[derive(Debug)]
pub struct Schedule {
    pacer: Pacer,
    /// Separate from the pacer's, so that the mix does not change due times.
    rng: ChaCha8Rng,
    payload: PayloadSize,
    mix: Mix,
    targets: Targets,
}

impl PublisherPlan {
    /// All events, in order of time.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        let seeds = Seeds::new(self.seed);
        Schedule {
            pacer: Pacer::new(&self.pace, seeds.of("pace", "")),
            rng: ChaCha8Rng::seed_from_u64(seeds.of("events", "")),
            payload: self.payload,
            mix: self.mix,
            targets: self.targets.clone(),
        }
    }

    /// Addresses of each kind with the share of all events that they get; shares add up to one.
    pub(super) fn shares(&self) -> Vec<(f64, &[AddressId])> {
        let kinds = kinds(&self.mix, &self.targets);
        let sum: f64 = kinds.iter().map(|(weight, _)| weight).sum();
        kinds.into_iter().map(|(weight, targets)| (weight / sum, targets)).collect()
    }
}

/// Addresses of each kind that can be drawn, with the kind's weight.
fn kinds<'a>(mix: &Mix, targets: &'a Targets) -> Vec<(f64, &'a [AddressId])> {
    let all = [
        (mix.broadcast, targets.broadcast.as_slice()),
        (mix.topic, targets.topics.as_slice()),
        (mix.user, targets.users.as_slice()),
        (mix.client, targets.clients.as_slice()),
    ];
    all.into_iter().filter(|(weight, targets)| *weight > 0.0 && !targets.is_empty()).collect()
}

impl Iterator for Schedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let at = self.pacer.next()?;
        let address = draw_address(&self.mix, &self.targets, &mut self.rng)?;
        let bytes = draw_size(self.payload, &mut self.rng);
        Some(Due { at, address, bytes })
    }
}

fn draw_address(mix: &Mix, targets: &Targets, rng: &mut ChaCha8Rng) -> Option<AddressId> {
    let kinds = kinds(mix, targets);
    let sum: f64 = kinds.iter().map(|(weight, _)| weight).sum();
    let mut at = rng.random::<f64>() * sum;
    let mut chosen = kinds.last()?.1;
    for (weight, targets) in &kinds {
        if at < *weight {
            chosen = targets;
            break;
        }
        at -= weight;
    }
    chosen.get(rng.random_range(0..chosen.len())).copied()
}

fn draw_size(size: PayloadSize, rng: &mut ChaCha8Rng) -> u32 {
    match size {
        PayloadSize::Fixed(bytes) => bytes,
        PayloadSize::LogNormal { median, p99 } => {
            // Box-Muller; the first number is above zero, so its logarithm is finite.
            let (first, second) = (1.0 - rng.random::<f64>(), rng.random::<f64>());
            let normal = (-2.0 * first.ln()).sqrt() * (TAU * second).cos();
            let sigma = (f64::from(p99) / f64::from(median)).ln() / Z99;
            let bytes = f64::from(median) * (sigma * normal).exp();
            to_bytes(bytes.clamp(1.0, f64::from(PAYLOAD_MAX_BYTES)))
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1 up to 1 MiB")]
fn to_bytes(bytes: f64) -> u32 {
    bytes as u32
}
