//! Which node a client connects to, and where an event is published: the balancer that the swarm itself plays.
//! Shared by all clients; every field is an atomic, so nobody waits for anybody.
//! A node that did not answer is passed over for a while and then tried again: nobody else need say that it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rand::{Rng, RngExt as _};

use super::plan::NodeIndex;
use super::scenario::LbPolicy;
use super::stopwatch::monotonic_nanos;

/// For so long a node is passed over that did not answer.
const DOWN_FOR: Duration = Duration::from_secs(1);

/// Chooses nodes. Clones share the counts.
#[derive(Debug, Clone)]
pub struct Balancer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    policy: LbPolicy,
    nodes: Box<[Seat]>,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Seat {
    base: Arc<str>,
    open: AtomicU32,
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
        let seat =
            |base: String| Seat { base: base.into(), open: AtomicU32::new(0), down_until: AtomicU64::new(0) };
        let nodes: Box<[Seat]> = bases.into_iter().map(seat).collect();
        assert!(!nodes.is_empty(), "a cluster has a node: the scenario is checked");
        Self(Arc::new(Shared { policy, nodes, next: AtomicUsize::new(0) }))
    }

    /// A node for the next connection or publish. Nodes that are down are passed over, unless all are.
    pub fn choose(&self, rng: &mut impl Rng) -> NodeIndex {
        if self.0.nodes.len() == 1 {
            return NodeIndex(0);
        }
        self.choose_at(monotonic_nanos(), rng)
    }

    fn choose_at(&self, now: u64, rng: &mut impl Rng) -> NodeIndex {
        let nodes = &self.0.nodes;
        let is_up = |seat: &Seat| seat.down_until.load(Ordering::Relaxed) <= now;
        let all_down = !nodes.iter().any(is_up);
        let usable = |index: &usize| all_down || is_up(&nodes[*index]);
        let count = nodes.len();
        let chosen = match self.0.policy {
            LbPolicy::RoundRobin => {
                (0..count).map(|_| self.0.next.fetch_add(1, Ordering::Relaxed) % count).find(usable)
            }
            LbPolicy::LeastConn => {
                (0..count).filter(usable).min_by_key(|index| nodes[*index].open.load(Ordering::Relaxed))
            }
            LbPolicy::Random => {
                let up = (0..count).filter(usable).count();
                (0..count).filter(usable).nth(rng.random_range(0..up.max(1)))
            }
        };
        // A node may change between the look and the choice: then the first one is as good as any.
        NodeIndex(u16::try_from(chosen.unwrap_or(0)).unwrap_or(0))
    }

    /// Base URL of a node.
    #[must_use]
    pub fn base(&self, node: NodeIndex) -> &Arc<str> {
        &self.0.nodes[usize::from(node.0)].base
    }

    /// Counts a connection on its node.
    #[must_use]
    pub fn seat(&self, node: NodeIndex) -> Seated {
        let index = usize::from(node.0);
        self.0.nodes[index].open.fetch_add(1, Ordering::Relaxed);
        Seated { shared: Arc::clone(&self.0), index }
    }

    /// Remembers whether a node answers.
    pub fn mark(&self, node: NodeIndex, is_up: bool) {
        let down_for = u64::try_from(DOWN_FOR.as_nanos()).unwrap_or(u64::MAX);
        let until = if is_up { 0 } else { monotonic_nanos().saturating_add(down_for) };
        self.0.nodes[usize::from(node.0)].down_until.store(until, Ordering::Relaxed);
    }

    /// Open connections of this swarm, by node.
    #[must_use]
    pub fn open(&self) -> Vec<u32> {
        self.0.nodes.iter().map(|seat| seat.open.load(Ordering::Relaxed)).collect()
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.shared.nodes[self.index].open.fetch_sub(1, Ordering::Relaxed);
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
        balancer.mark(NodeIndex(1), false);
        assert_eq!(choices(&balancer, 4), [0, 2, 0, 2]);
        balancer.mark(NodeIndex(1), true);
        assert!(choices(&balancer, 3).contains(&1));
    }

    #[test]
    fn a_node_that_was_down_is_tried_again_after_a_while() {
        let balancer = balancer(LbPolicy::RoundRobin);
        balancer.mark(NodeIndex(1), false);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let later = monotonic_nanos() + 2_000_000_000;
        let chosen: Vec<u16> = (0..3).map(|_| balancer.choose_at(later, &mut rng).0).collect();
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
        balancer.mark(NodeIndex(2), false);
        let chosen = choices(&balancer, 50);
        assert!(chosen.contains(&0) && chosen.contains(&1) && !chosen.contains(&2), "{chosen:?}");
    }

    #[test]
    fn where_all_are_down_one_is_tried_all_the_same() {
        for policy in [LbPolicy::RoundRobin, LbPolicy::LeastConn, LbPolicy::Random] {
            let balancer = balancer(policy);
            (0..3).for_each(|index| balancer.mark(NodeIndex(index), false));
            assert_eq!(choices(&balancer, 3).len(), 3);
        }
    }
}
