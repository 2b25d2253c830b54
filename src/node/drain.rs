//! A drain: the node accepts no new streams, and each open stream ends at its own random time within the spread, so
//! that its clients do not reach the other nodes all at once. A drain has a status and can be cancelled. Read
//! [`Drain::start`] first.

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

/// The process is ending, so its drain cannot be cancelled.
#[derive(Debug, thiserror::Error)]
#[error("the drain cannot be cancelled because the process is ending")]
pub(crate) struct ProcessEnding;

#[derive(Debug, Clone)]
struct Plan {
    reason: Arc<str>,
    over: Duration,
    started: Instant,
    total: u64,
}

impl Drain {
    /// No drain is under way.
    pub(crate) fn new(connections: Connections) -> Self {
        Self { connections, plan: Arc::new(Mutex::new(None)), leaving: Arc::default() }
    }

    /// Begins a drain, or changes the spread of the one under way. The spread is at most [`SPREAD_MAX`].
    pub(crate) fn start(&self, over: Duration, reason: &str) {
        let over = over.min(SPREAD_MAX);
        let open = self.connections.all();
        let plan =
            Plan { reason: Arc::from(reason), over, started: Instant::now(), total: open.len() as u64 };
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan.clone());
        for connection in open {
            order(&connection, &plan);
        }
        // Streams that opened after the list was read and before the plan was set. An earlier order stays.
        for connection in self.connections.all() {
            order(&connection, &plan);
        }
    }

    /// Like [`Drain::start`], but cannot be cancelled: the process ends afterwards.
    pub(crate) fn leave(&self, over: Duration, reason: &str) {
        self.leaving.store(true, Ordering::Relaxed);
        self.start(over, reason);
    }

    /// Cancels a drain: streams that are still open stay open.
    ///
    /// # Errors
    /// [`ProcessEnding`] after [`Drain::leave`].
    pub(crate) fn cancel(&self) -> Result<(), ProcessEnding> {
        if self.leaving.load(Ordering::Relaxed) {
            return Err(ProcessEnding);
        }
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = None;
        for connection in self.connections.all() {
            connection.cancel_close(CloseCode::Shutdown);
        }
        Ok(())
    }

    /// Includes a stream that has just opened in the drain, if there is one.
    pub(crate) fn include(&self, connection: &Connection) {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(plan) = plan {
            order(connection, &plan);
        }
    }

    /// Whether a drain is under way.
    pub(crate) fn is_draining(&self) -> bool {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The progress of the drain, for `GET /admin/drain`.
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

    /// Waits until no stream is open, or until the spread and then the grace have passed. Returns the number of
    /// streams that are still open.
    pub(crate) async fn finished(&self, grace: Duration) -> usize {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let deadline = plan.map_or(Instant::now(), |plan| plan.started + plan.over) + grace;
        let mut poll = tokio::time::interval(Duration::from_millis(20));
        while !self.connections.is_empty() && Instant::now() < deadline {
            poll.tick().await;
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
