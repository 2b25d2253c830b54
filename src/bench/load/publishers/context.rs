//! context

use std::sync::Arc;

use crate::bench::ids::RunId;
use crate::bench::load::balancer::Balancer;
use crate::bench::load::progress::Progress;
use crate::bench::metrics::clock::RunClock;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::dialect::Dialect;
use crate::bench::scenario::plan::Phases;
use crate::protocol::Address;

/// What all publishers of a run share.
#[derive(Debug, Clone)]
pub struct PublishContext {
    /// For the requests.
    pub http: reqwest::Client,
    /// Chooses nodes.
    pub balancer: Balancer,
    /// The time of the run.
    pub clock: RunClock,
    /// Added to the times in payloads: zero in a run. Where another process reads them, when the clock was started,
    /// since the machine's boot.
    pub epoch: RunTime,
    /// The run.
    pub run: RunId,
    /// Every address, by number.
    pub addresses: Arc<[Address]>,
    /// How the servers are spoken to; `None`: as `sse-node` is.
    pub dialect: Option<Arc<Dialect>>,
    /// Parts of the run.
    pub phases: Arc<Phases>,
    /// For the progress line.
    pub progress: Arc<Progress>,
}
