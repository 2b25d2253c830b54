//! Rebalancing: after a node was added, the other nodes have more streams than their share. Each closes random streams
//! above the mean, spread over time, so that their clients reconnect elsewhere. Must never shed below the mean. A
//! rebalance has a status and can be cancelled. Read [`Rebalancing::start`] first.

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

/// Percentage by which a node may be above the mean, as a tolerance for normal fluctuation.
const TOLERANCE_PERCENT: u64 = 2;

/// The rebalance of a node. Clones share its state.
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
    /// No rebalance is under way.
    pub(crate) fn new(node: NodeId, connections: Connections, drain: Drain) -> Self {
        Self { node, connections, drain, plan: Arc::default() }
    }

    /// Closes the excess streams at random times within `over`, at most [`SPREAD_MAX`]. Cancels an earlier rebalance
    /// first.
    pub(crate) fn start(&self, others: &[Server], over: Duration, reason: &str) -> RebalanceStatus {
        if self.drain.is_draining() {
            let note = Some("the node drains, so all of its streams end anyway".to_owned());
            return RebalanceStatus { note, ..self.status() };
        }
        self.cancel();
        let over = over.min(SPREAD_MAX);
        // Streams that have an order to close already are not part of the share.
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

    /// Cancels the orders of streams that are still open.
    pub(crate) fn cancel(&self) {
        *self.lock() = None;
        for connection in self.connections.all().iter().filter(|connection| is_leaving(connection)) {
            connection.cancel_close(CloseCode::Rebalance);
            // A drain that began later has left this stream to the earlier order.
            self.drain.include(connection);
        }
    }

    /// The progress of the rebalance, for `GET /admin/rebalance`.
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
    async fn the_excess_gets_orders_at_different_moments_which_can_be_cancelled() {
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
    async fn a_drain_takes_all_streams_also_those_that_a_rebalance_has_ordered_to_close() {
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
