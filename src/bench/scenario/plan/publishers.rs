//! What is published when to whom: data, drawn from the seed as it is asked for. Read [`PublisherPlan::schedule`].

use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::pacer::Pacer;
use super::seeds::Seeds;
use crate::bench::ids::{AddressId, NodeIndex, PublisherId};
use crate::bench::scenario::{Mix, Order, Pace, PayloadSize, PublisherSpec, Scenario};
use crate::protocol::Address;

/// Largest payload that is ever drawn, in bytes.
pub const PAYLOAD_MAX_BYTES: u32 = 1024 * 1024;
/// How many standard deviations above the median the 99th percentile of a normal distribution lies.
const Z99: f64 = 2.326_347_874_040_841;

/// One publisher.
#[derive(Debug, Clone, PartialEq)]
pub struct PublisherPlan {
    /// Its number.
    pub id: PublisherId,
    /// Name.
    pub name: String,
    /// When events are due.
    pub pace: Pace,
    /// Publishes without an answer, beyond which one that is due is dropped and counted.
    pub max_in_flight: u32,
    /// Whether a publish waits for the answer to the one before it to the same address. So whenever order is
    /// judged: two publishes in flight at once have no order that could be kept. Latency counts from the due time
    /// all the same.
    pub in_order: bool,
    /// `qos` of every publish.
    pub qos: u8,
    /// Whether a publish without a definite answer is sent again.
    pub retry: bool,
    /// Nodes that events are posted to; all where none is named.
    pub nodes: Arc<[NodeIndex]>,
    /// Sent with each publish.
    pub headers: Arc<[(String, String)]>,
    /// Sizes.
    pub payload: PayloadSize,
    /// Shares of the kinds of addresses.
    pub mix: Mix,
    /// The addresses of each kind that clients listen to.
    pub targets: Targets,
    /// Draws come from here.
    pub seed: u64,
}

/// Addresses by kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Targets {
    /// `all`.
    pub broadcast: Vec<AddressId>,
    /// Topics.
    pub topics: Vec<AddressId>,
    /// Users.
    pub users: Vec<AddressId>,
    /// Clients.
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
                // No client is addressed by a node in this version.
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
        in_order: scenario.verify.order == Order::PerPublisherAddress,
        qos: spec.qos,
        retry: spec.retry,
        nodes: spec.nodes.iter().copied().map(NodeIndex).collect(),
        headers: spec.headers.iter().cloned().collect(),
        payload: spec.payload,
        mix: spec.mix,
        targets: targets.clone(),
        seed: seeds.of("publisher", &spec.name),
    };
    (0..PublisherId::SENTINEL.0).zip(&scenario.publishers).map(plan).collect()
}

/// An event that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When, since the start of the run.
    pub at: Duration,
    /// For whom.
    pub address: AddressId,
    /// Size of `data`.
    pub bytes: u32,
}

/// The events of one publisher, in order of time. The same each time it is asked for.
#[derive(Debug)]
pub struct Schedule {
    pacer: Pacer,
    /// Separate from the pacer's, so that another mix leaves the times alone.
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

    /// Each kind of address with its share of all events; shares add up to one.
    pub(super) fn shares(&self) -> Vec<(f64, &[AddressId])> {
        let kinds = kinds(&self.mix, &self.targets);
        let sum: f64 = kinds.iter().map(|(weight, _)| weight).sum();
        kinds.into_iter().map(|(weight, targets)| (weight / sum, targets)).collect()
    }
}

/// Kinds of addresses that can be drawn, with their weights.
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
