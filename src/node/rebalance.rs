//! After a node was added, the others have more streams than their share: each sheds what it has above the mean, random
//! streams, spread over time, so that they come back somewhere else. Can be watched, and taken back. Never sheds below
//! the mean. Read [`Rebalancing::start`] first.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use tokio::time::Instant;

use super::close::CloseCode;
use super::connections::{CloseOrder, Connection, Connections};
use super::drain::Drain;
use super::limits::SPREAD_MAX;
use crate::protocol::NodeId;
use crate::protocol::api::{RebalanceStatus, Server};

/// By how many percent a node may be above the mean: so much comes and goes by itself.
const TOLERANCE_PERCENT: u64 = 2;

/// What a node sheds. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Rebalancing {
    node: NodeId,
    connections: Connections,
    drain: Drain,
    plan: Arc<Mutex<Option<Plan>>>,
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    started: Instant,
    over: Duration,
    mean: u64,
    shed: u64,
}

/// A node's share of all streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share {
    mean: u64,
    excess: usize,
}

/// How much this node has above the mean of the ready nodes, of which it is one. `others` has no row of this node.
fn share(own: usize, others: &[Server]) -> Share {
    let ready = others.iter().filter(|server| server.state == "ready");
    let (nodes, all) =
        ready.fold((1, own as u64), |(nodes, all), server| (nodes + 1, all + server.connections));
    let mean = all.div_ceil(nodes);
    let tolerance = (mean * TOLERANCE_PERCENT).div_ceil(100).max(1);
    let allowed = usize::try_from(mean + tolerance).unwrap_or(usize::MAX);
    Share { mean, excess: own.saturating_sub(allowed) }
}

impl Rebalancing {
    /// Nothing is shed yet.
    pub(crate) fn new(node: NodeId, connections: Connections, drain: Drain) -> Self {
        Self { node, connections, drain, plan: Arc::default() }
    }

    /// Sheds the excess over this time, at most [`SPREAD_MAX`]. What an earlier call has not shed yet is taken back.
    pub(crate) fn start(&self, others: &[Server], over: Duration, reason: &str) -> RebalanceStatus {
        if self.drain.is_draining() {
            let note = Some("the node is leaving, with all of its streams".to_owned());
            return RebalanceStatus { note, ..self.status() };
        }
        self.cancel();
        let over = over.min(SPREAD_MAX);
        // Whoever was told to go already is on the way, and no part of what is left to share.
        let mut open = self.connections.all();
        open.retain(|connection| connection.close_order().is_none());
        let Share { mean, excess } = share(open.len(), others);
        let (started, reason) = (Instant::now(), Arc::from(reason));
        let mut rng = rand::rng();
        let (leaving, _staying) = open.partial_shuffle(&mut rng, excess);
        for connection in &*leaving {
            let at = started + rng.random_range(Duration::ZERO..=over);
            connection.close(CloseOrder { at, code: CloseCode::Rebalance, reason: Arc::clone(&reason) });
        }
        *self.lock() = Some(Plan { started, over, mean, shed: excess as u64 });
        self.status()
    }

    /// Takes back what has not been shed yet.
    pub(crate) fn cancel(&self) {
        *self.lock() = None;
        for connection in self.connections.all().iter().filter(|connection| is_leaving(connection)) {
            connection.cancel_close(CloseCode::Rebalance);
            // A drain that came later has left this stream to the earlier order.
            self.drain.include(connection);
        }
    }

    /// How far it is.
    pub(crate) fn status(&self) -> RebalanceStatus {
        let plan = *self.lock();
        let all = self.connections.all();
        let left = plan.map_or(Duration::ZERO, |plan| {
            (plan.started + plan.over).saturating_duration_since(Instant::now())
        });
        RebalanceStatus {
            instance_id: self.node.clone(),
            connections: all.len() as u64,
            mean: plan.map_or(0, |plan| plan.mean),
            shed: plan.map_or(0, |plan| plan.shed),
            remaining: all.iter().filter(|connection| is_leaving(connection)).count() as u64,
            ends_in_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            note: None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Plan>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_leaving(connection: &Connection) -> bool {
    connection.close_order().is_some_and(|order| order.code == CloseCode::Rebalance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::connections::Registered;
    use crate::node::connections::tests::idle;
    use crate::node::roster::tests::server;

    #[track_caller]
    fn check(own: usize, others: &[Server], mean: u64, excess: usize) {
        assert_eq!(share(own, others), Share { mean, excess }, "{own} {others:?}");
    }

    #[test]
    fn the_share_is_the_mean_of_ready_nodes_and_a_little_more() {
        check(40, &[], 40, 0);
        check(40, &[server("b", 0, "ready")], 20, 19);
        check(40, &[server("b", 0, "draining"), server("c", 40, "ready")], 40, 0);
        check(40, &[server("b", 0, "starting"), server("c", 0, "degraded")], 40, 0);
        check(3_000, &[server("b", 3_000, "ready"), server("c", 0, "ready")], 2_000, 960);
        check(0, &[server("b", 3_000, "ready")], 1_500, 0);
        check(1, &[server("b", 0, "ready")], 1, 0);
    }

    fn node() -> (Connections, Drain, Rebalancing) {
        let connections = Connections::default();
        let drain = Drain::new(connections.clone());
        let node = NodeId::parse("a").unwrap();
        (connections.clone(), drain.clone(), Rebalancing::new(node, connections, drain))
    }

    fn streams(connections: &Connections) -> Vec<Registered> {
        (10..50).map(|id| idle(connections, "c", &id.to_string())).collect()
    }

    fn codes(streams: &[Registered], code: CloseCode) -> usize {
        let orders = streams.iter().filter_map(|stream| stream.connection().close_order());
        orders.filter(|order| order.code == code).count()
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test(start_paused = true)]
    async fn the_excess_is_told_to_go_each_at_its_own_moment_and_may_stay_after_all() {
        let (connections, _drain, rebalancing) = node();
        let streams = streams(&connections);
        let status = rebalancing.start(&[server("b", 0, "ready")], HOUR, "scaled out");
        assert_eq!((status.connections, status.mean, status.shed, status.remaining), (40, 20, 19, 19));
        let orders: Vec<_> = streams.iter().filter_map(|stream| stream.connection().close_order()).collect();
        let moments: std::collections::HashSet<_> = orders.iter().map(|order| order.at).collect();
        assert!(moments.len() > 15 && orders.iter().all(|order| order.at <= Instant::now() + HOUR));
        // A second call begins anew: still 19, not 19 of those that stay.
        assert_eq!(rebalancing.start(&[server("b", 0, "ready")], HOUR, "again").remaining, 19);
        rebalancing.cancel();
        assert_eq!((rebalancing.status().remaining, codes(&streams, CloseCode::Rebalance)), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_takes_all_streams_whatever_was_told_to_some() {
        let (connections, drain, rebalancing) = node();
        let streams = streams(&connections);
        rebalancing.start(&[server("b", 0, "ready")], Duration::from_secs(1), "scaled out");
        drain.start(HOUR, "leaving");
        assert_eq!((codes(&streams, CloseCode::Rebalance), codes(&streams, CloseCode::Shutdown)), (19, 21));
        rebalancing.cancel();
        assert_eq!(codes(&streams, CloseCode::Shutdown), 40);
        let status = rebalancing.start(&[server("b", 0, "ready")], HOUR, "scaled out");
        assert_eq!((status.shed, status.note.is_some()), (0, true));
        assert_eq!(codes(&streams, CloseCode::Shutdown), 40);
    }
}
