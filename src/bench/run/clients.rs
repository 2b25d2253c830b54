//! The clients of a run: tasks of this process, or workers. The rest of the run does not need to know. Read [`Clients`] first.

use std::sync::Arc;
use std::time::Duration;

use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::clients::{Commands, Ended, Swarm};
use crate::bench::load::workers::LostWorkers;
use crate::bench::load::workers::{WorkerPool, WorkerPoolError, WorkerSpec};

/// All clients of a run.
#[derive(Debug)]
pub(super) enum Clients {
    Here(Swarm),
    InWorkers(WorkerPool),
}

impl Clients {
    /// Starts the clients in this process, or starts the workers.
    pub(super) async fn start(
        context: &Arc<SwarmContext>,
        commands: &Commands,
        post: &WorkerSpec,
    ) -> Result<Self, WorkerPoolError> {
        if post.workers == 0 {
            return Ok(Self::Here(Swarm::start(context, commands.clone())));
        }
        tracing::info!(workers = post.workers, "the clients run in worker processes");
        WorkerPool::start(context, commands, post).await.map(Self::InWorkers)
    }

    /// Starts the clock of all clients.
    pub(super) fn start_clock(&self, context: &SwarmContext) {
        match self {
            Self::Here(_) => context.start(),
            Self::InWorkers(pool) => pool.start_clock(context),
        }
    }

    /// Names and process ids of the workers.
    pub(super) fn processes(&self) -> Vec<(String, u32)> {
        match self {
            Self::Here(_) => Vec::new(),
            Self::InWorkers(pool) => pool.pids().to_vec(),
        }
    }

    /// Workers that are lost.
    pub(super) fn lost_workers(&self) -> LostWorkers {
        match self {
            Self::Here(_) => LostWorkers::default(),
            Self::InWorkers(pool) => pool.lost_workers().clone(),
        }
    }

    /// Waits until clients of this process have panicked; says why. Those of a worker make it a lost one.
    pub(super) fn failed(&self) -> impl Future<Output = String> + use<> {
        let here = match self {
            Self::Here(swarm) => Some(swarm.failed()),
            Self::InWorkers(_) => None,
        };
        async move {
            match here {
                Some(failed) => failed.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Ends all clients and collects their results.
    pub(super) async fn end(self, grace: Duration) -> Ended {
        match self {
            Self::Here(swarm) => swarm.end(grace).await,
            Self::InWorkers(pool) => pool.end(grace).await,
        }
    }
}
