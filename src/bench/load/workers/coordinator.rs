//! The parent's side: starts the workers, announces the start of the clock, and merges the workers' results. Each worker
//! has a task and a [`WorkerHandle`] of its own. Read [`WorkerPool::start`] first.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::lost_workers::LostWorkers;
use super::protocol::Init;
use super::worker_handle::{HAND_OVER_TIMEOUT, WorkerHandle, WorkerPoolError, WorkerResults, WorkerSpec};
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::clients::share::Share;
use crate::bench::load::clients::{Commands, Ended};
use crate::bench::metrics::clock::monotonic_nanos;
use crate::bench::verdict::history::fingerprint;
use crate::bench::verdict::ledger::SubscriberLedger;
use crate::runtime::plural;

/// Time between the announcement of the start and the start: each worker learns of the start before it.
const START_LEAD: Duration = Duration::from_millis(100);

/// All workers of a run. Dropping it kills them.
#[derive(Debug)]
pub struct WorkerPool {
    attending: JoinSet<Option<WorkerResults>>,
    pids: Vec<(String, u32)>,
    start: watch::Sender<Option<u64>>,
    commands: Commands,
    lost_workers: LostWorkers,
}

impl WorkerPool {
    /// Starts all workers, and waits until each has the same plan. Their clients begin to connect at once.
    ///
    /// # Errors
    /// [`WorkerPoolError`] of the first worker that fails.
    pub async fn start(
        context: &Arc<SwarmContext>,
        commands: &Commands,
        spec: &WorkerSpec,
    ) -> Result<Self, WorkerPoolError> {
        let lost_workers = LostWorkers::default();
        let handles = (0..spec.workers).map(|index| {
            let share = Share { index, of: spec.workers };
            WorkerHandle::start(Arc::clone(context), lost_workers.clone(), spec, share)
        });
        let handles = handles.collect::<Result<Vec<WorkerHandle>, WorkerPoolError>>()?;
        let ready = handles.into_iter().zip(0..).map(|(handle, index)| {
            let init = Init {
                origin: spec.origin.clone(),
                run: spec.run,
                plan: fingerprint(&context.plan),
                share: Share { index, of: spec.workers },
                nodes: spec.nodes.clone(),
                count: spec.count,
                load_balancer: spec.load_balancer.clone(),
                endpoints: context.balancer.endpoints(),
                history: spec.history(handle.name()),
            };
            handle.init(init)
        });
        let ready = futures_util::future::try_join_all(ready).await?;
        let (start, _) = watch::channel(None);
        let mut pool = Self {
            attending: JoinSet::new(),
            pids: Vec::new(),
            start,
            commands: commands.clone(),
            lost_workers,
        };
        for handle in ready {
            pool.pids.extend(handle.pid().map(|pid| (handle.name().to_owned(), pid)));
            pool.attending.spawn(handle.attend(commands.follow(), pool.start.subscribe()));
        }
        Ok(pool)
    }

    /// Name and process id of each worker that was running when all were ready.
    #[must_use]
    pub fn pids(&self) -> &[(String, u32)] {
        &self.pids
    }

    /// Reports of lost and late workers.
    #[must_use]
    pub fn lost_workers(&self) -> &LostWorkers {
        &self.lost_workers
    }

    /// Starts the clock here and in all workers at the same moment, a short time ahead.
    pub fn start_clock(&self, context: &SwarmContext) {
        let origin = monotonic_nanos() + u64::try_from(START_LEAD.as_nanos()).unwrap_or(0);
        context.clock.start_at(origin);
        self.start.send_replace(Some(origin));
        context.started.cancel();
    }

    /// Stops all workers, and collects the measurements, and the ledgers in the order of the clients' numbers. `grace` is
    /// the time that clients have to stop. Workers that take much longer are killed, and lost.
    pub async fn end(mut self, grace: Duration) -> Ended {
        self.commands.end();
        let mut ended = Ended::default();
        let deadline = Instant::now() + grace + HAND_OVER_TIMEOUT;
        while let Ok(Some(joined)) = tokio::time::timeout_at(deadline, self.attending.join_next()).await {
            match joined {
                Ok(Some(results)) => {
                    ended.ledgers.extend(results.ledgers);
                    ended.recorder.merge(results.recorder);
                    ended.observations.merge(results.observations);
                    ended.not_stopped += usize::try_from(results.summary.not_stopped).unwrap_or(usize::MAX);
                    ended.sightings.merge(results.summary.sightings);
                    ended.histories.extend(results.summary.history);
                    ended.unwritten.extend(results.summary.unwritten);
                }
                Ok(None) => {}
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
        }
        if !self.attending.is_empty() {
            let late = self.attending.len();
            self.lost_workers.lose(format!(
                "{late} {} did not send all ledgers within {:?}",
                plural(late as u64, "worker"),
                grace + HAND_OVER_TIMEOUT
            ));
        }
        self.attending.shutdown().await;
        ended.ledgers.sort_unstable_by_key(SubscriberLedger::id);
        ended.histories.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        ended.lost_workers = self.lost_workers.all();
        ended
    }
}
