//! What all publishers of a run share. Holds no state of a single publisher. Read [`PublishContext`] first.

use std::sync::Arc;

use crate::bench::ids::RunId;
use crate::bench::load::balancer::Balancer;
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::progress::Progress;
use crate::bench::metrics::clock::RunClock;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::dialect::Dialect;
use crate::bench::scenario::plan::Phases;
use crate::protocol::Address;

/// What all publishers of a run share.
#[derive(Debug, Clone)]
pub struct PublishContext {
    pub http: reqwest::Client,
    pub balancer: Balancer,
    /// The time of the run.
    pub clock: RunClock,
    /// Added to the times in payloads. Zero in a run; for an ad hoc publisher the start of its clock since the machine's
    /// boot, so that another process can read the times.
    pub epoch: RunTime,
    /// Part of every stamp.
    pub run: RunId,
    /// All addresses, indexed by [`AddressId`](crate::bench::ids::AddressId).
    pub addresses: Arc<[Address]>,
    /// The wire format of the servers; `None`: that of `sse-node`.
    pub dialect: Option<Arc<Dialect>>,
    /// For the tag `phase`.
    pub phases: Arc<Phases>,
    /// For the progress line.
    pub progress: Arc<Progress>,
}

impl PublishContext {
    /// The context of the publishers of a run, on the clock of its clients.
    #[must_use]
    pub fn of_run(http: reqwest::Client, balancer: Balancer, context: &SwarmContext) -> Self {
        let plan = &context.plan;
        Self {
            http,
            balancer,
            clock: context.clock.clone(),
            epoch: RunTime::ZERO,
            run: plan.run,
            addresses: plan.addresses.clone().into(),
            dialect: plan.dialect.clone(),
            phases: Arc::new(plan.phases.clone()),
            progress: Arc::clone(&context.progress),
        }
    }
}
