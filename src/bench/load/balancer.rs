//! Which node a client connects to, and which one an event is published to: either the swarm balances by itself, or there is
//! one endpoint, a real load balancer.
//! Shared by all clients; every field is an atomic, so no client waits for another.
//! A node that did not answer is passed over for a second and then tried again, so nothing has to report that it is back.
//! Read [`Balancer::choose_for`] first.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

use crate::bench::ids::NodeIndex;
use crate::bench::metrics::clock::monotonic_nanos;
use crate::bench::scenario::{Lb, LbPolicy, OnDown};
use crate::runtime::{fnv1a, splitmix64_finalize};

/// Time for which a node that did not answer is passed over.
const DOWN_FOR: Duration = Duration::from_secs(1);

/// Chooses endpoints. Clones share the state.
#[derive(Debug, Clone)]
pub struct Balancer(Arc<Shared>);

/// What a policy may know of a client that connects.
#[derive(Debug, Clone, Copy)]
pub struct ClientKey<'a> {
    /// The client's own source address; `None`: the system chooses one.
    pub source: Option<Ipv4Addr>,
    /// Its user, else its client id.
    pub key: &'a str,
    /// The endpoint of its last connect; `None` for the first one.
    pub sent_to: Option<Endpoint>,
}

/// Where a connection goes: a node, or the load balancer in front of all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint(u16);

/// The state of an endpoint, sent from one process to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointState {
    /// Whether connections may go there: not before the node is in the cluster, nor after it has left.
    pub is_enabled: bool,
    /// False for a second after it did not answer.
    pub is_up: bool,
}

#[derive(Debug)]
struct Shared {
    policy: LbPolicy,
    on_down: OnDown,
    endpoints: Box<[EndpointEntry]>,
    /// Whether each endpoint is a node. Otherwise the only endpoint is a load balancer, which chooses the node.
    is_direct: bool,
    /// Open connections, by node.
    open: Box<[AtomicU32]>,
    next: AtomicUsize,
}

#[derive(Debug)]
struct EndpointEntry {
    base: Arc<str>,
    /// Whether connections may go there, as in [`EndpointState::is_enabled`].
    is_enabled: AtomicBool,
    /// In nanoseconds since boot; zero when it answers.
    down_until: AtomicU64,
}

/// A connection that is counted on its node until this is dropped.
#[derive(Debug)]
pub struct Assignment {
    shared: Arc<Shared>,
    index: usize,
}

// All orderings are relaxed: the values steer choices and fill gauges; nothing else is ordered by them.
impl Balancer {
    /// Balances over nodes, given by their base URLs. At least one.
    #[must_use]
    pub fn new(policy: LbPolicy, bases: impl IntoIterator<Item = String>) -> Self {
        let endpoints: Box<[EndpointEntry]> = bases.into_iter().map(EndpointEntry::new).collect();
        let nodes = endpoints.len();
        Self::over(policy, OnDown::Reroute, endpoints, true, nodes)
    }

    /// As [`Self::new`], with the settings of a scenario.
    #[must_use]
    pub fn of(lb: Lb, bases: impl IntoIterator<Item = String>) -> Self {
        let endpoints: Box<[EndpointEntry]> = bases.into_iter().map(EndpointEntry::new).collect();
        let nodes = endpoints.len();
        Self::over(lb.policy, lb.on_down, endpoints, true, nodes)
    }

    /// Connects through a real load balancer with this number of nodes behind it.
    #[must_use]
    pub fn through(base: String, nodes: usize) -> Self {
        Self::over(LbPolicy::RoundRobin, OnDown::Reroute, [EndpointEntry::new(base)].into(), false, nodes)
    }

    fn over(
        policy: LbPolicy,
        on_down: OnDown,
        endpoints: Box<[EndpointEntry]>,
        is_direct: bool,
        nodes: usize,
    ) -> Self {
        assert!(!endpoints.is_empty(), "a cluster has a node: the scenario is checked");
        let open = (0..nodes).map(|_| AtomicU32::new(0)).collect();
        Self(Arc::new(Shared { policy, on_down, endpoints, is_direct, open, next: AtomicUsize::new(0) }))
    }

    /// The endpoint of the next publish. Endpoints that are down are passed over, unless all are down.
    pub fn choose(&self, rng: &mut impl Rng) -> Endpoint {
        self.choose_among(&[], rng)
    }

    /// As [`Self::choose`], among these nodes only. All nodes when `nodes` is empty or a real load balancer chooses.
    pub fn choose_among(&self, nodes: &[NodeIndex], rng: &mut impl Rng) -> Endpoint {
        self.choose_by(None, nodes, rng)
    }

    /// As [`Self::choose_among`], for a client, by whose properties the policy may choose.
    pub fn choose_for(&self, client: &ClientKey<'_>, nodes: &[NodeIndex], rng: &mut impl Rng) -> Endpoint {
        self.choose_by(Some(client), nodes, rng)
    }

    fn choose_by(&self, client: Option<&ClientKey<'_>>, nodes: &[NodeIndex], rng: &mut impl Rng) -> Endpoint {
        if self.0.endpoints.len() == 1 {
            return Endpoint(0);
        }
        self.choose_at(monotonic_nanos(), client, nodes, rng)
    }

    fn choose_at(
        &self,
        now: u64,
        client: Option<&ClientKey<'_>>,
        among: &[NodeIndex],
        rng: &mut impl Rng,
    ) -> Endpoint {
        let endpoints = &self.0.endpoints;
        let is_wanted = |index: usize| {
            let is_named = among.is_empty() || among.iter().any(|node| usize::from(node.0) == index);
            is_named && endpoints[index].is_enabled.load(Ordering::Relaxed)
        };
        let is_up = |index: usize| endpoints[index].down_until.load(Ordering::Relaxed) <= now;
        let count = endpoints.len();
        let refuses = self.0.on_down == OnDown::Refuse;
        let all_down = refuses || !(0..count).any(|index| is_wanted(index) && is_up(index));
        let usable = |index: &usize| is_wanted(*index) && (all_down || is_up(*index));
        let in_turn = || (0..count).map(|_| self.0.next.fetch_add(1, Ordering::Relaxed) % count).find(usable);
        // Rendezvous hashing: few clients move when a node leaves or joins.
        let by_hash = |key: u64| (0..count).filter(usable).max_by_key(|index| weight(key, *index));
        let chosen = match (self.0.policy, client) {
            (LbPolicy::RoundRobin, _) => in_turn(),
            (LbPolicy::LeastConn, _) => (0..count)
                .filter(usable)
                .min_by_key(|index| self.0.open.get(*index).map(|open| open.load(Ordering::Relaxed))),
            (LbPolicy::Random, _) => {
                let up = (0..count).filter(usable).count();
                (0..count).filter(usable).nth(rng.random_range(0..up.max(1)))
            }
            (LbPolicy::IpHash, Some(client)) => {
                by_hash(u64::from(client.source.unwrap_or(Ipv4Addr::LOCALHOST).to_bits()))
            }
            (LbPolicy::ConsistentHash, Some(client)) => by_hash(fnv1a(client.key.bytes())),
            (LbPolicy::Cookie, Some(client)) => {
                client.sent_to.map(|endpoint| usize::from(endpoint.0)).filter(usable).or_else(in_turn)
            }
            // A publish has no client, so publishes are spread.
            (LbPolicy::IpHash | LbPolicy::ConsistentHash | LbPolicy::Cookie, None) => in_turn(),
        };
        // An endpoint may change between check and choice: then any wanted one will do.
        let chosen = chosen.or_else(|| (0..count).find(|index| is_wanted(*index))).unwrap_or(0);
        Endpoint(u16::try_from(chosen).unwrap_or(0))
    }

    /// Base URL of an endpoint.
    #[must_use]
    pub fn base(&self, endpoint: Endpoint) -> &Arc<str> {
        &self.0.endpoints[usize::from(endpoint.0)].base
    }

    /// The node of an endpoint; `None` when a real load balancer chooses it.
    #[must_use]
    pub fn node_behind(&self, endpoint: Endpoint) -> Option<NodeIndex> {
        self.0.is_direct.then_some(NodeIndex(endpoint.0))
    }

    /// Counts a connection on its node until the result is dropped. `None` for an unknown node.
    #[must_use]
    pub fn assign(&self, node: NodeIndex) -> Option<Assignment> {
        let index = usize::from(node.0);
        self.0.open.get(index)?.fetch_add(1, Ordering::Relaxed);
        Some(Assignment { shared: Arc::clone(&self.0), index })
    }

    /// Remembers whether an endpoint answers.
    pub fn mark(&self, endpoint: Endpoint, is_up: bool) {
        let down_for = u64::try_from(DOWN_FOR.as_nanos()).unwrap_or(u64::MAX);
        let until = if is_up { 0 } else { monotonic_nanos().saturating_add(down_for) };
        self.0.endpoints[usize::from(endpoint.0)].down_until.store(until, Ordering::Relaxed);
    }

    /// As [`Self::mark`], for a node. Does nothing with a real load balancer, which finds out by itself.
    pub fn mark_node(&self, node: NodeIndex, is_up: bool) {
        if self.0.is_direct {
            self.mark(Endpoint(node.0), is_up);
        }
    }

    /// From now on connections may go to these nodes. Does nothing with a real load balancer.
    pub fn enable(&self, nodes: &[NodeIndex]) {
        self.set_enabled(nodes, true);
    }

    /// From now on no connection goes to these nodes. Does nothing with a real load balancer.
    pub fn disable(&self, nodes: &[NodeIndex]) {
        self.set_enabled(nodes, false);
    }

    fn set_enabled(&self, nodes: &[NodeIndex], is_enabled: bool) {
        if !self.0.is_direct {
            return;
        }
        for endpoint in nodes.iter().filter_map(|node| self.0.endpoints.get(usize::from(node.0))) {
            endpoint.is_enabled.store(is_enabled, Ordering::Relaxed);
        }
    }

    /// The state of all endpoints, for another process.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointState> {
        let now = monotonic_nanos();
        let state = |endpoint: &EndpointEntry| EndpointState {
            is_enabled: endpoint.is_enabled.load(Ordering::Relaxed),
            is_up: endpoint.down_until.load(Ordering::Relaxed) <= now,
        };
        self.0.endpoints.iter().map(state).collect()
    }

    /// Takes over the state that another process knows. An endpoint that is down here stays down: it may answer there only.
    pub fn set_endpoints(&self, states: &[EndpointState]) {
        for ((endpoint, entry), state) in (0..).map(Endpoint).zip(&self.0.endpoints).zip(states) {
            entry.is_enabled.store(state.is_enabled, Ordering::Relaxed);
            if !state.is_up {
                self.mark(endpoint, false);
            }
        }
    }

    /// Replaces the connections, by node, that another process reported before.
    pub fn replace_open(&self, before: &[u32], now: &[u32]) {
        let before = before.iter().copied().chain(std::iter::repeat(0));
        let now = now.iter().copied().chain(std::iter::repeat(0));
        for ((open, before), now) in self.0.open.iter().zip(before).zip(now) {
            // The difference wraps around as the counter does, so it may also go down.
            open.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Open connections of the whole swarm, by node.
    #[must_use]
    pub fn open(&self) -> Vec<u32> {
        self.0.open.iter().map(|open| open.load(Ordering::Relaxed)).collect()
    }
}

/// The weight of a key at an endpoint: the finalizer of SplitMix64 over both.
fn weight(key: u64, endpoint: usize) -> u64 {
    splitmix64_finalize(key ^ (endpoint as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl EndpointEntry {
    fn new(base: String) -> Self {
        Self { base: base.into(), is_enabled: AtomicBool::new(true), down_until: AtomicU64::new(0) }
    }
}

impl Drop for Assignment {
    fn drop(&mut self) {
        self.shared.open[self.index].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha8Rng;

    fn balancer(policy: LbPolicy) -> Balancer {
        Balancer::new(policy, (1..=3).map(|n| format!("http://n{n}")))
    }

    fn choices(balancer: &Balancer, count: usize) -> Vec<u16> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        (0..count).map(|_| balancer.choose(&mut rng).0).collect()
    }

    #[test]
    fn round_robin_takes_turns_and_passes_over_a_dead_node() {
        let balancer = balancer(LbPolicy::RoundRobin);
        assert_eq!(choices(&balancer, 6), [0, 1, 2, 0, 1, 2]);
        balancer.mark_node(NodeIndex(1), false);
        assert_eq!(choices(&balancer, 4), [0, 2, 0, 2]);
        balancer.mark_node(NodeIndex(1), true);
        assert!(choices(&balancer, 3).contains(&1));
    }

    #[test]
    fn a_node_that_was_down_is_tried_again_after_a_while() {
        let balancer = balancer(LbPolicy::RoundRobin);
        balancer.mark_node(NodeIndex(1), false);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let later = monotonic_nanos() + 2_000_000_000;
        let chosen: Vec<u16> = (0..3).map(|_| balancer.choose_at(later, None, &[], &mut rng).0).collect();
        assert_eq!(chosen, [0, 1, 2]);
    }

    #[test]
    fn least_conn_fills_the_emptiest() {
        let balancer = balancer(LbPolicy::LeastConn);
        let first = balancer.assign(NodeIndex(0));
        let _second = balancer.assign(NodeIndex(1));
        assert_eq!(choices(&balancer, 1), [2]);
        assert_eq!(balancer.open(), [1, 1, 0]);
        drop(first);
        assert_eq!(balancer.open(), [0, 1, 0]);
        assert_eq!(choices(&balancer, 1), [0]);
    }

    #[test]
    fn random_reaches_every_node_that_is_up_and_no_other() {
        let balancer = balancer(LbPolicy::Random);
        balancer.mark_node(NodeIndex(2), false);
        let chosen = choices(&balancer, 50);
        assert!(chosen.contains(&0) && chosen.contains(&1) && !chosen.contains(&2), "{chosen:?}");
    }

    #[test]
    fn only_the_nodes_that_are_named_are_chosen_even_where_they_are_down() {
        for policy in [LbPolicy::RoundRobin, LbPolicy::LeastConn, LbPolicy::Random] {
            let balancer = balancer(policy);
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let wanted = [NodeIndex(1), NodeIndex(2)];
            let mut choose = || balancer.choose_among(&wanted, &mut rng).0;
            assert!((0..20).all(|_| choose() != 0), "{policy:?}");
            balancer.mark_node(NodeIndex(2), false);
            assert!((0..20).all(|_| choose() == 1), "{policy:?}");
            balancer.mark_node(NodeIndex(1), false);
            assert!((0..20).all(|_| choose() != 0), "{policy:?}");
        }
    }

    #[test]
    fn a_node_that_is_not_in_the_cluster_is_never_chosen() {
        for policy in [LbPolicy::RoundRobin, LbPolicy::LeastConn, LbPolicy::Random] {
            let balancer = balancer(policy);
            balancer.disable(&[NodeIndex(0), NodeIndex(7)]);
            balancer.mark_node(NodeIndex(1), false);
            balancer.mark_node(NodeIndex(2), false);
            assert!(!choices(&balancer, 20).contains(&0), "{policy:?}");
            balancer.enable(&[NodeIndex(0)]);
            assert_eq!(choices(&balancer, 1), [0], "{policy:?}: the only one that answers");
        }
    }

    #[test]
    fn behind_a_load_balancer_the_node_is_unknown_until_it_names_itself() {
        let balancer = Balancer::through("http://lb".to_owned(), 2);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let endpoint = balancer.choose(&mut rng);
        assert_eq!((&**balancer.base(endpoint), balancer.node_behind(endpoint)), ("http://lb", None));
        balancer.mark_node(NodeIndex(0), false);
        let assignment = balancer.assign(NodeIndex(1));
        assert_eq!(balancer.open(), [0, 1]);
        assert!(balancer.assign(NodeIndex(2)).is_none(), "an unknown node is not counted");
        drop(assignment);
        assert_eq!(balancer.open(), [0, 0]);
    }

    fn choices_of(balancer: &Balancer, clients: &[ClientKey<'_>]) -> Vec<u16> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        clients.iter().map(|client| balancer.choose_for(client, &[], &mut rng).0).collect()
    }

    /// Each client keeps its node, and only clients of a node that is down move.
    #[track_caller]
    fn check_stickiness(policy: LbPolicy, clients: &[ClientKey<'_>]) {
        let balancer = balancer(policy);
        let before = choices_of(&balancer, clients);
        assert_eq!(before, choices_of(&balancer, clients), "{policy:?}");
        assert!((0..3).all(|node| before.contains(&node)), "{policy:?} {before:?}");
        balancer.mark_node(NodeIndex(1), false);
        let after = choices_of(&balancer, clients);
        assert!(!after.contains(&1), "{policy:?} {after:?}");
        let stayed = before.iter().zip(&after).filter(|(before, _)| **before != 1);
        assert!(stayed.clone().all(|(before, after)| before == after), "{policy:?} {before:?} {after:?}");
        balancer.mark_node(NodeIndex(1), true);
        assert_eq!(choices_of(&balancer, clients), before, "{policy:?}");
    }

    #[test]
    fn sticky_policies_bring_a_client_back_to_its_node() {
        let nobody = ClientKey { source: None, key: "", sent_to: None };
        let names: Vec<String> = (0..40).map(|i| format!("u{i}")).collect();
        let by_name: Vec<_> = names.iter().map(|key| ClientKey { key, ..nobody }).collect();
        check_stickiness(LbPolicy::ConsistentHash, &by_name);
        let from = |i| ClientKey { source: Some(Ipv4Addr::new(127, 0, 0, i)), ..nobody };
        check_stickiness(LbPolicy::IpHash, &(2..40).map(from).collect::<Vec<_>>());
        let kept = |i: u16| ClientKey { sent_to: Some(Endpoint(i % 3)), ..nobody };
        check_stickiness(LbPolicy::Cookie, &(0..9).map(kept).collect::<Vec<_>>());
    }

    #[test]
    fn without_a_cookie_and_for_publishes_nodes_take_turns() {
        for policy in [LbPolicy::Cookie, LbPolicy::IpHash, LbPolicy::ConsistentHash] {
            assert_eq!(choices(&balancer(policy), 4), [0, 1, 2, 0], "{policy:?}");
        }
        let new = ClientKey { source: None, key: "u", sent_to: None };
        assert_eq!(choices_of(&balancer(LbPolicy::Cookie), &[new; 3]), [0, 1, 2]);
    }

    #[test]
    fn a_client_of_a_refusing_node_is_not_sent_elsewhere() {
        let lb = Lb { policy: LbPolicy::ConsistentHash, on_down: OnDown::Refuse, ..Lb::default() };
        let balancer = Balancer::of(lb, (1..=3).map(|n| format!("http://n{n}")));
        let client = [ClientKey { source: None, key: "u7", sent_to: None }];
        let own = choices_of(&balancer, &client);
        balancer.mark_node(NodeIndex(own[0]), false);
        assert_eq!(choices_of(&balancer, &client), own);
        balancer.disable(&[NodeIndex(own[0])]);
        assert_ne!(choices_of(&balancer, &client), own, "it has left the cluster");
    }

    #[test]
    fn another_process_passes_over_the_same_endpoints() {
        let (here, there) = (balancer(LbPolicy::RoundRobin), balancer(LbPolicy::RoundRobin));
        here.mark_node(NodeIndex(0), false);
        here.disable(&[NodeIndex(2)]);
        there.set_endpoints(&here.endpoints());
        assert_eq!(choices(&there, 3), [1, 1, 1]);
        here.enable(&[NodeIndex(2)]);
        there.set_endpoints(&here.endpoints());
        assert_eq!(choices(&there, 2), [2, 1]);
        there.replace_open(&[], &[3, 1, 0]);
        there.replace_open(&[3, 1, 0], &[1, 2, 0]);
        assert_eq!(there.open(), [1, 2, 0]);
    }

    #[test]
    fn one_is_tried_even_when_all_are_down() {
        for policy in [LbPolicy::RoundRobin, LbPolicy::LeastConn, LbPolicy::Random] {
            let balancer = balancer(policy);
            (0..3).for_each(|index| balancer.mark_node(NodeIndex(index), false));
            assert_eq!(choices(&balancer, 3).len(), 3);
        }
    }
}
