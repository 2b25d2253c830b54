//! Which node a client connects to, and where an event is published: the balancer that the swarm itself plays, or the
//! one door of a real one.
//! Shared by all clients; every field is an atomic, so nobody waits for anybody.
//! A node that did not answer is passed over for a while and then tried again: nobody else need say that it is back.

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

/// For so long a node is passed over that did not answer.
const DOWN_FOR: Duration = Duration::from_secs(1);

/// Chooses doors. Clones share the counts.
#[derive(Debug, Clone)]
pub struct Balancer(Arc<Shared>);

/// Who connects, as far as a policy may want to know.
#[derive(Debug, Clone, Copy)]
pub struct ClientKey<'a> {
    /// The address that it comes from, where that is its own.
    pub source: Option<Ipv4Addr>,
    /// Its user, else its client id.
    pub key: &'a str,
    /// Where it was sent the last time.
    pub sent_to: Option<Endpoint>,
}

/// Where a connection goes: a node, or the balancer in front of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint(u16);

/// What one process tells another of a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointState {
    /// Whether connections may go there at all.
    pub is_enlisted: bool,
    /// Whether it answered when it was last asked.
    pub is_up: bool,
}

#[derive(Debug)]
struct Shared {
    policy: LbPolicy,
    on_down: OnDown,
    endpoints: Box<[Endpoints]>,
    /// Whether each door leads to a node of its own. Else the balancer behind the only one decides.
    is_direct: bool,
    /// Open connections, by node.
    open: Box<[AtomicU32]>,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Endpoints {
    base: Arc<str>,
    /// Whether connections may go there at all: not before a node is in the cluster, or after it left.
    is_enlisted: AtomicBool,
    /// On the machine's clock; zero when it answers.
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
    /// Over nodes by their base URLs. At least one.
    #[must_use]
    pub fn new(policy: LbPolicy, bases: impl IntoIterator<Item = String>) -> Self {
        let endpoints: Box<[Endpoints]> = bases.into_iter().map(Endpoints::new).collect();
        let nodes = endpoints.len();
        Self::over(policy, OnDown::Reroute, endpoints, true, nodes)
    }

    /// The same as a scenario has it.
    #[must_use]
    pub fn of(lb: Lb, bases: impl IntoIterator<Item = String>) -> Self {
        let endpoints: Box<[Endpoints]> = bases.into_iter().map(Endpoints::new).collect();
        let nodes = endpoints.len();
        Self::over(lb.policy, lb.on_down, endpoints, true, nodes)
    }

    /// Through a real balancer, which has so many nodes behind it.
    #[must_use]
    pub fn through(base: String, nodes: usize) -> Self {
        Self::over(LbPolicy::RoundRobin, OnDown::Reroute, [Endpoints::new(base)].into(), false, nodes)
    }

    fn over(
        policy: LbPolicy,
        on_down: OnDown,
        endpoints: Box<[Endpoints]>,
        is_direct: bool,
        nodes: usize,
    ) -> Self {
        assert!(!endpoints.is_empty(), "a cluster has a node: the scenario is checked");
        let open = (0..nodes).map(|_| AtomicU32::new(0)).collect();
        Self(Arc::new(Shared { policy, on_down, endpoints, is_direct, open, next: AtomicUsize::new(0) }))
    }

    /// A door for the next connection or publish. Those that are down are passed over, unless all are.
    pub fn choose(&self, rng: &mut impl Rng) -> Endpoint {
        self.choose_among(&[], rng)
    }

    /// The same among some nodes only; among all where none is named, or where a real balancer decides.
    pub fn choose_among(&self, nodes: &[NodeIndex], rng: &mut impl Rng) -> Endpoint {
        self.choose_by(None, nodes, rng)
    }

    /// The same for somebody whom the policy may know.
    pub fn choose_for(&self, caller: &ClientKey<'_>, nodes: &[NodeIndex], rng: &mut impl Rng) -> Endpoint {
        self.choose_by(Some(caller), nodes, rng)
    }

    fn choose_by(&self, caller: Option<&ClientKey<'_>>, nodes: &[NodeIndex], rng: &mut impl Rng) -> Endpoint {
        if self.0.endpoints.len() == 1 {
            return Endpoint(0);
        }
        self.choose_at(monotonic_nanos(), caller, nodes, rng)
    }

    fn choose_at(
        &self,
        now: u64,
        caller: Option<&ClientKey<'_>>,
        among: &[NodeIndex],
        rng: &mut impl Rng,
    ) -> Endpoint {
        let endpoints = &self.0.endpoints;
        let is_wanted = |index: usize| {
            let is_named = among.is_empty() || among.iter().any(|node| usize::from(node.0) == index);
            is_named && endpoints[index].is_enlisted.load(Ordering::Relaxed)
        };
        let is_up = |index: usize| endpoints[index].down_until.load(Ordering::Relaxed) <= now;
        let count = endpoints.len();
        let refuses = self.0.on_down == OnDown::Refuse;
        let all_down = refuses || !(0..count).any(|index| is_wanted(index) && is_up(index));
        let usable = |index: &usize| is_wanted(*index) && (all_down || is_up(*index));
        let in_turn = || (0..count).map(|_| self.0.next.fetch_add(1, Ordering::Relaxed) % count).find(usable);
        // Of all that may be chosen, the one that a name weighs highest: few names move when one goes or comes.
        let by_hash = |name: u64| (0..count).filter(usable).max_by_key(|index| mixed(name, *index));
        let chosen = match (self.0.policy, caller) {
            (LbPolicy::RoundRobin, _) => in_turn(),
            (LbPolicy::LeastConn, _) => (0..count)
                .filter(usable)
                .min_by_key(|index| self.0.open.get(*index).map(|open| open.load(Ordering::Relaxed))),
            (LbPolicy::Random, _) => {
                let up = (0..count).filter(usable).count();
                (0..count).filter(usable).nth(rng.random_range(0..up.max(1)))
            }
            (LbPolicy::IpHash, Some(caller)) => {
                by_hash(u64::from(caller.source.unwrap_or(Ipv4Addr::LOCALHOST).to_bits()))
            }
            (LbPolicy::ConsistentHash, Some(caller)) => by_hash(fnv1a(caller.key.bytes())),
            (LbPolicy::Cookie, Some(caller)) => {
                caller.sent_to.map(|endpoint| usize::from(endpoint.0)).filter(usable).or_else(in_turn)
            }
            // What comes from nobody, a publish, is spread.
            (LbPolicy::IpHash | LbPolicy::ConsistentHash | LbPolicy::Cookie, None) => in_turn(),
        };
        // One may change between the look and the choice: then the first that is wanted is as good as any.
        let chosen = chosen.or_else(|| (0..count).find(|index| is_wanted(*index))).unwrap_or(0);
        Endpoint(u16::try_from(chosen).unwrap_or(0))
    }

    /// Base URL of a door.
    #[must_use]
    pub fn base(&self, endpoint: Endpoint) -> &Arc<str> {
        &self.0.endpoints[usize::from(endpoint.0)].base
    }

    /// The node behind a door, where that is certain.
    #[must_use]
    pub fn node_behind(&self, endpoint: Endpoint) -> Option<NodeIndex> {
        self.0.is_direct.then_some(NodeIndex(endpoint.0))
    }

    /// Counts a connection on its node.
    #[must_use]
    pub fn seat(&self, node: NodeIndex) -> Option<Assignment> {
        let index = usize::from(node.0);
        self.0.open.get(index)?.fetch_add(1, Ordering::Relaxed);
        Some(Assignment { shared: Arc::clone(&self.0), index })
    }

    /// Remembers whether a door answers.
    pub fn mark(&self, endpoint: Endpoint, is_up: bool) {
        let down_for = u64::try_from(DOWN_FOR.as_nanos()).unwrap_or(u64::MAX);
        let until = if is_up { 0 } else { monotonic_nanos().saturating_add(down_for) };
        self.0.endpoints[usize::from(endpoint.0)].down_until.store(until, Ordering::Relaxed);
    }

    /// The same of a node. A real balancer finds out by itself.
    pub fn mark_node(&self, node: NodeIndex, is_up: bool) {
        if self.0.is_direct {
            self.mark(Endpoint(node.0), is_up);
        }
    }

    /// From now on connections may go to these nodes. A real balancer finds out by itself.
    pub fn enable(&self, nodes: &[NodeIndex]) {
        self.set_enabled(nodes, true);
    }

    /// From now on no connection goes to these nodes.
    pub fn disable(&self, nodes: &[NodeIndex]) {
        self.set_enabled(nodes, false);
    }

    fn set_enabled(&self, nodes: &[NodeIndex], is_enlisted: bool) {
        if !self.0.is_direct {
            return;
        }
        for endpoint in nodes.iter().filter_map(|node| self.0.endpoints.get(usize::from(node.0))) {
            endpoint.is_enlisted.store(is_enlisted, Ordering::Relaxed);
        }
    }

    /// What is known of the doors here, for another process.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointState> {
        let now = monotonic_nanos();
        let state = |endpoint: &Endpoints| EndpointState {
            is_enlisted: endpoint.is_enlisted.load(Ordering::Relaxed),
            is_up: endpoint.down_until.load(Ordering::Relaxed) <= now,
        };
        self.0.endpoints.iter().map(state).collect()
    }

    /// Takes over what another process knows. A door that answers there need not answer here.
    pub fn set_endpoints(&self, states: &[EndpointState]) {
        for ((endpoint, entrance), state) in (0..).map(Endpoint).zip(&self.0.endpoints).zip(states) {
            entrance.is_enlisted.store(state.is_enlisted, Ordering::Relaxed);
            if !state.is_up {
                self.mark(endpoint, false);
            }
        }
    }

    /// Puts the connections of another process, by node, in the place of those that it told before.
    pub fn replace_open(&self, before: &[u32], now: &[u32]) {
        let before = before.iter().copied().chain(std::iter::repeat(0));
        let now = now.iter().copied().chain(std::iter::repeat(0));
        for ((open, before), now) in self.0.open.iter().zip(before).zip(now) {
            // The difference wraps around as the counter does, so it may also go down.
            open.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Open connections of this swarm, by node.
    #[must_use]
    pub fn open(&self) -> Vec<u32> {
        self.0.open.iter().map(|open| open.load(Ordering::Relaxed)).collect()
    }
}

/// What a name weighs at a door: the finalizer of SplitMix64 over both.
fn mixed(name: u64, endpoint: usize) -> u64 {
    splitmix64_finalize(name ^ (endpoint as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl Endpoints {
    fn new(base: String) -> Self {
        Self { base: base.into(), is_enlisted: AtomicBool::new(true), down_until: AtomicU64::new(0) }
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
        let first = balancer.seat(NodeIndex(0));
        let _second = balancer.seat(NodeIndex(1));
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
    fn behind_a_real_balancer_nobody_knows_the_node_before_it_says_who_it_is() {
        let balancer = Balancer::through("http://lb".to_owned(), 2);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let endpoint = balancer.choose(&mut rng);
        assert_eq!((&**balancer.base(endpoint), balancer.node_behind(endpoint)), ("http://lb", None));
        balancer.mark_node(NodeIndex(0), false);
        let seated = balancer.seat(NodeIndex(1));
        assert_eq!(balancer.open(), [0, 1]);
        assert!(balancer.seat(NodeIndex(2)).is_none(), "a node that nobody knows is not counted");
        drop(seated);
        assert_eq!(balancer.open(), [0, 0]);
    }

    fn homes(balancer: &Balancer, callers: &[ClientKey<'_>]) -> Vec<u16> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        callers.iter().map(|caller| balancer.choose_for(caller, &[], &mut rng).0).collect()
    }

    /// Who is at home where, and that only those move whose home is down.
    #[track_caller]
    fn check_homes(policy: LbPolicy, callers: &[ClientKey<'_>]) {
        let balancer = balancer(policy);
        let before = homes(&balancer, callers);
        assert_eq!(before, homes(&balancer, callers), "{policy:?}");
        assert!((0..3).all(|node| before.contains(&node)), "{policy:?} {before:?}");
        balancer.mark_node(NodeIndex(1), false);
        let after = homes(&balancer, callers);
        assert!(!after.contains(&1), "{policy:?} {after:?}");
        let stayed = before.iter().zip(&after).filter(|(before, _)| **before != 1);
        assert!(stayed.clone().all(|(before, after)| before == after), "{policy:?} {before:?} {after:?}");
        balancer.mark_node(NodeIndex(1), true);
        assert_eq!(homes(&balancer, callers), before, "{policy:?}");
    }

    #[test]
    fn who_has_a_home_comes_back_to_it() {
        let nobody = ClientKey { source: None, key: "", sent_to: None };
        let names: Vec<String> = (0..40).map(|i| format!("u{i}")).collect();
        let by_name: Vec<_> = names.iter().map(|key| ClientKey { key, ..nobody }).collect();
        check_homes(LbPolicy::ConsistentHash, &by_name);
        let from = |i| ClientKey { source: Some(Ipv4Addr::new(127, 0, 0, i)), ..nobody };
        check_homes(LbPolicy::IpHash, &(2..40).map(from).collect::<Vec<_>>());
        let kept = |i: u16| ClientKey { sent_to: Some(Endpoint(i % 3)), ..nobody };
        check_homes(LbPolicy::Cookie, &(0..9).map(kept).collect::<Vec<_>>());
    }

    #[test]
    fn without_a_cookie_and_for_publishes_nodes_take_turns() {
        for policy in [LbPolicy::Cookie, LbPolicy::IpHash, LbPolicy::ConsistentHash] {
            assert_eq!(choices(&balancer(policy), 4), [0, 1, 2, 0], "{policy:?}");
        }
        let new = ClientKey { source: None, key: "u", sent_to: None };
        assert_eq!(homes(&balancer(LbPolicy::Cookie), &[new; 3]), [0, 1, 2]);
    }

    #[test]
    fn who_is_refused_is_not_sent_elsewhere() {
        let lb = Lb { policy: LbPolicy::ConsistentHash, on_down: OnDown::Refuse, ..Lb::default() };
        let balancer = Balancer::of(lb, (1..=3).map(|n| format!("http://n{n}")));
        let caller = [ClientKey { source: None, key: "u7", sent_to: None }];
        let home = homes(&balancer, &caller);
        balancer.mark_node(NodeIndex(home[0]), false);
        assert_eq!(homes(&balancer, &caller), home);
        balancer.disable(&[NodeIndex(home[0])]);
        assert_ne!(homes(&balancer, &caller), home, "it has left the cluster");
    }

    #[test]
    fn another_process_passes_over_the_same_doors() {
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
    fn where_all_are_down_one_is_tried_all_the_same() {
        for policy in [LbPolicy::RoundRobin, LbPolicy::LeastConn, LbPolicy::Random] {
            let balancer = balancer(policy);
            (0..3).for_each(|index| balancer.mark_node(NodeIndex(index), false));
            assert_eq!(choices(&balancer, 3).len(), 3);
        }
    }
}
