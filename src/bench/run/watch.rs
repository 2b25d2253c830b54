//! Tasks that only observe a run, and what they saw. Read [`Watchers`] first.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::environment::Environment;
use super::follow::Follower;
use super::observe;
use super::scrape::Scrape;
use crate::bench::faults::FaultBoard;
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::load::lag;
use crate::bench::load::listen_queue::ListenQueues;
use crate::bench::load::publishers::PublishContext;
use crate::bench::load::saturation::{self, Saturation};
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::tags::Source;
use crate::bench::verdict::history::facts::ProcessReport;
use crate::runtime::cores;

/// Observers at work; this owns their tasks.
pub(super) struct Watchers {
    stop: CancellationToken,
    queues: ListenQueues,
    tasks: JoinSet<Watched>,
}

enum Watched {
    Measured(Recorder),
    Usage(Vec<ProcessReport>),
    Commands(BTreeMap<String, u64>),
    Saturation(Saturation),
    Nothing,
}

/// The results of the observers.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) recorder: Recorder,
    pub(super) usage: Vec<ProcessReport>,
    /// Commands of the Redis that the run started, by name.
    pub(super) commands: Option<BTreeMap<String, u64>>,
    pub(super) saturation: Saturation,
    /// Listeners of the bench that turned connects away, each with how many.
    pub(super) turned_away: Vec<(String, u64)>,
}

impl Watchers {
    pub(super) fn start(
        context: &Arc<SwarmContext>,
        publishing: &PublishContext,
        environment: &Environment,
        workers: Vec<(String, u32)>,
        follower: Follower,
    ) -> Self {
        let members = environment.members();
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let phases = Arc::clone(&publishing.phases);
        let lag = lag::measure_lag(publishing.clock.clone(), phases, Source::Bench, stop.clone());
        tasks.spawn(async move { Watched::Measured(lag.await) });
        let pids = workers.iter().map(|(_, pid)| *pid).collect();
        let (cores, started) = (cores(), context.started.clone());
        let watched = saturation::watch(pids, cores, started, stop.clone());
        tasks.spawn(async move { Watched::Saturation(watched.await) });
        let others = observe::Others { servers: environment.others(), workers };
        let edges = (context.started.clone(), stop.clone());
        let usage = observe::sample(members.to_vec(), others, publishing.balancer.clone(), edges);
        tasks.spawn(async move { Watched::Usage(usage.await) });
        if let Some(servers) = environment.servers() {
            let counting = observe::count_commands(servers.clone(), Arc::clone(context), stop.clone());
            tasks.spawn(async move { Watched::Commands(counting.await) });
        }
        let health =
            observe::watch_health(environment.client_endpoints(), publishing.balancer.clone(), stop.clone());
        tasks.spawn(async move {
            health.await;
            Watched::Nothing
        });
        let following = follower.follow(Arc::clone(context), stop.clone());
        tasks.spawn(async move { Watched::Measured(following.await) });
        Self { stop, queues: ListenQueues::watch(environment.listeners()), tasks }
    }

    /// Serves metrics from now on.
    pub(super) fn answer(&mut self, scrape: Scrape, context: Arc<SwarmContext>, faults: Arc<FaultBoard>) {
        let serving = scrape.serve(context, faults, self.stop.clone());
        self.tasks.spawn(async move {
            serving.await;
            Watched::Nothing
        });
    }

    pub(super) async fn end(&mut self) -> Seen {
        self.stop.cancel();
        let mut seen = Seen { turned_away: self.queues.turned_away(), ..Seen::default() };
        while let Some(joined) = self.tasks.join_next().await {
            match joined {
                Ok(Watched::Measured(recorder)) => seen.recorder.merge(recorder),
                Ok(Watched::Usage(usage)) => seen.usage = usage,
                Ok(Watched::Commands(commands)) => seen.commands = Some(commands),
                Ok(Watched::Saturation(saturation)) => seen.saturation = saturation,
                Ok(Watched::Nothing) => {}
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
        }
        seen
    }
}
