//! Where the clients of a run are: in this process, or in workers. The rest of a run need not know. Read [`Clients`] first.

use std::sync::Arc;
use std::time::Duration;

use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::clients::{Commands, Ended, Swarm};
use crate::bench::load::workers::coordinator::LostWorkers;
use crate::bench::load::workers::{WorkerHandle, WorkerPool, WorkerPoolError};

/// All clients of a run.
#[derive(Debug)]
pub(super) enum Clients {
    Here(Swarm),
    InWorkers(WorkerPool),
}

impl Clients {
    /// Starts the clients here, or as many workers as there are to be.
    pub(super) async fn start(
        ground: &Arc<SwarmContext>,
        orders: &Commands,
        post: &WorkerHandle,
    ) -> Result<Self, WorkerPoolError> {
        if post.workers == 0 {
            return Ok(Self::Here(Swarm::start(Arc::clone(ground), orders.clone())));
        }
        tracing::info!(workers = post.workers, "clients are spread over processes");
        WorkerPool::start(ground, orders, post).await.map(Self::InWorkers)
    }

    /// Starts the clock for everybody.
    pub(super) fn start_clock(&self, ground: &SwarmContext) {
        match self {
            Self::Here(_) => ground.start(),
            Self::InWorkers(crew) => crew.start_clock(ground),
        }
    }

    /// Workers, by name and process id.
    pub(super) fn processes(&self) -> Vec<(String, u32)> {
        match self {
            Self::Here(_) => Vec::new(),
            Self::InWorkers(crew) => crew.pids().to_vec(),
        }
    }

    /// Workers that are lost.
    pub(super) fn losses(&self) -> LostWorkers {
        match self {
            Self::Here(_) => LostWorkers::default(),
            Self::InWorkers(crew) => crew.losses().clone(),
        }
    }

    /// Tells all that it is over, and collects what they know.
    pub(super) async fn end(self, grace: Duration) -> Ended {
        match self {
            Self::Here(swarm) => swarm.end(grace).await,
            Self::InWorkers(crew) => crew.end(grace).await,
        }
    }
}
