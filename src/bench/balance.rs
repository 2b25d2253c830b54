//! Which node a client connects to, and where an event is published: the balancer that the swarm itself plays, or the
//! one door of a real one.
//! Shared by all clients; every field is an atomic, so nobody waits for anybody.
//! A node that did not answer is passed over for a while and then tried again: nobody else need say that it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rand::{Rng, RngExt as _};

use super::plan::NodeIndex;
use super::scenario::LbPolicy;
use super::stopwatch::monotonic_nanos;

/// For so long a node is passed over that did not answer.
const DOWN_FOR: Duration = Duration::from_secs(1);

/// Chooses doors. Clones share the counts.
#[derive(Debug, Clone)]
pub struct Balancer(Arc<Shared>);

/// Where a connection goes: a node, or the balancer in front of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Door(u16);

#[derive(Debug)]
struct Shared {
    policy: LbPolicy,
    doors: Box<[Entrance]>,
    /// Whether each door leads to a node of its own. Else the balancer behind the only one decides.
    is_direct: bool,
    /// Open connections, by node.
    open: Box<[AtomicU32]>,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Entrance {
    base: Arc<str>,
    /// Whether connections may go there at all: not before a node is in the cluster, or after it left.
    is_enlisted: AtomicBool,
    /// On the machine's clock; zero when it answers.
    down_until: AtomicU64,
}

/// A connection that is counted on its node until this is dropped.
#[derive(Debug)]
pub struct Seated {
    shared: Arc<Shared>,
    index: usize,
}

// All orderings are relaxed: the values steer choices and fill gauges; nothing else is ordered by them.
impl Balancer {
    /// Over nodes by their base URLs. At least one.
    #[must_use]
    pub fn new(policy: LbPolicy, bases: impl IntoIterator<Item = String>) -> Self {
        let doors: Box<[Entrance]> = bases.into_iter().map(Entrance::new).collect();
        let nodes = doors.len();
        Self::over(policy, doors, true, nodes)
    }

    /// Through a real balancer, which has so many nodes behind it.
    #[must_use]
    pub fn through(base: String, nodes: usize) -> Self {
        Self::over(LbPolicy::RoundRobin, [Entrance::new(base)].into(), false, nodes)
    }

    fn over(policy: LbPolicy, doors: Box<[Entrance]>, is_direct: bool, nodes: usize) -> Self {
        assert!(!doors.is_empty(), "a cluster has a node: the scenario is checked");
        let open = (0..nodes).map(|_| AtomicU32::new(0)).collect();
        Self(Arc::new(Shared { policy, doors, is_direct, open, next: AtomicUsize::new(0) }))
    }

    /// A door for the next connection or publish. Those that are down are passed over, unless all are.
    pub fn choose(&self, rng: &mut impl Rng) -> Door {
        self.choose_among(&[], rng)
    }

    /// The same among some nodes only; among all where none is named, or where a real balancer decides.
    pub fn choose_among(&self, nodes: &[NodeIndex], rng: &mut impl Rng) -> Door {
        if self.0.doors.len() == 1 {
            return Door(0);
        }
        self.choose_at(monotonic_nanos(), nodes, rng)
    }

    fn choose_at(&self, now: u64, among: &[NodeIndex], rng: &mut impl Rng) -> Door {
        let doors = &self.0.doors;
        let is_wanted = |index: usize| {
            let is_named = among.is_empty() || among.iter().any(|node| usize::from(node.0) == index);
            is_named && doors[index].is_enlisted.load(Ordering::Relaxed)
        };
        let is_up = |index: usize| doors[index].down_until.load(Ordering::Relaxed) <= now;
        let count = doors.len();
        let all_down = !(0..count).any(|index| is_wanted(index) && is_up(index));
        let usable = |index: &usize| is_wanted(*index) && (all_down || is_up(*index));
        let chosen = match self.0.policy {
            LbPolicy::RoundRobin => {
                (0..count).map(|_| self.0.next.fetch_add(1, Ordering::Relaxed) % count).find(usable)
            }
            LbPolicy::LeastConn => (0..count)
                .filter(usable)
                .min_by_key(|index| self.0.open.get(*index).map(|open| open.load(Ordering::Relaxed))),
            // The others are a real balancer's: then there is one door.
            LbPolicy::Random | LbPolicy::IpHash | LbPolicy::Cookie | LbPolicy::ConsistentHash => {
                let up = (0..count).filter(usable).count();
                (0..count).filter(usable).nth(rng.random_range(0..up.max(1)))
            }
        };
        // One may change between the look and the choice: then the first that is wanted is as good as any.
        let chosen = chosen.or_else(|| (0..count).find(|index| is_wanted(*index))).unwrap_or(0);
        Door(u16::try_from(chosen).unwrap_or(0))
    }

    /// Base URL of a door.
    #[must_use]
    pub fn base(&self, door: Door) -> &Arc<str> {
        &self.0.doors[usize::from(door.0)].base
    }

    /// The node behind a door, where that is certain.
    #[must_use]
    pub fn node_behind(&self, door: Door) -> Option<NodeIndex> {
        self.0.is_direct.then_some(NodeIndex(door.0))
    }

    /// Counts a connection on its node.
    #[must_use]
    pub fn seat(&self, node: NodeIndex) -> Option<Seated> {
        let index = usize::from(node.0);
        self.0.open.get(index)?.fetch_add(1, Ordering::Relaxed);
        Some(Seated { shared: Arc::clone(&self.0), index })
    }

    /// Remembers whether a door answers.
    pub fn mark(&self, door: Door, is_up: bool) {
        let down_for = u64::try_from(DOWN_FOR.as_nanos()).unwrap_or(u64::MAX);
        let until = if is_up { 0 } else { monotonic_nanos().saturating_add(down_for) };
        self.0.doors[usize::from(door.0)].down_until.store(until, Ordering::Relaxed);
    }

    /// The same of a node. A real balancer finds out by itself.
    pub fn mark_node(&self, node: NodeIndex, is_up: bool) {
        if self.0.is_direct {
            self.mark(Door(node.0), is_up);
        }
    }

    /// From now on connections may go to these nodes. A real balancer finds out by itself.
    pub fn enlist(&self, nodes: &[NodeIndex]) {
        self.set_enlisted(nodes, true);
    }

    /// From now on no connection goes to these nodes.
    pub fn dismiss(&self, nodes: &[NodeIndex]) {
        self.set_enlisted(nodes, false);
    }

    fn set_enlisted(&self, nodes: &[NodeIndex], is_enlisted: bool) {
        if !self.0.is_direct {
            return;
        }
        for door in nodes.iter().filter_map(|node| self.0.doors.get(usize::from(node.0))) {
            door.is_enlisted.store(is_enlisted, Ordering::Relaxed);
        }
    }

    /// Open connections of this swarm, by node.
    #[must_use]
    pub fn open(&self) -> Vec<u32> {
        self.0.open.iter().map(|open| open.load(Ordering::Relaxed)).collect()
    }
}

impl Entrance {
    fn new(base: String) -> Self {
        Self { base: base.into(), is_enlisted: AtomicBool::new(true), down_until: AtomicU64::new(0) }
    }
}

impl Drop for Seated {
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
        let chosen: Vec<u16> = (0..3).map(|_| balancer.choose_at(later, &[], &mut rng).0).collect();
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
            balancer.dismiss(&[NodeIndex(0), NodeIndex(7)]);
            balancer.mark_node(NodeIndex(1), false);
            balancer.mark_node(NodeIndex(2), false);
            assert!(!choices(&balancer, 20).contains(&0), "{policy:?}");
            balancer.enlist(&[NodeIndex(0)]);
            assert_eq!(choices(&balancer, 1), [0], "{policy:?}: the only one that answers");
        }
    }

    #[test]
    fn behind_a_real_balancer_nobody_knows_the_node_before_it_says_who_it_is() {
        let balancer = Balancer::through("http://lb".to_owned(), 2);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let door = balancer.choose(&mut rng);
        assert_eq!((&**balancer.base(door), balancer.node_behind(door)), ("http://lb", None));
        balancer.mark_node(NodeIndex(0), false);
        let seated = balancer.seat(NodeIndex(1));
        assert_eq!(balancer.open(), [0, 1]);
        assert!(balancer.seat(NodeIndex(2)).is_none(), "a node that nobody knows is not counted");
        drop(seated);
        assert_eq!(balancer.open(), [0, 0]);
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
