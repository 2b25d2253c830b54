//! The hostile clients of a run: each opens connections one after the other, for as long as its group says.
//! Read [`HostileClients`] first.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::attack::{Attack, Ended};
use crate::bench::ids::NodeIndex;
use crate::bench::load::balancer::Balancer;
use crate::bench::metrics::clock::RunClock;
use crate::bench::metrics::recorder::{Counter, Recorder};
use crate::bench::metrics::tags::{Source, Tags};
use crate::bench::scenario::HostileGroup;
use crate::bench::scenario::plan::{Plan, Seeds};

/// How long a connect may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// All hostile clients of a run, each a task.
#[derive(Debug)]
pub struct HostileClients {
    tasks: JoinSet<Recorder>,
    stop: CancellationToken,
}

struct Client {
    group: HostileGroup,
    plan: Arc<Plan>,
    balancer: Balancer,
    clock: RunClock,
    rng: StdRng,
    recorder: Recorder,
}

impl HostileClients {
    /// Starts the clients of a plan. The clock of the run has started.
    #[must_use]
    pub fn start(plan: &Arc<Plan>, balancer: &Balancer, clock: &RunClock) -> Self {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        for group in &plan.hostile {
            for number in 0..group.clients {
                let seed = Seeds::new(plan.seed).of("hostile", &format!("{}-{number}", group.name));
                let client = Client {
                    group: group.clone(),
                    plan: Arc::clone(plan),
                    balancer: balancer.clone(),
                    clock: clock.clone(),
                    rng: StdRng::seed_from_u64(seed),
                    recorder: Recorder::default(),
                };
                tasks.spawn(client.run(stop.clone()));
            }
        }
        Self { tasks, stop }
    }

    /// Ends them, and returns what they counted.
    pub async fn end(mut self) -> Recorder {
        self.stop.cancel();
        let mut all = Recorder::default();
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(recorder) => all.merge(recorder),
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
        }
        all
    }
}

impl Client {
    async fn run(mut self, stop: CancellationToken) -> Recorder {
        let (begin, end) = (self.clock.instant_of(self.group.at), self.clock.instant_of(self.group.until));
        tokio::select! {
            () = stop.cancelled() => return self.recorder,
            () = tokio::time::sleep_until(begin) => {}
        }
        loop {
            let over = async {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep_until(end) => {}
                }
            };
            tokio::select! {
                () = self.connection() => {}
                () = over => return self.recorder,
            }
        }
    }

    /// One connection, and the wait after it. May be dropped at any moment.
    async fn connection(&mut self) {
        match self.connect().await {
            Ok((socket, host)) => {
                self.count(Counter::HostileConnects, 1);
                let (path, behavior) = (self.group.path.as_str(), self.group.behavior);
                let ended =
                    Attack { socket, host: &host, path, rng: &mut self.rng }.carry_out(behavior).await;
                if ended == Ended::ByServer {
                    self.count(Counter::HostileEnds, 1);
                }
            }
            Err(error) => {
                tracing::debug!(%error, group = self.group.name, "a hostile client cannot connect");
                self.count(Counter::HostileConnectErrors, 1);
            }
        }
        tokio::time::sleep(self.group.every).await;
    }

    async fn connect(&mut self) -> io::Result<(TcpStream, String)> {
        let nodes: Vec<_> = self.group.nodes.iter().copied().map(NodeIndex).collect();
        let base = self.balancer.base(self.balancer.choose_among(&nodes, &mut self.rng));
        let host = base.trim_start_matches("http://").to_owned();
        let authority = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
            host.clone()
        } else {
            format!("{host}:80")
        };
        let socket = tokio::time::timeout(CONNECT_DEADLINE, TcpStream::connect(authority)).await??;
        Ok((socket, host))
    }

    fn count(&mut self, counter: Counter, by: u64) {
        let phase = self.plan.phases.at(self.clock.now());
        self.recorder.count(counter, Tags { phase, source: Source::Bench, path: None }, by);
    }
}
