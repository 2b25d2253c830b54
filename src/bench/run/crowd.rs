//! Where the clients of a run are: in this process, or in workers. The rest of a run need not know. Read [`Crowd`] first.

use std::sync::Arc;
use std::time::Duration;

use crate::bench::swarm::{Ended, Ground, Orders, Swarm};
use crate::bench::workers::crew::Losses;
use crate::bench::workers::{Crew, CrewError, Post};

/// All clients of a run.
#[derive(Debug)]
pub(super) enum Crowd {
    Here(Swarm),
    InWorkers(Crew),
}

impl Crowd {
    /// Starts the clients here, or as many workers as there are to be.
    pub(super) async fn start(ground: &Arc<Ground>, orders: &Orders, post: &Post) -> Result<Self, CrewError> {
        if post.workers == 0 {
            return Ok(Self::Here(Swarm::start(Arc::clone(ground), orders.clone())));
        }
        tracing::info!(workers = post.workers, "clients are spread over processes");
        Crew::start(ground, orders, post).await.map(Self::InWorkers)
    }

    /// Starts the clock for everybody.
    pub(super) fn start_clock(&self, ground: &Ground) {
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
    pub(super) fn losses(&self) -> Losses {
        match self {
            Self::Here(_) => Losses::default(),
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
