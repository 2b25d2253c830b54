//! Leaving politely: no new streams, and every open one ends within the spread at its own random moment, so that the
//! clients do not arrive at the other nodes together. Can be watched, and taken back. Read [`Drain::start`] first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt as _;
use tokio::time::Instant;

use super::close::CloseCode;
use super::connections::{CloseOrder, Connection, Connections};
use super::limits::SPREAD_MAX;
use crate::protocol::api::DrainStatus;

/// The drain of a node. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Drain {
    connections: Connections,
    plan: Arc<Mutex<Option<Plan>>>,
    leaving: Arc<AtomicBool>,
}

/// The process is ending: its drain cannot be taken back.
#[derive(Debug, thiserror::Error)]
#[error("the process was told to end; its drain cannot be taken back")]
pub(crate) struct Leaving;

#[derive(Debug, Clone)]
struct Plan {
    reason: Arc<str>,
    over: Duration,
    started: Instant,
    total: u64,
}

impl Drain {
    /// Nothing is drained yet.
    pub(crate) fn new(connections: Connections) -> Self {
        Self { connections, plan: Arc::new(Mutex::new(None)), leaving: Arc::default() }
    }

    /// Begins, or changes the spread of a drain that is under way. The spread is at most [`SPREAD_MAX`].
    pub(crate) fn start(&self, over: Duration, reason: &str) {
        let over = over.min(SPREAD_MAX);
        let open = self.connections.all();
        let plan =
            Plan { reason: Arc::from(reason), over, started: Instant::now(), total: open.len() as u64 };
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan.clone());
        for connection in open {
            order(&connection, &plan);
        }
        // Streams that opened between the list and the plan. The order of a stream that has one already stays.
        for connection in self.connections.all() {
            order(&connection, &plan);
        }
    }

    /// As [`Drain::start`], for good: the process ends behind it.
    pub(crate) fn leave(&self, over: Duration, reason: &str) {
        self.leaving.store(true, Ordering::Relaxed);
        self.start(over, reason);
    }

    /// Takes a drain back: streams that are still open stay.
    ///
    /// # Errors
    /// [`Leaving`] when the process is ending anyway.
    pub(crate) fn cancel(&self) -> Result<(), Leaving> {
        if self.leaving.load(Ordering::Relaxed) {
            return Err(Leaving);
        }
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = None;
        for connection in self.connections.all() {
            connection.cancel_close(CloseCode::Shutdown);
        }
        Ok(())
    }

    /// A stream that has just opened leaves with the others if they are leaving.
    pub(crate) fn include(&self, connection: &Connection) {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(plan) = plan {
            order(connection, &plan);
        }
    }

    /// Whether the node is leaving.
    pub(crate) fn is_draining(&self) -> bool {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// How far it is.
    pub(crate) fn status(&self) -> DrainStatus {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let remaining = self.connections.len() as u64;
        let Some(plan) = plan else {
            return DrainStatus {
                draining: false,
                remaining,
                total: 0,
                ends_in_ms: 0,
                reason: String::new(),
            };
        };
        let left = (plan.started + plan.over).saturating_duration_since(Instant::now());
        DrainStatus {
            draining: true,
            remaining,
            total: plan.total,
            ends_in_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            reason: plan.reason.to_string(),
        }
    }

    /// Returns once no stream is open, or when the spread and the grace behind it have passed; how many are left.
    pub(crate) async fn finished(&self, grace: Duration) -> usize {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let deadline = plan.map_or(Instant::now(), |plan| plan.started + plan.over) + grace;
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while !self.connections.is_empty() && Instant::now() < deadline {
            look.tick().await;
        }
        self.connections.len()
    }
}

fn order(connection: &Connection, plan: &Plan) {
    let at = plan.started + rand::rng().random_range(Duration::ZERO..=plan.over);
    if connection.close_order().is_none_or(|known| known.at > plan.started + plan.over) {
        connection.close(CloseOrder { at, code: CloseCode::Shutdown, reason: Arc::clone(&plan.reason) });
    }
}
